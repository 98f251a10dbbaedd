"""Signed requests of one app, sent to the byte as written: no client library normalises their paths."""

import json
from email.message import Message
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from support.sign import Signer

SECONDS = 20


class Reply:
    """An answer, read whole."""

    def __init__(self, status: int, headers: Message, content: bytes) -> None:
        self.status_code = status
        self.headers = headers
        self.content = content

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode()

    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.content)


class Client:
    """One connection's worth of requests; `signer` None: unsigned."""

    def __init__(self, url: str, signer: Signer | None = None) -> None:
        self.url = url
        self.signer = signer

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request; `body` is bytes as they are, or a value to send as JSON. `headers` replace those signed."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = self.signer.headers(method, self.url + path, data) if self.signer else {}
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=SECONDS)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in {**sent, "Content-Length": str(len(data)), **headers}.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders(data or None)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()
