"""Connections to addresses that others chose (webhooks, providers of sign-ins, an app's own Graphite or mail server),
that do not let themselves be led inside: one shared HTTP client, and sockets.

Promises: every socket is looked at when it is made, with the very address it connects to, so a name that resolves to
something else the next time gains nothing: private, loopback, link-local and otherwise special addresses are refused,
unless the operator allows them (model/outbound) or the caller trusts the address: it is the server's own. Redirects are
not followed, proxies of the environment not used, no cookies kept, and an answer is read no further than its limit. The
library is imported at first use.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec

from thingstead.model.outbound import Allowed

if TYPE_CHECKING:
    import aiohttp

SECONDS: Final = 10.0  # until there is an answer (objects.md 15)
READ_SECONDS: Final = 1.0  # for what stands in the answer, which nobody needs
MOST_READ: Final = 65_536
FETCH_CONNECT_SECONDS: Final = 10.0  # of what is fetched (identity.md 8.1)
FETCH_SECONDS: Final = 30.0
MOST_FETCHED: Final = 1 << 20


class NotReached(Exception):
    """No answer, with a reason that names no secret."""


class Answer(msgspec.Struct, frozen=True):
    """What a server answered, read whole."""

    status: int
    body: bytes


async def connected(host: str, port: int, *, allowed: Allowed, trusted: bool = False) -> socket.socket:
    """A socket connected to the first address of a host that may be connected to and answers.

    Raises OSError, also if no address may be. The caller bounds the time, and closes it.
    """
    loop = asyncio.get_running_loop()
    failure = OSError(errno.EACCES, _NOT_PUBLIC)
    trusted = trusted or allowed.host(host)
    for family, kind, protocol, _, where in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not trusted and not allowed.address(str(where[0])):
            continue
        made = socket.socket(family, kind, protocol)
        try:
            made.setblocking(False)
            await loop.sock_connect(made, where)
        except OSError as error:
            made.close()
            failure = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise failure


class Outbound:
    """See the module's docstring. The seconds are those of `fetch`."""

    def __init__(
        self, allowed: Allowed, *, connect_seconds: float = FETCH_CONNECT_SECONDS, seconds: float = FETCH_SECONDS
    ) -> None:
        self._allowed = allowed
        self._connect_seconds = connect_seconds
        self._seconds = seconds
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by whether its addresses are trusted

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """The status that a POST was answered with. Raises NotReached."""
        session = await self._session(self._allowed.host(_host(url)))
        import aiohttp

        try:
            async with asyncio.timeout(SECONDS):
                answer = await session.post(url, data=body, headers=headers, allow_redirects=False)
        except TimeoutError:
            raise NotReached(f"no answer within {SECONDS:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _not_reached(error) from None
        try:
            async with asyncio.timeout(READ_SECONDS):
                await _read_some(answer)
        except (TimeoutError, aiohttp.ClientError, OSError):
            answer.close()
        return answer.status

    async def fetch(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        trusted: bool = False,
        most: int = MOST_FETCHED,
    ) -> Answer:
        """What a request is answered with, whatever its status. The URL is sent as it stands, not encoded again.

        Raises NotReached: also for an answer that is over `most` bytes, compressed, or not whole in time.
        """
        session = await self._session(trusted or self._allowed.host(_host(url)))
        import aiohttp
        from yarl import URL

        timeout = aiohttp.ClientTimeout(total=self._seconds, sock_connect=self._connect_seconds)
        try:
            async with session.request(
                method, URL(url, encoded=True), data=body, headers=headers, allow_redirects=False, timeout=timeout
            ) as answer:
                if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise NotReached("the answer is compressed")
                read = bytearray()
                async for chunk in answer.content.iter_any():
                    read += chunk
                    if len(read) > most:
                        answer.close()
                        raise NotReached(f"the answer is over {most} bytes")
                return Answer(answer.status, bytes(read))
        except TimeoutError:
            raise NotReached(f"no answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _not_reached(error) from None

    async def close(self) -> None:
        """Close all connections."""
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()

    async def _session(self, trusted: bool) -> "aiohttp.ClientSession":
        if not self._sessions:
            await asyncio.to_thread(import_module, "aiohttp")  # it takes a while: the loop goes on meanwhile
        if (session := self._sessions.get(trusted)) is None:
            session = self._sessions[trusted] = self._open(_trusting_socket if trusted else self._socket)
        return session

    def _open(self, make: "Callable[[_Address], socket.socket]") -> "aiohttp.ClientSession":
        import aiohttp

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=aiohttp.ThreadedResolver(),
                use_dns_cache=False,
                socket_factory=make,
                limit=0,  # the callers bound themselves: nobody's time runs out in a line here
            ),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
        )

    def _socket(self, address: "_Address") -> socket.socket:
        """A socket that is about to be connected to this address. Raises OSError if it must not be."""
        if not self._allowed.address(str(address[4][0])):
            raise OSError(errno.EACCES, _NOT_PUBLIC)
        return _trusting_socket(address)


_Address: TypeAlias = tuple[int, int, int, str, tuple[Any, ...]]
_NOT_PUBLIC: Final = "the address is not public"


def _trusting_socket(address: _Address) -> socket.socket:
    family, kind, protocol, _, _ = address
    return socket.socket(family, kind, protocol)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _not_reached(error: Exception) -> NotReached:
    return NotReached(_NOT_PUBLIC if _NOT_PUBLIC in str(error) else type(error).__name__)


async def _read_some(answer: Any) -> None:
    """Read a short answer, so that its connection can be used again; leave a long one."""
    read = 0
    while read <= MOST_READ:
        chunk = await answer.content.read(MOST_READ)
        if not chunk:
            return
        read += len(chunk)
    answer.close()
