"""A real HTTP server that receives webhooks: it keeps what it was sent and answers as the test says."""

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs

Answer = Callable[["Call"], int | None]
"""The status to answer with; None: close the connection without one."""


class Call(NamedTuple):
    """One request as it arrived."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def payload(self) -> bytes:
        """The JSON text, whichever form it came in."""
        if self.headers["content-type"] == "application/x-www-form-urlencoded":
            [text] = parse_qs(self.body.decode(), strict_parsing=True)["payload"]
            return text.encode()
        return self.body

    @property
    def event(self) -> dict[str, Any]:
        """The parsed payload."""
        return json.loads(self.payload)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what some tests are about."""


class Receiver:
    """Use with `with`. `answer` may be set at any time; 200 unless it says otherwise."""

    def __init__(self, port: int = 0, answer: Answer | None = None) -> None:
        self.calls: list[Call] = []
        self.answer: Answer = answer or (lambda _: 200)
        self.size = 2  # bytes of an answer
        self.location = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                receiver.calls.append(call)
                status = receiver.answer(call)
                if status is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(receiver.size))
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.end_headers()
                left = receiver.size
                while left > 0:
                    left -= self.wfile.write(b"." * min(left, 65_536))

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = _Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The parsed payloads so far."""
        return [call.event for call in list(self.calls)]

    def wait(self, count: int, seconds: float = 15) -> list[Call]:
        """The calls, once there are so many; AssertionError after `seconds`."""
        deadline = time.monotonic() + seconds
        while len(self.calls) < count:
            assert time.monotonic() < deadline, f"{len(self.calls)} of {count} calls"
            time.sleep(0.01)
        return list(self.calls)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
