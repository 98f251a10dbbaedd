"""The object: a JSON document with the common envelope (objects.md 2), and its conversions. Pure.

Three forms: `Object` in memory, *public bytes* (canonical JSON, spliced into answers), *private bytes* (hidden fields).
Declared fields of built-in types stand in `own`, unknown members in `custom`; on the wire both are flat.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote

import msgspec

from thingstead.model import ids, links, types
from thingstead.model.coercion import flag_of, integer_of, text_of
from thingstead.model.passwords import SECRET
from thingstead.model.query.fields import NEVER_INDEXED
from thingstead.model.users import IDENTIFIER
from thingstead.model.values import Json, JsonObject, dump, is_array, is_object, parse_object

ENVELOPE: Final = frozenset(
    [
        "id",
        "type",
        "appid",
        "timestamp",
        "updated",
        "name",
        "parentid",
        "creatorid",
        "tags",
        "votes",
        "version",
        "stored",
        "indexed",
        "cached",
    ]
)
COMPUTED: Final = frozenset({"objectURI", "plural", "class"})
NOT_CUSTOM: Final = ENVELOPE | COMPUTED


class Object(msgspec.Struct, gc=False):  # JSON has no cycles
    """One object. `app` is the bare identifier of its tenant; times are ms; `docid` and `rev` are internal."""

    id: str
    type: str
    app: str
    timestamp: int
    name: str
    docid: int = 0
    rev: int = 0  # 0: not stored yet
    parentid: str | None = None
    creatorid: str | None = None
    updated: int | None = None
    tags: list[str] | None = None
    votes: int = 0
    version: int = 0
    stored: bool = True
    indexed: bool = True
    cached: bool = True
    own: JsonObject = {}
    custom: JsonObject = {}
    hidden: JsonObject = {}

    def _declared(self) -> JsonObject:
        """The envelope and the declared fields."""
        out: JsonObject = {"id": self.id, "timestamp": self.timestamp, "type": self.type, "appid": self.app}
        if self.parentid is not None:
            out["parentid"] = self.parentid
        if self.creatorid is not None:
            out["creatorid"] = self.creatorid
        if self.updated is not None:
            out["updated"] = self.updated
        out["name"] = self.name
        if self.type != types.VOTE:
            if self.tags is not None:
                out["tags"] = list[Json](self.tags)
            out["votes"] = self.votes
        out["version"] = self.version
        out["stored"] = self.stored
        out["indexed"] = self.indexed
        out["cached"] = self.cached
        out.update(self.own)
        return out

    def values(self) -> JsonObject:
        """What constraints look at: custom fields, then declared ones, hidden ones as well (objects.md 11.3)."""
        spec = types.spec_of(self.type)
        return {**{k: v for k, v in self.hidden.items() if k in spec.fields}, **self._declared(), **self.custom}

    def uri(self) -> str:
        """Where it is, below the root of the API."""
        shown_id = self.id[len(ids.TAG_PREFIX) :] if self.type == "tag" else self.id
        plural = _escaped_type(types.plural(self.type))
        return f"/{plural}/{shown_id if shown_id.isdecimal() else quote(shown_id, safe='')}"

    def wire(self) -> JsonObject:
        """The flat JSON form that clients see."""
        return self._wire(self._declared())

    def _wire(self, out: JsonObject) -> JsonObject:
        out.update(self.custom)
        out["objectURI"] = self.uri()
        out["plural"] = types.plural(self.type)
        return out

    def public(self) -> bytes:
        """The canonical public bytes."""
        return dump(self.wire())

    def private(self) -> bytes | None:
        """The private bytes, None if nothing is hidden."""
        return dump(self.hidden) if self.hidden else None

    def searchable(self) -> JsonObject:
        """The form that is indexed: declared fields at the top, custom ones under `properties` (objects.md 6.5)."""
        return self._searchable(self._declared())

    def forms(self) -> tuple[bytes, JsonObject]:
        """The canonical public bytes and the form that is indexed: every write needs both."""
        declared = self._declared()
        return dump(self._wire(declared.copy())), self._searchable(declared)

    def _searchable(self, out: JsonObject) -> JsonObject:
        if self.own:
            for name in NEVER_INDEXED:
                out.pop(name, None)
        if self.type == links.LINKER:
            out[links.MARKS] = links.marks(self.own)
        if "secret" in self.own:
            out.pop("secret", None)  # of a webhook: shown to its app, never searchable (objects.md D13)
        if self.type == "user":
            for name in types.USER_SECRETS:
                out.pop(name, None)
        if self.custom:
            if self.name == IDENTIFIER and self.type == types.GENERIC:
                out["properties"] = {k: v for k, v in self.custom.items() if k not in SECRET}
            elif NEVER_INDEXED.isdisjoint(self.custom):
                out["properties"] = dict(self.custom)
            else:
                out["properties"] = {k: v for k, v in self.custom.items() if k not in NEVER_INDEXED}
        return out


@lru_cache(maxsize=4096)
def _escaped_type(plural: str) -> str:
    return quote(plural, safe="")


def decode(app: str, public: bytes, private: bytes | None = None, *, docid: int = 0, rev: int = 0) -> Object:
    """The object of stored bytes."""
    wire = parse_object(public)
    spec = types.spec_of(str(wire["type"]))
    obj = Object(
        id=str(wire["id"]),
        type=str(wire["type"]),
        app=app,
        timestamp=integer_of(wire.get("timestamp")),
        name=str(wire.get("name", "")),
        docid=docid,
        rev=rev,
        own={},
        custom={},
        hidden=parse_object(private) if private else {},
    )
    _read_envelope(obj, wire, locked=True)
    obj.own = {name: wire[name] for name in spec.fields if name in wire}
    if spec.custom or any(name not in NOT_CUSTOM and name not in spec.fields for name in wire):
        obj.custom = {k: v for k, v in wire.items() if k not in NOT_CUSTOM and k not in spec.fields}
    return obj


def of_searchable(app: str, fields: Mapping[str, Json], *, docid: int = 0) -> Object:
    """The object whose `searchable` form that is; what is never indexed is lost."""
    properties = fields.get("properties")
    wire = {name: value for name, value in fields.items() if name != "properties"}
    return decode(app, dump({**(properties if is_object(properties) else {}), **wire}), docid=docid)


def _read_envelope(obj: Object, body: Mapping[str, Json], *, locked: bool) -> None:
    """Take the envelope's members from a body; null means "not given" (objects.md 2.1)."""
    for name in ENVELOPE & body.keys():
        value = body[name]
        if value is None:
            continue
        match name:
            case "name":
                obj.name = text_of(value) or obj.name
            case "tags":
                if is_array(value) and obj.type != types.VOTE:  # nobody tags a vote, or votes for one
                    obj.tags = [tag for tag in map(text_of, value) if tag is not None]
            case "timestamp" if locked:
                obj.timestamp = integer_of(value) or obj.timestamp
            case "parentid" if locked:
                obj.parentid = text_of(value)
            case "creatorid" if locked:
                obj.creatorid = text_of(value)
            case "updated":
                obj.updated = integer_of(value)
            case "votes":
                if obj.type != types.VOTE:
                    obj.votes = integer_of(value)
            case "version":
                obj.version = max(0, integer_of(value))  # -1 is Para's own mark, never shown
            case "stored":
                obj.stored = flag_of(value)
            case "indexed":
                obj.indexed = flag_of(value)
            case "cached":
                obj.cached = flag_of(value)
            case _:  # id, type and appid are not the body's to say, as the rest of an existing object's
                pass


def draft(app: str, type_name: str, id: str, body: Mapping[str, Json], *, now_ms: int, docid: int) -> Object:
    """A new object from a client's body (POST, PUT, batch create). Nothing is validated yet."""
    spec = types.spec_of(type_name)
    obj = Object(
        id=id,
        type=type_name,
        app=app,
        timestamp=now_ms,
        name=f"ParaObject {id}",
        docid=docid,
        own={},
        custom={},
        hidden={},
    )
    _read_envelope(obj, body, locked=True)
    for name, spec_field in spec.fields.items():
        value = body.get(name)
        value = spec_field.default if spec_field.server or value is None else spec_field.coerce(value)
        if value is not None:
            (obj.hidden if spec_field.hidden else obj.own)[name] = value
    if spec.custom:
        _merge_custom(obj, spec, body, keep_null=False)
    return obj


def merge(obj: Object, body: Mapping[str, Json]) -> None:
    """PATCH: declared and given replaces, custom fields merge one by one, null removes a custom one (objects.md 3)."""
    spec = types.spec_of(obj.type)
    _read_envelope(obj, body, locked=False)
    for name, spec_field in spec.fields.items():
        value = body.get(name)
        if value is None or spec_field.locked or spec_field.server:
            continue
        coerced = spec_field.coerce(value)
        if coerced is not None:
            (obj.hidden if spec_field.hidden else obj.own)[name] = coerced
    if spec.custom:
        _merge_custom(obj, spec, body, keep_null=True)


def _merge_custom(obj: Object, spec: types.TypeSpec, body: Mapping[str, Json], *, keep_null: bool) -> None:
    custom: JsonObject = dict(obj.custom)
    properties = body.get("properties")
    if is_object(properties):
        custom = dict[str, Json](
            (k, _without_nulls(v) if isinstance(v, (dict, list)) else v)
            for k, v in properties.items()
            if v is not None and k not in NOT_CUSTOM and k not in spec.fields
        )
    for name, value in body.items():
        if name in NOT_CUSTOM or name in spec.fields or (name == "properties" and is_object(value)):
            continue
        if value is not None:
            custom[name] = _without_nulls(value) if isinstance(value, (dict, list)) else value
        elif keep_null:
            custom.pop(name, None)
    obj.custom = custom


def _without_nulls(value: Json) -> Json:
    """An absent value is an absent key, at any depth (objects.md 1.1); in a list a null keeps its place."""
    if is_object(value):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    if is_array(value):
        return [_without_nulls(member) for member in value]
    return value


def select(wire: JsonObject, names: frozenset[str]) -> JsonObject:
    """The members that a `select` names (objects.md 1.3); `properties` gives the whole custom map, nested."""
    spec = types.spec_of(str(wire.get("type", "")))
    custom = {k: v for k, v in wire.items() if k not in NOT_CUSTOM and k not in spec.fields} if spec.custom else {}
    out: JsonObject = {}
    for name in names:
        if name == "properties" and custom:
            out["properties"] = custom
        elif name in wire:
            out[name] = wire[name]
        elif name.startswith("properties.") and name[11:] in custom:
            out[name[11:]] = custom[name[11:]]
    return {k: out[k] for k in (*wire, "properties") if k in out}
