"""Events: what live listeners are told of once it is durable, and the subjects they ask for (design.md 4.3).

Pure. Times are microseconds UTC. An event never changes after it was published: listeners share it.
"""

from typing import Final, Literal, TypeAlias

import msgspec

from thingstead.model.shadow import Shadow
from thingstead.model.values import Json


class Point(msgspec.Struct, frozen=True, gc=False):
    """One reading of a report."""

    path: str
    sensor: str  # id of the sensor object; "" over the cap of sensors
    value: Json
    time: int


class Reported(msgspec.Struct, frozen=True):
    """One report of a thing, or several in a row, became durable; the points are in the order of the reports."""

    app: str
    thing: str
    parent: str  # id of the thing's parent, its site as a rule; "" without one
    version: int  # shadow version after the last
    points: tuple[Point, ...]


class ObjectChanged(msgspec.Struct, frozen=True):
    """An object was written or deleted."""

    app: str
    id: str
    type: str
    op: Literal["create", "update", "delete"]
    parent: str  # its parentid, "" without one
    public: bytes  # the bytes after the change; before it for a delete


Event: TypeAlias = Reported | ObjectChanged
"""What the hub carries (ports/hub)."""


class ShadowChanged(msgspec.Struct, frozen=True):
    """A shadow accepted a change of either section; `previous` and `current` are snapshots (things.md 7.1).

    Not an `Event`: snapshots are made only for who asked for those of this thing (core/ingest.observe_shadows).
    """

    app: str
    thing: str
    previous: Shadow
    current: Shadow
    time: int
    token: str | None


ORPHAN: Final = "\x1f"
"""In place of the parent's id for what has no parent: the default site's listeners want it too (doors.md 9)."""


def subject(app: str, id: str) -> str:
    """What happens to one object: its changes, its reports, those of a thing or sensor to its parents' as well."""
    return f"{app}\x1f{id}"


def everything(app: str) -> str:
    """All that happens in one app."""
    return f"{app}\x1f"
