"""Reason codes of MQTT 5 (2.4) and what remains of them in 3.1.1, and the two exceptions that carry them."""

from enum import IntEnum

from thingstead.model.errors import InvalidInput, LimitReached, MalformedBody, ThingsteadError, Unavailable


class Reason(IntEnum):
    """MQTT 5 reason codes. From 0x80 on they are refusals."""

    SUCCESS = 0x00
    DISCONNECT_WITH_WILL = 0x04
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_ID_NOT_VALID = 0x85
    BAD_CREDENTIALS = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_ID_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F


# 3.1.1 has five refusals (3.2.2.3); what fits none of them is "server unavailable": try again later.
_REFUSED_311 = {
    Reason.UNSUPPORTED_PROTOCOL_VERSION: 1,
    Reason.CLIENT_ID_NOT_VALID: 2,
    Reason.BAD_CREDENTIALS: 4,
    Reason.BAD_AUTHENTICATION_METHOD: 4,
    Reason.NOT_AUTHORIZED: 5,
    Reason.BANNED: 5,
}


def connack_code(reason: Reason, level: int) -> int:
    """The return code of a CONNACK that refuses, in the client's protocol level."""
    return int(reason) if level >= 5 else _REFUSED_311.get(reason, 3)


class ConnectRefused(ThingsteadError):
    """A CONNECT that is not let in. Raised by the authenticator; `reason` must be a refusal (from 0x80 on)."""

    code = "connect_refused"

    def __init__(self, reason: Reason, message: str = ""):
        super().__init__(message or reason.name.replace("_", " ").lower())
        self.reason = reason


class MalformedPacket(MalformedBody):
    """Bytes that are no MQTT, or MQTT that its own rules forbid. The connection cannot go on."""

    def __init__(self, message: str, reason: Reason = Reason.MALFORMED_PACKET):
        super().__init__(message, field="packet")
        self.reason = reason


def reason_of(error: BaseException) -> Reason:
    """Why a connection is closed whose messages could not be settled. Only codes that DISCONNECT may carry (MQTT 5,
    3.14.2.1).
    """
    if isinstance(error, MalformedPacket):
        return error.reason
    if isinstance(error, LimitReached):
        return Reason.QUOTA_EXCEEDED
    if isinstance(error, Unavailable):
        return Reason.SERVER_BUSY
    if isinstance(error, InvalidInput):
        return Reason.IMPLEMENTATION_SPECIFIC
    return Reason.UNSPECIFIED
