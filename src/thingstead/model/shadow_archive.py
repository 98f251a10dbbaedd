"""A shadow as it stands in an archive, and back: state, times and entity, without what belongs to one server. Pure.

Numbers of series and ids of sensors stay behind: they could name another tenant's history. A leaf finds its sensor
again by its path, at the next report.
"""

from typing import Annotated, Any, Final, TypeAlias

import msgspec

from thingstead.model.errors import InvalidInput
from thingstead.model.shadow import Attribute, Leaf, Shadow, check_values, walk
from thingstead.model.values import Json, JsonObject, is_object

SHADOW: Final = "deviceShadow"
"""The member of a thing's or entity's entry that holds it."""

_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class _Attribute(msgspec.Struct):
    type: str
    metadata: dict[str, Any] = {}


class _Kept(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Times in us."""

    version: _Number = 0
    reported: dict[str, Any] = {}
    desired: dict[str, Any] = {}
    state_at: dict[str, _Number] = {}
    desired_at: dict[str, _Number] = {}
    attributes: dict[str, _Attribute] = {}
    entity_id: str = ""
    entity_type: str = ""
    entity_path: str = "/"
    shown: bool = False
    last_seen: _Number = 0
    last_stamp: _Number = 0
    updated: _Number = 0
    created: _Number = 0


_SAME = [
    name
    for name in _Kept.__struct_fields__
    if name in Shadow.__struct_fields__ and name not in ("attributes", "desired", "reported")
]


def kept(shadow: Shadow) -> JsonObject:
    """The part of a shadow that an archive holds."""
    out = _Kept(
        reported=shadow.reported,
        desired=shadow.desired,
        state_at={path: leaf.state_at for path, leaf in shadow.leaves.items()},
        attributes={name: _Attribute(each.type, each.metadata) for name, each in shadow.attributes.items()},
        **{name: getattr(shadow, name) for name in _SAME},
    )
    return msgspec.to_builtins(out)


def restored(value: Json, state: Json, now: int) -> Shadow:
    """The shadow that `kept` described, else one that reported `state` at `now`. Raises InvalidInput.

    `state` is the `deviceState` of an archive that holds no shadow, as Para's: what it shows counts as reported.
    """
    if value is None:
        reported = state if is_object(state) else {}
        value = {"reported": reported, "updated": now, "created": now, "version": 1 if reported else 0}
    try:
        given = msgspec.convert(value, _Kept)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{SHADOW}: {error}", field=SHADOW) from None
    check_values(given.reported)
    check_values(given.desired)
    shadow = Shadow(
        reported=given.reported,
        desired=given.desired,
        attributes={name: Attribute(each.type, each.metadata) for name, each in given.attributes.items()},
        **{name: getattr(given, name) for name in _SAME},
    )
    # A time ahead of ours would keep every report from changing its leaf.
    shadow.desired_at = {path: min(at, now) for path, at in given.desired_at.items()}
    shadow.leaves = {path: Leaf(0, "", min(given.state_at.get(path, now), now)) for path, _ in walk(given.reported)}
    for name in ("last_seen", "last_stamp", "updated", "created"):
        setattr(shadow, name, min(getattr(shadow, name), now))
    return shadow
