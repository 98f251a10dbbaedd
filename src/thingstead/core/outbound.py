"""Connections to addresses that others chose (webhooks, an app's own Graphite or mail server), that do not let
themselves be led inside: one shared HTTP client, and sockets.

Promises: every socket is looked at when it is made, with the very address it connects to, so a name that resolves to
something else the next time gains nothing: private, loopback, link-local and otherwise special addresses are refused
unless `allow_private`. Redirects are not followed, proxies of the environment not used, no cookies kept, and of an
answer no more than `MOST_READ` bytes are read. The library is imported at first use.
"""

import asyncio
import errno
import socket
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from thingstead.model.webhooks import is_public

if TYPE_CHECKING:
    import aiohttp

SECONDS: Final = 10.0  # until there is an answer (objects.md 15)
READ_SECONDS: Final = 1.0  # for what stands in the answer, which nobody needs
MOST_READ: Final = 65_536


class NotReached(Exception):
    """No answer, with a reason that names no secret."""


async def connected(host: str, port: int, *, allow_private: bool) -> socket.socket:
    """A socket connected to the first address of a host that may be connected to and answers.

    Raises OSError, also if no address may be. The caller bounds the time, and closes it.
    """
    loop = asyncio.get_running_loop()
    failure = OSError(errno.EACCES, _NOT_PUBLIC)
    for family, kind, protocol, _, where in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not allow_private and not is_public(str(where[0])):
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
    """See the module's docstring."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> int:
        """The status that a POST was answered with. Raises NotReached."""
        if self._session is None:
            await asyncio.to_thread(import_module, "aiohttp")  # it takes a while: the loop goes on meanwhile
        import aiohttp

        session = self._session or self._open()
        try:
            async with asyncio.timeout(SECONDS):
                answer = await session.post(url, data=body, headers=headers, allow_redirects=False)
        except TimeoutError:
            raise NotReached(f"no answer within {SECONDS:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            refused = _NOT_PUBLIC in str(error)
            raise NotReached(_NOT_PUBLIC if refused else type(error).__name__) from None
        try:
            async with asyncio.timeout(READ_SECONDS):
                await _read_some(answer)
        except (TimeoutError, aiohttp.ClientError, OSError):
            answer.close()
        return answer.status

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=aiohttp.ThreadedResolver(),
                use_dns_cache=False,
                socket_factory=self._socket,
                limit=0,  # the callers bound themselves: nobody's time runs out in a line here
            ),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
        )
        return self._session

    def _socket(self, address: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        """A socket that is about to be connected to this address. Raises OSError if it must not be."""
        family, kind, protocol, _, where = address
        if not self._allow_private and not is_public(str(where[0])):
            raise OSError(errno.EACCES, _NOT_PUBLIC)
        return socket.socket(family, kind, protocol)


_NOT_PUBLIC: Final = "the address is not public"


async def _read_some(answer: Any) -> None:
    """Read a short answer, so that its connection can be used again; leave a long one."""
    read = 0
    while read <= MOST_READ:
        chunk = await answer.content.read(MOST_READ)
        if not chunk:
            return
        read += len(chunk)
    answer.close()
