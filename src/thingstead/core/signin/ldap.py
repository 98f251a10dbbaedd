"""Provider `ldap`: people of a directory or an Active Directory sign in with name and password (identity.md 8.5, 17).

The token is `{name}:{password}`, split at the first colon. Promises: a password goes only to the server that the app's
`security.ldap.server_url` names, at an address that was looked at: where an app chose it, only a public one or one that
the operator allows (model/outbound); what the server's own configuration says is trusted.
The library is imported at the first sign-in, and asked in threads: at most `THREADS` of them, half of them for one app.
"""

import asyncio
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from weakref import WeakValueDictionary

from thingstead.core.signin.provider import failed
from thingstead.core.tenants import App, Tenants
from thingstead.model import directory as rules
from thingstead.model.directory import Attributes, Directory
from thingstead.model.errors import InvalidInput
from thingstead.model.outbound import Allowed
from thingstead.model.users import Profile

_log = logging.getLogger(__name__)

SECONDS: Final = 10.0  # for one look-up, all its questions together
WAIT_SECONDS: Final = 10.0  # for a free thread
THREADS: Final = 8


class Ldap:
    """See the module's docstring."""

    def __init__(self, tenants: Tenants, allowed: Allowed, *, seconds: float = SECONDS) -> None:
        self._tenants = tenants
        self._allowed = allowed
        self._seconds = seconds
        self._pool: ThreadPoolExecutor | None = None
        self._all = asyncio.Semaphore(THREADS)
        self._of_app: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def prove(self, app: App, token: str) -> Profile:
        """Who has this name and password in the app's directory. Raises SignInFailed."""
        given = rules.credentials(token)
        if given is None:
            raise failed("bad_credentials")
        known = self._directory(app)
        addresses = await self._addresses(app, known)
        name, password = given
        own = self._of_app.setdefault(app.identifier, asyncio.Semaphore(THREADS // 2))
        try:
            async with asyncio.timeout(WAIT_SECONDS) as waiting, own, self._all:
                waiting.reschedule(None)
                entry = await asyncio.get_running_loop().run_in_executor(
                    self._threads(), _look_up, known, name, password, addresses, self._seconds
                )
        except TimeoutError:
            entry = "busy"
        if isinstance(entry, str):
            _log.warning("the directory of %s gave no answer: %s", app.object.id, entry)
            raise failed(entry)
        if entry is None:
            raise failed("bad_credentials")
        return rules.profile(known, name, *entry)

    def close(self) -> None:
        """Let no more look-ups begin."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _directory(self, app: App) -> Directory:
        try:
            return rules.directory(lambda key: self._tenants.option(app, key))
        except InvalidInput as error:
            _log.warning("settings of %s: %s", app.object.id, error.message)
            raise failed("bad_settings") from None

    async def _addresses(self, app: App, known: Directory) -> list[str]:
        """Where the directory's host is, resolved once; only addresses that may be asked."""
        where = known.server
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._seconds):
                found = await loop.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError):
            raise failed("unreachable") from None
        own = self._tenants.from_app(app, f"{rules.PREFIX}server_url")
        trusted = not own or self._allowed.host(where.host)
        addresses = [str(each[4][0]) for each in found]
        allowed = [each for each in addresses if trusted or self._allowed.address(each)]
        if not allowed:
            raise failed("address_not_public")
        return list(dict.fromkeys(allowed))

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="ldap")
        return self._pool


def _look_up(
    known: Directory, name: str, password: str, addresses: list[str], seconds: float
) -> tuple[str, Attributes] | str | None:
    """In a thread: name and attributes of the person's entry, None if the password is not theirs, or why not."""
    try:
        from thingstead.core.signin import ldap_client
    except ImportError:
        return "ldap3_not_installed"
    try:
        entry = ldap_client.look_up(known, name, password, addresses, seconds)
    except ldap_client.Unanswered as error:
        return str(error)
    return None if entry is None else (entry.dn, entry.attributes)
