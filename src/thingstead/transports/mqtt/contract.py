"""What the MQTT transport and those who use it say to each other: limits, who connects, what comes in, how it is
settled.

A door registers handlers with `Broker.route`; the composition hands in an authenticator. Neither sees bytes, packets
or sockets.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from thingstead.transports.mqtt.properties import Properties
from thingstead.transports.mqtt.reasons import Reason

if TYPE_CHECKING:
    from thingstead.transports.mqtt.session import Session

Listener: TypeAlias = Literal["tls", "plain", "websocket"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Every bound of the transport (things.md 6.3, 6.5). Sizes in bytes, times in seconds."""

    max_packet: int = 131_072
    topic_bytes: int = 1_024
    topic_levels: int = 64
    client_id_bytes: int = 256
    receive_maximum: int = 100
    """QoS 1 and 2 messages in flight, each way."""
    topic_aliases: int = 32
    subscriptions: int = 100
    """Per session."""
    offline_queue: int = 1_000
    """Messages waiting per session, connected or not; the oldest is dropped."""
    retained: int = 100_000
    unsettled: int = 1_000
    """Messages handed to handlers and not settled, per connection; then it is not read."""
    write_buffer: int = 262_144
    """Bytes a client has not taken; then QoS 0 is dropped, QoS 1 queued, and the connection not read."""
    session_expiry_default: int = 3_600
    """For 3.1.1 sessions that are not clean; MQTT 5 names its own."""
    session_expiry_max: int = 604_800
    keep_alive_default: int = 1_200
    """Where a client says 0."""
    connect_timeout: float = 10.0
    """From the first byte of a socket to CONNECT, and again for the authenticator."""
    close_timeout: float = 5.0
    """For a peer that does not take the last bytes."""
    connections: int = 50_000
    connections_of_address: int = 0
    """0: no limit; negative: not at loopback (`model/rates.Places`)."""
    connects: int = 0
    """Per address and minute; as above."""
    publish_rate: int = 0
    """Messages a second that one connection may publish, over ten seconds; 0: no limit."""
    failed_authentications: int = 10
    """Per address and minute."""
    refusal_seconds: int = 60


class ConnectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an authenticator may want to know of a CONNECT."""

    client_id: str
    """May be empty: the server is to assign one."""
    username: str | None
    password: bytes | None
    fingerprint: str | None
    """SHA-256 (hex) of the client's certificate in DER, whose chain TLS has checked; None without one."""
    listener: Listener
    loopback_bound: bool
    """The listener is bound to loopback (doors.md 28); says nothing of the peer."""
    peer: str
    """The peer's address without port."""
    level: int
    will_topic: str | None


def allow_all(_topic: str) -> bool:
    """A permission that is always given."""
    return True


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Who has connected, and what it may do.

    The three permissions are pure functions. Without `prepare` they are asked once per connection and topic: whoever
    changes rights closes the connection (`Broker.close_where`); with it, has them asked again (`Broker.review`).
    """

    client_id: str
    """The client id in force; empty: the broker makes one."""
    principal: object = None
    """Opaque; handlers find it at `Inbound.session.principal`."""
    owner: str = ""
    """The principal as stable text, at most 500 bytes. Sessions are kept apart by (owner, client id): nobody takes over
    another owner's session by its client id."""
    allow_publish: Callable[[str], bool]
    """May it publish to this topic?"""
    allow_subscribe: Callable[[str], bool]
    """May it see every topic that this filter can match? (`model.topics.covers`)"""
    allow_receive: Callable[[str], bool] = allow_all
    """May it receive a message of this topic? For owners who grant wider filters than rights; asked per delivery."""
    prepare: Callable[[Sequence[str]], Awaitable[None]] | None = None
    """Where rights must be looked up: awaited with topics and filters right before the first two permissions are asked
    about them, every time, at CONNECT (the will, the subscriptions of a session that is there), for each PUBLISH and
    SUBSCRIBE, and for all subscriptions on `Broker.review`. The client's input waits meanwhile, in order; what was
    learned counts until the next call. Raises ConnectRefused, which ends the connection."""


Authenticate: TypeAlias = Callable[[ConnectRequest], Awaitable[Grant]]
"""Raises ConnectRefused. Anything else it raises refuses with "server unavailable"."""


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """A message that a client published and was allowed to."""

    session: "Session"
    topic: str
    payload: bytes
    qos: int
    retain: bool
    levels: tuple[str, ...]
    properties: Properties | None
    """MQTT 5 only, and None where there are none."""
    packet_id: int
    """The transport's own; 0 for QoS 0."""


Verdict: TypeAlias = Reason
"""`Reason.SUCCESS`, or a refusal: PUBACK/PUBREC carry it to MQTT 5, a 3.1.1 client is disconnected (it knows no other
no).
"""

Settle: TypeAlias = Callable[[Sequence[Verdict] | BaseException | None], None]
"""Called once, at once or later: None if all is well and durable, a verdict for each message, or the exception that
prevented it; then nothing is acknowledged and the connection closed. Further calls are ignored. Must be called in the
loop's thread.
"""

Handler: TypeAlias = Callable[[list[Inbound], Settle], None]
"""Takes consecutive messages of one connection and one socket read. An exception it raises settles them."""


class Wire:
    """What a connection needs from whatever carries its bytes. Methods never raise."""

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Close after what was written has gone, or after `Limits.close_timeout`."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        raise NotImplementedError

    def resume_reading(self) -> None:
        raise NotImplementedError


class Peer(msgspec.Struct, frozen=True):
    """What a listener knows of a connection before its first byte."""

    address: str
    listener: Listener
    loopback_bound: bool
    fingerprint: str | None = None
    excess: Reason | None = None
    """Why this connection is one too many: it is told so when it has said CONNECT."""


class Stats(msgspec.Struct):
    """Counters since the start, and what is there now."""

    connections: int = 0
    sessions: int = 0
    subscriptions: int = 0
    retained: int = 0
    received: int = 0
    delivered: int = 0
    dropped: int = 0
    """Deliveries lost to a slow or absent subscriber's bounded queue, or too large for it."""
    denied: int = 0
    """Publishes and subscriptions without a right to."""
    refused: int = 0
    """CONNECTs."""
    limited: int = 0
    """Connections and clients over a limit of number or rate, refused or closed."""
