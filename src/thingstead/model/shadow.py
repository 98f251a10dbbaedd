"""The shadow: desired and reported state of one thing (things.md 7, 8; doors.md 4, 5, 18, 19). Pure.

`Shadow` is the whole row that a steady report needs: the two documents, and for every reported leaf its sensor, the
time of its state and its newest reading. Leaves are values that are not objects; arrays are leaves. Times are
microseconds UTC.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from thingstead.model.errors import InvalidInput, TooLarge
from thingstead.model.paths import join, split
from thingstead.model.values import Json, JsonObject, dump, is_object

MAX_DEPTH: Final = 6  # things.md 4.5
MAX_SET_DEPTH: Final = 64  # mode set has no limit of its own; this one keeps recursion short
MAX_BYTES: Final = 8192
MAX_SENSORS: Final = 200  # things.md 9


class Leaf(msgspec.Struct, array_like=True, gc=False):
    """What is known of one reported path. It outlives the value, so that a leaf that comes back keeps its sensor."""

    series: int  # number of its readings; 0: over the cap of sensors, state only
    sensor: str  # id of the sensor object
    state_at: int  # when its state was set or removed
    time: int = 0  # time of its newest reading; 0: none yet
    value: Any = None  # value of its newest reading


class Attribute(msgspec.Struct, array_like=True, gc=False):
    """The NGSI side of a top-level reported value (agent.md 6, 17.1)."""

    type: str
    metadata: dict[str, Any] = {}


class Shadow(msgspec.Struct, array_like=True):
    """State of one thing (or entity object). Encoded as one blob; fields are only ever added at the end."""

    version: int = 0  # shadow version: +1 at each accepted change (things.md 7.3)
    desired: dict[str, Any] = {}
    reported: dict[str, Any] = {}
    desired_at: dict[str, int] = {}  # path -> when that desired leaf was set
    leaves: dict[str, Leaf] = {}  # path -> its leaf
    attributes: dict[str, Attribute] = {}  # top-level key -> its NGSI type and metadata, where they were stated
    entity_id: str = ""
    entity_type: str = ""
    entity_path: str = "/"
    shown: bool = False  # in the context broker: has a reported attribute or agent configuration (doors.md 14)
    last_seen: int = 0  # arrival of the last report
    last_stamp: int = 0  # the last stamp given to a report; stamps only grow (doors.md 12)
    updated: int = 0  # last change of either section
    created: int = 0
    parent: str = ""  # the thing's parent, so that a report knows its site's listeners without a lookup


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Shadow)


def encode(shadow: Shadow) -> bytes:
    """The shadow as one blob."""
    return _encoder.encode(shadow)


def decode(data: bytes) -> Shadow:
    """The shadow of a blob."""
    return _decoder.decode(data)


def walk(document: Mapping[str, Json], path: str = "") -> Iterator[tuple[str, Json]]:
    """(path, value) of every leaf of a document; null and empty objects are not leaves."""
    for key, value in document.items():
        here = join(path, key)
        if is_object(value):
            yield from walk(value, here)
        elif value is not None:
            yield here, value


def lookup(document: Mapping[str, Json], path: str) -> Json:
    """The value at a path, None if there is none."""
    value: Json = None
    for key in split(path):
        value = document.get(key)
        document = value if is_object(value) else {}
    return value


def merge_reported(shadow: Shadow, patch: Mapping[str, Json], at: int) -> list[tuple[str, Json]]:
    """Merge a patch into `reported` (mode merge): null removes, objects merge, anything else replaces.

    A leaf whose state is newer than `at` keeps it (doors.md 5). Returns every leaf of the patch as (path, value), also
    those whose state was kept, and removed leaves as (path, None): all of them are readings. Leaves that have no `Leaf`
    yet are set in the document; the caller adds their Leaf.
    """
    leaves = shadow.leaves
    reported = shadow.reported
    out: list[tuple[str, Json]] = []
    for key, value in patch.items():
        if type(value) in _SCALARS and "." not in key and "\\" not in key:
            leaf = leaves.get(key)
            if leaf is None or type(reported.get(key)) is dict:
                _replace(shadow, reported, key, key, value, at, out)
            else:
                out.append((key, value))
                if at >= leaf.state_at:
                    leaf.state_at = at
                    reported[key] = value
        else:
            _merge(shadow, reported, key, join("", key), value, at, out)
    return out


_SCALARS: Final = frozenset({int, float, str, bool})


def _merge(
    shadow: Shadow, parent: JsonObject, key: str, path: str, value: Json, at: int, out: list[tuple[str, Json]]
) -> None:
    if is_object(value):
        below = parent.get(key)
        fresh: JsonObject = {} if not is_object(below) else below
        if not is_object(below) and key in parent:
            _remove(shadow, parent, key, path, at, out)
            if key in parent:  # a newer leaf stands where the object would
                out.extend(walk(value, path))
                return
        for child, inner in value.items():
            _merge(shadow, fresh, child, join(path, child), inner, at, out)
        if fresh:
            parent[key] = fresh
        else:
            parent.pop(key, None)
    elif value is None:
        _remove(shadow, parent, key, path, at, out)
    else:
        _replace(shadow, parent, key, path, value, at, out)


def _replace(
    shadow: Shadow, parent: JsonObject, key: str, path: str, value: Json, at: int, out: list[tuple[str, Json]]
) -> None:
    if is_object(parent.get(key)):
        _remove(shadow, parent, key, path, at, out)
    leaf = shadow.leaves.get(path)
    out.append((path, value))
    if is_object(parent.get(key)):  # newer leaves stand where the value would
        return
    if leaf is None or at >= leaf.state_at:
        parent[key] = value
        if leaf is not None:
            leaf.state_at = at


def _remove(shadow: Shadow, parent: JsonObject, key: str, path: str, at: int, out: list[tuple[str, Json]]) -> None:
    """Drop a value; leaves that are newer than `at` stay."""
    value = parent.get(key)
    if is_object(value):
        for child in list(value):
            _remove(shadow, value, child, join(path, child), at, out)
        if not value:
            del parent[key]
        return
    if key not in parent:
        return
    leaf = shadow.leaves.get(path)
    if leaf is not None:
        if leaf.state_at > at:
            return
        leaf.state_at = at
        out.append((path, None))
    del parent[key]


def set_reported(shadow: Shadow, values: Mapping[str, Json], at: int) -> list[tuple[str, Json]]:
    """Replace top-level values whole (mode set, doors.md 4); null and `{}` are kept. Returns as `merge_reported`.

    Keys are literal names. A leaf whose state is newer than `at` keeps it.
    """
    out: list[tuple[str, Json]] = []
    for key, value in values.items():
        path = join("", key)
        if type(value) in _SCALARS and not is_object(shadow.reported.get(key)):
            _replace(shadow, shadow.reported, key, path, value, at, out)
            continue
        present = dict(walk({key: value}))
        current = shadow.reported.get(key)
        if current is not None:
            for old, _ in list(walk({key: current})):
                leaf = shadow.leaves.get(old)
                if leaf is not None and leaf.state_at > at:
                    # one newer leaf keeps the whole attribute: it is replaced whole or not at all
                    out.extend(present.items())
                    break
            else:
                _drop(shadow, {key: current}, present, at, out)
                _put_whole(shadow, key, value, present, at, out)
            continue
        _put_whole(shadow, key, value, present, at, out)
    return out


def _drop(
    shadow: Shadow, old: Mapping[str, Json], present: Mapping[str, Json], at: int, out: list[tuple[str, Json]]
) -> None:
    for path, _ in walk(old):
        if path not in present:
            leaf = shadow.leaves.get(path)
            if leaf is not None:
                leaf.state_at = at
            out.append((path, None))


def _put_whole(
    shadow: Shadow, key: str, value: Json, present: Mapping[str, Json], at: int, out: list[tuple[str, Json]]
) -> None:
    shadow.reported[key] = value
    for path, item in present.items():
        leaf = shadow.leaves.get(path)
        if leaf is not None:
            leaf.state_at = at
        out.append((path, item))


def drop_reported(shadow: Shadow, at: int, keys: list[str] | None = None) -> list[tuple[str, Json]]:
    """Remove top-level values (all of them without `keys`). Returns the removed leaves as (path, None)."""
    out: list[tuple[str, Json]] = []
    for key in list(shadow.reported) if keys is None else keys:
        _remove(shadow, shadow.reported, key, join("", key), at, out)
        if shadow.reported.get(key) is None or shadow.reported.get(key) == {}:
            shadow.reported.pop(key, None)
        if key not in shadow.reported:
            shadow.attributes.pop(key, None)
    return out


def merge_desired(shadow: Shadow, patch: Mapping[str, Json], at: int) -> None:
    """Merge a patch into `desired`: null removes, objects merge, anything else replaces; empty objects go."""
    _merge_plain(shadow.desired, patch)
    wanted = dict(walk(shadow.desired))
    for path in [p for p in shadow.desired_at if p not in wanted]:
        del shadow.desired_at[path]
    for path in wanted:
        if path not in shadow.desired_at or _touched(patch, path):
            shadow.desired_at[path] = at


def _touched(patch: Mapping[str, Json], path: str) -> bool:
    document: Mapping[str, Json] = patch
    for key in split(path):
        if key not in document:
            return False
        value = document[key]
        if not is_object(value):
            return True
        document = value
    return True


def _merge_plain(target: JsonObject, patch: Mapping[str, Json]) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif is_object(value):
            below = target.get(key)
            fresh = below if is_object(below) else {}
            _merge_plain(fresh, value)
            if fresh:
                target[key] = fresh
            else:
                target.pop(key, None)
        else:
            target[key] = value


def delta(shadow: Shadow) -> JsonObject:
    """What is desired and not (yet) reported so (things.md 7.3, step 6)."""
    return _difference(shadow.desired, shadow.reported)


def _difference(desired: Mapping[str, Json], reported: Mapping[str, Json]) -> JsonObject:
    out: JsonObject = {}
    for key, value in desired.items():
        if key not in reported:
            out[key] = value
            continue
        other = reported[key]
        if is_object(value) and is_object(other):
            below = _difference(value, other)
            if below:
                out[key] = below
        elif value != other or (type(value) is not type(other) and not _numbers(value, other)):
            out[key] = value
    return out


def _numbers(a: Json, b: Json) -> bool:
    return (
        isinstance(a, (int, float))
        and isinstance(b, (int, float))
        and not isinstance(a, bool)
        and not isinstance(b, bool)
    )


def device_state(shadow: Shadow) -> JsonObject:
    """What `deviceState` shows: both sections merged by leaf, the newer wins, a tie goes to desired (things.md 8.0)."""
    if not shadow.desired:
        return shadow.reported
    out = _copy(shadow.reported)
    for path, value in walk(shadow.desired):
        leaf = shadow.leaves.get(path)
        if leaf is None or lookup(shadow.reported, path) is None or shadow.desired_at.get(path, 0) >= leaf.state_at:
            _place(out, path, value)
    return out


def _copy(document: JsonObject) -> JsonObject:
    return {key: _copy(value) if is_object(value) else value for key, value in document.items()}


def _place(document: JsonObject, path: str, value: Json) -> None:
    *parents, last = split(path)
    for key in parents:
        below = document.get(key)
        if not is_object(below):
            below = document[key] = {}
        document = below
    document[last] = value


def check_section(name: str, value: Json, *, max_depth: int = MAX_DEPTH) -> None:
    """Refuse a section that is neither object nor null, or nested too deeply, or with a key that can be no part of a
    path (things.md 7.4). Raises InvalidInput.
    """
    if value is None:
        return
    if not is_object(value):
        raise InvalidInput(f"{name.capitalize()} node must be an object", field=f"state.{name}")
    _check_levels(value, max_depth, max_depth, f"state.{name}")


def check_values(values: Mapping[str, Json], *, max_depth: int = MAX_SET_DEPTH) -> None:
    """Refuse values of mode set (doors.md 4) that no rule here could walk through. Raises InvalidInput."""
    _check_levels(values, max_depth, max_depth, "attributes")


def _check_levels(value: Mapping[str, Json] | list[Json], left: int, max_depth: int, field: str) -> None:
    if not left:
        raise InvalidInput(f"JSON contains too many levels of nesting; maximum is {max_depth}", field=field)
    if isinstance(value, list):
        for item in value:
            if type(item) in _CONTAINERS:
                _check_levels(item, left - 1, max_depth, field)  # pyright: ignore[reportArgumentType]
        return
    for key, item in value.items():
        if not key or "\x00" in key:
            raise InvalidInput("State contains an invalid node", field=field)
        if type(item) in _CONTAINERS:
            _check_levels(item, left - 1, max_depth, field)  # pyright: ignore[reportArgumentType]


_CONTAINERS: Final = frozenset({dict, list})


def check_size(shadow: Shadow, *, max_bytes: int = MAX_BYTES) -> None:
    """Refuse a merged document over the limit (things.md 4.5, 7.3 step 4). Raises TooLarge."""
    if len(dump(shadow.reported)) + len(dump(shadow.desired)) > max_bytes:
        raise TooLarge("The payload exceeds the maximum size allowed", field="state")


def timestamps(document: Mapping[str, Json], times: Mapping[str, int], path: str = "") -> JsonObject:
    """The `metadata` mirror of a document: `{"timestamp": seconds}` per leaf, a list of them for an array."""
    out: JsonObject = {}
    for key, value in document.items():
        here = join(path, key)
        if is_object(value):
            out[key] = timestamps(value, times, here)
        elif isinstance(value, list):
            out[key] = [{"timestamp": times.get(here, 0) // 1_000_000} for _ in value]
        elif value is not None:
            out[key] = {"timestamp": times.get(here, 0) // 1_000_000}
    return out


def reported_times(shadow: Shadow) -> dict[str, int]:
    """path -> when that reported leaf was set."""
    return {path: leaf.state_at for path, leaf in shadow.leaves.items()}
