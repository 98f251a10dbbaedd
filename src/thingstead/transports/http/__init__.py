"""HTTP for doors: reading a bounded body and sending an answer, without a framework in between."""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

import msgspec

from thingstead.model.errors import InvalidInput, ThingsteadError, TooLarge

_ADDRESS: Final = frozenset("0123456789abcdefABCDEF.:")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_HOST: Final = re.compile(r"[A-Za-z0-9._~\-\[\]:%]{1,255}")


class Disconnected(Exception):
    """The client went away before its request was read."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole request body. Raises TooLarge once it exceeds `limit` bytes, Disconnected if the client went away."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if len(body) > limit:
        raise TooLarge(f"Request is too large - the maximum is {limit // 1024} KB.", field="body")
    if not message.get("more_body"):
        return body
    chunks = bytearray(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunks += message.get("body", b"")
        if len(chunks) > limit:
            raise TooLarge(f"Request is too large - the maximum is {limit // 1024} KB.", field="body")
    return bytes(chunks)


async def send_answer(
    send: Send,
    status: int,
    body: bytes = b"",
    *,
    content_type: bytes = b"application/json",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Send a whole answer; an empty body has no content type."""
    fields = [(b"content-length", b"%d" % len(body)), *headers]
    if body:
        fields.append((b"content-type", content_type))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class Refused(msgspec.Struct, frozen=True):
    """An error answer."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def refusal_headers(status: int, error: ThingsteadError) -> tuple[tuple[bytes, bytes], ...]:
    """What HTTP wants beside an error: how to authenticate (401), what is allowed (405), when to come back (429)."""
    if status == 401:
        return ((b"www-authenticate", b"Bearer"),)
    if status == 405 and "allow" in error.details:
        return ((b"allow", error.details["allow"].encode()),)
    return tuple(retry_after(error))


def retry_after(error: ThingsteadError) -> list[tuple[bytes, bytes]]:
    """`Retry-After`, where an error says when its limit ends."""
    wait = error.details.get("retry_after")
    return [(b"retry-after", wait.encode())] if wait else []


class TrustedProxies:
    """Peers whose `X-Forwarded-*` headers count."""

    def __init__(self, text: str) -> None:
        """`text` is a comma list of addresses or networks. Raises ValueError for what is none."""
        names = [part.strip() for part in text.split(",") if part.strip()]
        self._networks = [ipaddress.ip_network(name, strict=False) for name in names]

    def trust(self, scope: Scope) -> bool:
        """True if the peer of this request is one of them."""
        peer: tuple[str, int] | None = scope.get("client")
        return peer is not None and self.includes(peer[0])

    def includes(self, text: str) -> bool:
        """True if an address is one of theirs."""
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def client(self, scope: Scope) -> str:
        """The address of who sent this request: the peer's, or what a trusted proxy says; "" if there is none."""
        if self._networks and self.trust(scope):
            for name, value in scope["headers"]:
                if name == b"x-forwarded-for":
                    forwarded = value.decode("latin-1").rpartition(",")[2].strip()
                    if forwarded and _ADDRESS.issuperset(forwarded):
                        return forwarded
        peer: tuple[str, int] | None = scope.get("client")
        return peer[0] if peer else ""


def client_address(scope: Scope, headers: Mapping[str, str], proxies: TrustedProxies) -> tuple[str, str]:
    """Scheme and host, with its port, under which the client of a request or handshake sees this server.

    Forwarded ones count only where the peer is a trusted proxy. Raises InvalidInput for an impossible host.
    """
    scheme: str = scope["scheme"]
    host = headers.get("host", "")
    if proxies.trust(scope):
        forwarded = _last(headers.get("x-forwarded-proto", "")) or headers.get("cloudfront-forwarded-proto", "").strip()
        scheme = forwarded or _forwarded(headers, "proto") or scheme
        host = _last(headers.get("x-forwarded-host", "")) or _forwarded(headers, "host") or host
    if not host:
        name, port = scope.get("server") or ("localhost", None)
        host = name if port is None else f"{name}:{port}"
    if not _HOST.fullmatch(host):
        raise InvalidInput("the Host header names no host", field="Host")
    return scheme.lower(), host


def _last(header: str) -> str:
    """The value that the nearest proxy wrote."""
    return header.rpartition(",")[2].strip()


def _forwarded(headers: Mapping[str, str], name: str) -> str:
    for part in _last(headers.get("forwarded", "")).split(";"):
        key, _, value = part.strip().partition("=")
        if key.lower() == name:
            return value.strip('"')
    return ""


def bound_to_loopback(scope: Scope) -> bool:
    """True if the listener of this request is bound to loopback (doors.md 28); says nothing of the peer."""
    state: dict[str, Any] = scope.get("state") or {}
    return bool(state.get("loopback_bound", False))
