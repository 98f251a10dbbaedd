"""The port through which MQTT sessions, their queues and retained messages survive a restart (things.md 6.5).

The values are opaque bytes with a format of the transport's own; an engine only keeps them. Everything is read once, at
start; afterwards there are only batches of writes. The conformance suite is `conformance/sessions.py`.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol


class Space(StrEnum):
    """The three key spaces. Keys are unique within one, text without NUL, at most 1,400 bytes of UTF-8
    (retained: the topic itself, at most `Limits.topic_bytes`)."""

    SESSIONS = "mqtt.sessions"
    QUEUED = "mqtt.queued"
    RETAINED = "mqtt.retained"


class Change(NamedTuple):
    """Put `value` at `key`, or delete the key if it is None (deleting what is not there is no error)."""

    space: Space
    key: str
    value: bytes | None


class SessionStore(Protocol):
    """Durable key-value spaces."""

    async def load(self, space: Space) -> Sequence[tuple[str, bytes]]:
        """All entries of a space, in any order. Raises Unavailable."""
        ...

    async def apply(self, changes: Sequence[Change]) -> None:
        """Write a batch, all or nothing; durable on return. No (space, key) appears twice in a batch.

        Never called again before the former call has returned. Raises StoreFailed or Unavailable; nothing has changed
        then, and the same changes come again later, merged with newer ones.
        """
        ...
