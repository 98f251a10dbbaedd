"""The access log: listeners tell of an answer, and the thread of the log files makes a line of it later."""

from functools import partial

from thingstead.model import accesslog
from thingstead.ports.environment import Clock
from thingstead.server.logfiles import LogFile
from thingstead.transports.http import Scope, TrustedProxies
from thingstead.transports.http.serving import Answered


def recorder(file: LogFile, clock: Clock, proxies: TrustedProxies) -> Answered:
    """What a listener calls for each answer: an append, nothing more."""

    def answered(scope: Scope, status: int, size: int) -> None:
        file.put(partial(_line, scope, clock.now(), status, size, proxies))

    return answered


def _line(scope: Scope, at: int, status: int, size: int, proxies: TrustedProxies) -> str:
    headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
    client: tuple[str, int] | None = scope.get("client")
    peer = client[0] if client else ""
    if proxies.trust(scope):
        forwarded = _text(headers, b"x-forwarded-for").rpartition(",")[2].strip()
        peer = forwarded if _ADDRESS.issuperset(forwarded) and forwarded else peer
    query: bytes = scope["query_string"]
    target: bytes = scope["raw_path"] + (b"?" + query if query else b"")
    return accesslog.line(
        peer,
        at // 1_000_000,
        scope.get("method", "GET"),  # a WebSocket's handshake
        scope.get("root_path", "") + target.decode("latin-1"),
        scope.get("http_version", "1.1"),
        status,
        size,
        _text(headers, b"referer"),
        _text(headers, b"user-agent"),
    )


_ADDRESS = frozenset("0123456789abcdefABCDEF.:")


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")
