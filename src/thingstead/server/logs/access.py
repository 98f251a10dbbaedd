"""The access log: a listener tells of each answer, and a line of it joins those that wait for the thread of the log
files.

The line is made at once, which costs less than keeping the request until it is made later
(docs/explanation/performance.md).
"""

from thingstead.model import accesslog
from thingstead.ports.environment import Clock
from thingstead.server.logs.files import LogFile
from thingstead.transports.http import Scope, TrustedProxies
from thingstead.transports.http.exchange import Answered


def recorder(file: LogFile, clock: Clock, proxies: TrustedProxies) -> Answered:
    """What a listener calls for each answer; it waits for nothing."""
    put, now = file.put, clock.now

    def answered(scope: Scope, status: int, size: int) -> None:
        put(_line(scope, now(), status, size, proxies))

    return answered


def _line(scope: Scope, at: int, status: int, size: int, proxies: TrustedProxies) -> str:
    referer = agent = b""
    for name, value in scope["headers"]:
        if name == b"user-agent":
            agent = value
        elif name == b"referer":
            referer = value
    query: bytes = scope["query_string"]
    target: bytes = scope["raw_path"] + b"?" + query if query else scope["raw_path"]
    return accesslog.line(
        proxies.client(scope),
        at // 1_000_000,
        scope.get("method", "GET"),  # a WebSocket's handshake has none
        scope.get("root_path", "") + target.decode("latin-1"),
        scope.get("http_version", "1.1"),
        status,
        size,
        referer.decode("latin-1"),
        agent.decode("latin-1"),
    )
