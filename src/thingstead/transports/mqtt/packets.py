"""The packets of MQTT 3.1.1 and 5 as values (chapter 3 of both). What a level does not have is left at its default."""

from typing import TypeAlias

import msgspec

from thingstead.transports.mqtt.properties import NONE, Properties


class Will(msgspec.Struct, frozen=True):
    """What is published when a client vanishes."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = NONE


class Connect(msgspec.Struct, frozen=True):
    """`level` is 4 (3.1.1) or 5; `keep_alive` in seconds."""

    client_id: str
    level: int = 4
    clean_start: bool = True
    keep_alive: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = NONE


class Connack(msgspec.Struct, frozen=True):
    """`code` is a return code (3.1.1) or a reason code (5)."""

    session_present: bool = False
    code: int = 0
    properties: Properties = NONE


class Publish(msgspec.Struct, frozen=True, gc=False):
    """`properties` is None where there are none: the common case costs nothing."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    packet_id: int = 0
    dup: bool = False
    properties: Properties | None = None


class Ack(msgspec.Struct, frozen=True, gc=False):
    """PUBACK, PUBREC, PUBREL or PUBCOMP: `kind` is the packet type."""

    kind: int
    packet_id: int
    code: int = 0
    properties: Properties = NONE


class Request(msgspec.Struct, frozen=True):
    """One filter of a SUBSCRIBE with its options (MQTT 5, 3.8.3.1)."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(msgspec.Struct, frozen=True):
    packet_id: int
    requests: tuple[Request, ...]
    properties: Properties = NONE


class Suback(msgspec.Struct, frozen=True):
    packet_id: int
    codes: tuple[int, ...]
    properties: Properties = NONE


class Unsubscribe(msgspec.Struct, frozen=True):
    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = NONE


class Unsuback(msgspec.Struct, frozen=True):
    """`codes` is empty in 3.1.1."""

    packet_id: int
    codes: tuple[int, ...] = ()
    properties: Properties = NONE


class Pingreq(msgspec.Struct, frozen=True):
    pass


class Pingresp(msgspec.Struct, frozen=True):
    pass


class Disconnect(msgspec.Struct, frozen=True):
    code: int = 0
    properties: Properties = NONE


class Auth(msgspec.Struct, frozen=True):
    code: int = 0
    properties: Properties = NONE


Packet: TypeAlias = (
    Connect
    | Connack
    | Publish
    | Ack
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
    | Auth
)
