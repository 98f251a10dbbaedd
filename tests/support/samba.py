"""A real Active Directory: a domain controller of Samba, of which only the directory service runs.

A domain controller's ports are fixed (389, 636, 3268, 3269), so each has a loopback address of its own in 127.64.0.0/10
and is in nobody's way. Needs root for those ports. Made anew in three seconds, started in two; once a session.
"""

import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

from support.certificates import Authority

DOMAIN = "ts.example.org"
BASE = "dc=ts,dc=example,dc=org"
PASSWORD = "Corp-Passw0rd!"
"""Of all people."""

_REALM = DOMAIN.upper()
_PROVISION_SECONDS = 60
_STARTUP_SECONDS = 30
_OPTIONS = {
    "bind interfaces only": "yes",
    "server services": "ldap",
    "dcerpc endpoint servers": "",
    "ldap server require strong auth": "no",
    "vfs objects": "dfs_samba4 acl_xattr xattr_tdb",
}
# Debian's own Python has Samba's modules.
_PEOPLE = """
import sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
lp = LoadParm(sys.argv[1])
sam = SamDB(url=lp.samdb_url(), session_info=system_session(), lp=lp)
password = sys.argv[2]
sam.newuser("ann", password, givenname="Ann", surname="Archer", mailaddress="ann@corp.example")
sam.newuser("bob", password, givenname="Bob", surname="Baker")
sam.newuser("mia", password, givenname="Mia", surname="Miller", mailaddress="mia@corp.example")
sam.newuser("lea", password, givenname="Lea", surname="Lang", mailaddress="lea@corp.example")
sam.newuser("gone", password)
sam.newgroup("Plant Admins")
sam.newgroup("Plant Mods")
sam.newgroup("Leavers")
sam.add_remove_group_members("Plant Admins", ["ann"], add_members_operation=True)
sam.add_remove_group_members("Plant Mods", ["mia"], add_members_operation=True)
sam.add_remove_group_members("Leavers", ["lea"], add_members_operation=True)
sam.disable_account("(sAMAccountName=gone)")
"""


class Samba:
    """A running domain controller at `address`; `authority` signs its certificate."""

    def __init__(self, folder: Path) -> None:
        """AssertionError with what it printed if it cannot be made or does not answer in time."""
        self.address = _free_address()
        self.ldap = f"ldap://{self.address}"
        self.ldaps = f"ldaps://{self.address}"
        self.authority = Authority("authority of the test domain")
        certificate, key = self.authority.issue(self.address)
        folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, Path] = {}
        for name, text in (("cafile", self.authority.pem), ("certfile", certificate), ("keyfile", key)):
            files[name] = folder / f"{name}.pem"
            files[name].touch(0o600)
            files[name].write_text(text)
        own = {"interfaces": f"{self.address}/8", **{f"tls {name}": str(path) for name, path in files.items()}}
        options = [f"--option={name}={value}" for name, value in {**_OPTIONS, **own}.items()]
        provision = [
            *("samba-tool", "domain", "provision", f"--targetdir={folder / 'dc'}", f"--realm={_REALM}", "--domain=TS"),
            *("--server-role=dc", "--dns-backend=SAMBA_INTERNAL", "--adminpass", PASSWORD, f"--host-ip={self.address}"),
        ]
        _run(*provision, *options)
        self._conf = folder / "dc" / "etc" / "smb.conf"
        _run("/usr/bin/python3", "-c", _PEOPLE, str(self._conf), PASSWORD)
        self._log = folder / "samba.log"
        command = [shutil.which("samba") or "/usr/sbin/samba", "-i", "-s", str(self._conf), "--model=single", *options]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()

    def leave(self, group: str, person: str) -> None:
        """Take a person out of a group."""
        _run("samba-tool", "group", "removemembers", group, person, "-s", str(self._conf))

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def _wait(self) -> None:
        deadline = time.monotonic() + _STARTUP_SECONDS
        for port in (389, 636):
            while True:
                try:
                    socket.create_connection((self.address, port), 1).close()
                    break
                except OSError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise AssertionError(self._log.read_text(errors="replace")) from None
                    time.sleep(0.05)


def _free_address() -> str:
    while True:
        address = f"127.{random.randint(64, 127)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
        try:
            for port in (389, 636, 3268, 3269):
                socket.create_server((address, port)).close()
        except PermissionError:
            raise AssertionError("a domain controller needs root, for its ports") from None
        except OSError:
            continue
        return address


def _run(*command: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROVISION_SECONDS, check=False
    )
    assert done.returncode == 0, f"{command[0]} failed: {(done.stdout + done.stderr).decode(errors='replace')[-2000:]}"
