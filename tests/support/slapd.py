"""A real OpenLDAP: slapd over a directory of its own, with TLS, the memberOf overlay and a few people.

`Slapd` starts at once and is stopped by `stop`; `directory` is the fixture of a session, in conftest.
"""

import base64
import shutil
import socket
import subprocess
import time
from pathlib import Path

from support.certificates import Authority

BASE = "dc=example,dc=org"
ADMIN = f"cn=admin,{BASE}"
ADMIN_PASSWORD = "the directory's own"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00 a photo that nobody looks at"
STARTUP_SECONDS = 20

_CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {folder}/pid
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/certificate.pem
TLSCertificateKeyFile {folder}/key.pem
database mdb
suffix "{base}"
rootdn "{admin}"
rootpw "{password}"
directory {folder}/db
overlay memberof
access to attrs=userPassword by self write by anonymous auth by * none
access to dn.subtree="ou=hidden,{base}" by dn="{admin}" read by * auth
access to * by * read
"""

_PEOPLE = f"""
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=people,{BASE}
objectClass: organizationalUnit
ou: people

dn: ou=staff,ou=people,{BASE}
objectClass: organizationalUnit
ou: staff

dn: ou=hidden,{BASE}
objectClass: organizationalUnit
ou: hidden

dn: ou=groups,{BASE}
objectClass: organizationalUnit
ou: groups
"""


class Slapd:
    """A running slapd on ports of its choosing; `ldap` and `ldaps` are its URLs, `authority` signs its certificate."""

    def __init__(self, folder: Path) -> None:
        """AssertionError with what it printed if it does not answer in time."""
        (folder / "db").mkdir(parents=True)
        self.authority = Authority("authority of the test directory")
        certificate, key = self.authority.issue("localhost")
        for name, text in (("ca", self.authority.pem), ("certificate", certificate), ("key", key)):
            (folder / f"{name}.pem").write_text(text)
        conf = folder / "slapd.conf"
        conf.write_text(_CONF.format(folder=folder, base=BASE, admin=ADMIN, password=ADMIN_PASSWORD))
        self._port, self._tls_port = _free_ports(2)
        self.ldap = f"ldap://localhost:{self._port}/"
        self.ldaps = f"ldaps://localhost:{self._tls_port}/"
        slapd = shutil.which("slapd", path="/usr/sbin:/usr/bin:/sbin") or "slapd"
        urls = f"ldap://127.0.0.1:{self._port} ldaps://127.0.0.1:{self._tls_port}"
        self._log = folder / "slapd.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([slapd, "-d", "0", "-f", str(conf), "-h", urls], stdout=log, stderr=log)
        self._wait()
        self.add(_PEOPLE)

    def add(self, ldif: str) -> None:
        """Add entries, as the directory's administrator."""
        self._run("ldapadd", ldif)

    def modify(self, ldif: str) -> None:
        """Change entries, as the directory's administrator."""
        self._run("ldapmodify", ldif)

    def person(self, uid: str, password: str, *, under: str = "ou=people", **attributes: str) -> str:
        """A person with a login; the name of the new entry."""
        rdn = uid.replace("\\", "\\\\").replace(",", "\\,").replace("+", "\\+").replace("#", "\\#")
        dn = f"uid={rdn},{under},{BASE}"
        known = {"cn": uid, "sn": uid, "uid": uid, **attributes, "userPassword": password}
        lines = "".join(f"{name}:: {_base64(value)}\n" for name, value in known.items())
        self.add(f"dn:: {_base64(dn)}\nobjectClass: inetOrgPerson\n{lines}")
        return dn

    def group(self, name: str, *members: str) -> str:
        """A group of people, whose entries then say `memberOf`; the name of the new entry."""
        dn = f"cn={name},ou=groups,{BASE}"
        lines = "".join(f"member:: {_base64(each)}\n" for each in members)
        self.add(f"dn: {dn}\nobjectClass: groupOfNames\ncn: {name}\n{lines}")
        return dn

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def _run(self, command: str, ldif: str) -> None:
        asked = [command, "-x", "-H", f"ldap://127.0.0.1:{self._port}", "-D", ADMIN, "-w", ADMIN_PASSWORD]
        done = subprocess.run(asked, input=ldif.encode(), capture_output=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr.decode()

    def _wait(self) -> None:
        deadline = time.monotonic() + STARTUP_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(self._log.read_text(errors="replace")) from None
                time.sleep(0.02)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()
