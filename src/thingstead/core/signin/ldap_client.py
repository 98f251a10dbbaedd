"""What `ldap.py` asks a directory, over ldap3 (identity.md 8.5, 17). Blocking: called in a thread, and imported there.

Promises: nothing goes to another address than those it is given; referrals are not followed; a certificate is checked
against the host's name and trusted authorities before a password is sent; all of a look-up ends at its deadline, and
reads no more than `MOST_BYTES` an answer. Does not decide who may be asked.
"""

import ssl
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import ldap3
from ldap3.core.exceptions import LDAPException

from thingstead.model import directory as rules
from thingstead.model.directory import Attributes, Directory

MOST_BYTES: Final = 8 << 20
_COMPARED: Final = "compareResponse"
_SUCCESS: Final = 0
_COMPARE_TRUE: Final = 6
_NOT_IN_CLEAR: Final = (8, 13)  # strongerAuthRequired, confidentialityRequired
_AWAY: Final = (51, 52)  # busy, unavailable


class Unanswered(Exception):
    """The directory gave no answer that tells; the reason is a short code."""


class Entry:
    """A person's entry."""

    def __init__(self, dn: str, attributes: Attributes) -> None:
        self.dn = dn
        self.attributes = attributes


def look_up(known: Directory, name: str, password: str, addresses: Sequence[str], seconds: float) -> Entry | None:
    """The entry of a person whose password this is; None if there is none. Raises Unanswered."""
    try:
        asking = _Asking(known, addresses, time.monotonic() + seconds)
        if known.active:
            return asking.active(name, password)
        return asking.compared(name, password) if known.compare else asking.bound(name, password)
    except (LDAPException, OSError, ssl.SSLError) as error:
        raise Unanswered("unreachable") from error
    except Unanswered:
        raise
    except Exception as error:  # what a directory sends may break the library's decoder anywhere
        raise Unanswered("bad_answer") from error


class _Asking:
    """One look-up. Every identity has a connection of its own: servers may close one after a refused bind."""

    def __init__(self, known: Directory, addresses: Sequence[str], deadline: float) -> None:
        self._known = known
        self._addresses = addresses
        self._deadline = deadline
        self._attributes = rules.wanted(known)

    def bound(self, name: str, password: str) -> Entry | None:
        """By the patterns, then by a search; the person's own bind is the proof."""
        tried: set[str] = set()
        for dn in rules.names_of(self._known, name):
            tried.add(dn.lower())
            with self._session(dn, password) as session:
                if session is not None:
                    return self._own(session, dn)
        found = self._found(name)
        if found is None or found.dn.lower() in tried:
            return None
        with self._session(found.dn, password) as session:
            return None if session is None else self._own(session, found.dn)

    def compared(self, name: str, password: str) -> Entry | None:
        """The directory compares the password with what it holds."""
        with self._asker() as session:
            for dn in rules.names_of(self._known, name):
                if _read(session, dn, self._attributes):
                    return self._checked(session, dn, password)
        found = self._found(name)
        if found is None:
            return None
        with self._asker() as session:
            return self._checked(session, found.dn, password)

    def active(self, name: str, password: str) -> Entry | None:
        """The person's own bind by principal name, and one entry found with it."""
        principal = rules.principal(self._known, name)
        if not principal:
            return None
        with self._session(principal, password) as session:
            return None if session is None else _one(session, rules.asked_for(self._known, name), self._attributes)

    def _found(self, name: str) -> Entry | None:
        with self._asker() as session:
            return _one(session, rules.asked_for(self._known, name), self._attributes)

    def _own(self, session: Any, dn: str) -> Entry:
        """The entry as its person sees it, else as the asker does, else without anything in it."""
        found = _read(session, dn, self._attributes)
        if not found and self._known.bind_dn:
            with self._asker() as asker:
                found = _read(asker, dn, self._attributes)
        return found or Entry(dn, {})

    def _checked(self, session: Any, dn: str, password: str) -> Entry | None:
        session.compare(dn, self._known.password_attribute, password.encode())
        result = session.result
        if result["type"] != _COMPARED or result["result"] != _COMPARE_TRUE:
            return None
        return _read(session, dn, self._attributes) or Entry(dn, {})

    @contextmanager
    def _asker(self) -> Generator[Any]:
        """A session of the app's own name, or of nobody. Raises Unanswered if it is refused."""
        with self._session(self._known.bind_dn, self._known.bind_password) as session:
            if session is None:
                raise Unanswered("bind_dn_refused")
            yield session

    @contextmanager
    def _session(self, user: str, password: str) -> Generator[Any]:
        """A connection bound as this user (nobody, if blank); None if the directory refuses them."""
        connection = self._connected(user, password)
        try:
            bound = connection.bind(read_server_info=False)
            code = connection.result["result"]
            if code in _NOT_IN_CLEAR:
                raise Unanswered("encryption_required")
            if code in _AWAY:
                raise Unanswered("unreachable")
            yield connection if bound and code == _SUCCESS else None
        finally:
            connection.unbind()

    def _connected(self, user: str, password: str) -> Any:
        """An open connection to the first address that answers, encrypted if it is to be."""
        where = self._known.server
        failure: Exception = Unanswered("unreachable")
        for address in self._addresses:
            left = self._deadline - time.monotonic()
            if left <= 0:
                break
            tls = _Tls(where.host, self._known.certificates, self._deadline)
            server = ldap3.Server(
                address,
                where.port,
                use_ssl=where.tls,
                tls=tls,
                get_info=ldap3.NONE,
                connect_timeout=left,
            )
            connection: Any = ldap3.Connection(
                server,
                user=user or None,
                password=cast(Any, password.encode() or None),  # a text would be changed (SASLprep)
                authentication=ldap3.SIMPLE if user else ldap3.ANONYMOUS,
                auto_bind=ldap3.AUTO_BIND_NONE,
                auto_referrals=False,
                auto_escape=False,
                auto_encode=False,
                check_names=False,
                read_only=True,
                receive_timeout=max(1, int(left)),
            )
            try:
                connection.open(read_server_info=False)
                connection.socket = _Bounded.around(connection.socket, self._deadline)
                if self._known.start_tls and not where.tls:
                    connection.start_tls(read_server_info=False)
                return connection
            except (LDAPException, OSError) as error:
                failure = Unanswered("bad_certificate") if tls.refused else error
                if connection.socket is not None:
                    connection.socket.close()  # the library forgets it
        raise failure


def _one(session: Any, asked: rules.Asked, attributes: Sequence[str]) -> Entry | None:
    """The one entry that a search finds; None if there is none, or more."""
    session.search(asked.base, asked.filter, ldap3.SUBTREE, attributes=attributes, size_limit=2)
    found = _entries(session)
    return found[0] if len(found) == 1 and session.result["result"] == _SUCCESS else None


def _read(session: Any, dn: str, attributes: Sequence[str]) -> Entry | None:
    session.search(dn, "(objectClass=*)", ldap3.BASE, attributes=attributes)
    return next(iter(_entries(session)), None)


def _entries(session: Any) -> list[Entry]:
    answers: list[Mapping[str, Any]] = session.response or []
    return [Entry(each["dn"], each["raw_attributes"]) for each in answers if each["type"] == "searchResEntry"]


class _Tls(ldap3.Tls):
    """TLS by Python's own rules: the library's check of names is older than those of today's certificates."""

    def __init__(self, host: str, certificates: str, deadline: float) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._host = host
        self._certificates = certificates
        self._deadline = deadline
        self.refused = False

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        plain = connection.socket
        if isinstance(plain, _Bounded):
            plain = plain.inner
        context = ssl.create_default_context(cadata=self._certificates or None)
        plain.settimeout(max(0.001, self._deadline - time.monotonic()))
        try:
            encrypted = context.wrap_socket(plain, server_hostname=self._host)
        except ssl.SSLCertVerificationError:
            self.refused = True
            raise
        connection.socket = _Bounded.around(encrypted, self._deadline)


class _Bounded:
    """A socket that gives no more than so many bytes, and none after a deadline."""

    def __init__(self, inner: Any, deadline: float) -> None:
        self.inner = inner
        self._deadline = deadline
        self._left = MOST_BYTES

    @classmethod
    def around(cls, socket: Any, deadline: float) -> "_Bounded":
        return socket if isinstance(socket, cls) else cls(socket, deadline)

    def recv(self, size: int) -> bytes:
        self._in_time()
        data: bytes = self.inner.recv(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise OSError("the answer is too long")
        return data

    def sendall(self, data: bytes) -> None:
        self._in_time()
        self.inner.sendall(data)

    def _in_time(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the directory took too long")
        self.inner.settimeout(left)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
