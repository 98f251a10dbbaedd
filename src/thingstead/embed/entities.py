"""User-defined classes (objects.md 21):

    class Kitten(thingstead.Object):
        paws: int = stored(4, min=0, max=8)   # kept; validated by constraints of objects.md 11.2
        chip: str = locked("")                # kept; settable on create only
        mood: str = "calm"                    # not kept

Promises: type = the class's name in lower case; what is not declared is not kept, apart from `properties`, the custom
fields that no class declares; an update sends only what has changed since the object was read, so that it undoes
nobody else's change. Locks and validators hold for every door once the class is registered. Objects know no more than
their fields until they are bound to an app, by being read from it, created in it, or `bind`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast, dataclass_transform, get_type_hints

import msgspec

from thingstead.model import declared as rules
from thingstead.model import objects, types
from thingstead.model.declared import Check, Declared, Field
from thingstead.model.errors import InvalidInput, NotFound
from thingstead.model.texts import no_spaces, no_symbols
from thingstead.model.values import Json, JsonObject, is_object

if TYPE_CHECKING:
    from thingstead.embed.app import App
    from thingstead.embed.pager import Pager

_LOCKED = ("id", "type", "timestamp", "parentid", "creatorid")
_OPEN = ("name", "tags", "votes", "stored", "indexed", "cached")
_NO_CHECKS: tuple[Check, ...] = ()


class _Stored(msgspec.Struct, frozen=True):
    """What stands at a stored field until its class is made."""

    default: Any
    factory: Callable[[], Any] | None
    locked: bool
    check: Sequence[Check]
    constraints: Mapping[str, JsonObject]


def stored(
    default: Any = None,
    *,
    factory: Callable[[], Any] | None = None,
    locked: bool = False,
    check: Check | Sequence[Check] = _NO_CHECKS,
    **constraints: Any,
) -> Any:
    """A field that is kept. `factory` makes the default of fields that hold lists or objects.

    `check` are functions that raise ValueError for a wrong value. `constraints` are those of objects.md 11.2:
    `required=True, min=1, max=9, size=(3, 20), digits=(3, 2), pattern="[a-z]+", email=True, url=True, future=True,
    past=True, true=True, false=True`. Raises InvalidInput for others.
    """
    checks = (check,) if callable(check) else tuple(check)
    return _Stored(default, factory, locked, checks, rules.payloads(constraints))


def locked(
    default: Any = None,
    *,
    factory: Callable[[], Any] | None = None,
    check: Check | Sequence[Check] = _NO_CHECKS,
    **constraints: Any,
) -> Any:
    """A field that is kept as it was created: updates of it are ignored. Arguments as for `stored`."""
    return stored(default, factory=factory, locked=True, check=check, **constraints)


@dataclass_transform(kw_only_default=True, field_specifiers=(stored, locked))
class Object:
    """An object; of itself a generic one, of any `type`. Times are ms; fields as in objects.md 2.1.

    `properties` are custom fields without a declaration; `once` what only the answer to the last write told, such as a
    new thing's credentials.
    """

    id: str = ""
    type: str = ""
    timestamp: int = 0
    name: str = ""
    parentid: str | None = None
    creatorid: str | None = None
    updated: int | None = None
    tags: list[str] = cast("list[str]", None)
    votes: int = 0
    version: int = 0
    stored: bool = True
    indexed: bool = True
    cached: bool = True
    properties: JsonObject = cast(JsonObject, None)
    once: JsonObject = cast(JsonObject, None)

    _stored: ClassVar[Mapping[str, _Stored]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: value for name, value in vars(cls).items() if isinstance(value, _Stored)}
        for name, field in own.items():
            if hasattr(Object, name) or name in objects.NOT_CUSTOM or name == "properties":
                raise InvalidInput(f"{cls.__name__}.{name}: the name belongs to every object", field=name)
            if name not in cls.__annotations__:
                raise InvalidInput(f"{cls.__name__}.{name} needs an annotation", field=name)
            setattr(cls, name, field.default)
        cls._stored = {**cls._stored, **own}

    def __init__(self, **fields: Any) -> None:
        """Fields by name. Raises TypeError for what the class does not have, InvalidInput for a type not its own."""
        self._app: App | None = None
        self._was: JsonObject = {}  # as it was when read last: what an update is compared with
        self.tags, self.properties, self.once = [], {}, {}
        for name, field in self._stored.items():
            if field.factory is not None:
                setattr(self, name, field.factory())
        for name, value in fields.items():
            if name.startswith("_") or not hasattr(type(self), name) or callable(getattr(type(self), name)):
                raise TypeError(f"{type(self).__name__} has no field '{name}'")
            setattr(self, name, value)
        own = type_of(type(self))
        if type(self) is not Object and self.type not in ("", own):
            raise InvalidInput(f"a {type(self).__name__} is of type {own}, not {self.type}", field="type")
        self.type = self.type or own

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r}, name={self.name!r})"

    # --- fields

    def get_annotated_fields(self, *, flatten: bool = False) -> JsonObject:
        """The declared fields that are set, as JSON; `flatten`: lists and objects as JSON text."""
        found: JsonObject = {}
        for name, field in declared_of(type(self)).fields.items():
            value = getattr(self, name)
            if value is not None:
                found[name] = rules.dumped(field, value, flatten=flatten)
        return found

    def set_annotated_fields(self, fields: Mapping[str, Json]) -> None:
        """Set declared fields from JSON values or JSON text of them; others are ignored. Raises ConstraintViolation."""
        for name, field in declared_of(type(self)).fields.items():
            if (value := fields.get(name)) is not None:
                setattr(self, name, rules.loaded(field, value))

    def add_tags(self, *tags: str) -> None:
        """Add tags, cleaned: without symbols, spaces as `-`, in lower case; blank ones and known ones are left out."""
        cleaned = filter(None, map(_tag, tags))
        self.tags = list(dict.fromkeys([*self.tags, *cleaned]))

    def remove_tags(self, *tags: str) -> None:
        """Remove tags, given as they are or as they were before cleaning."""
        gone = {*tags, *map(_tag, tags)}
        self.tags = [tag for tag in self.tags if tag not in gone]

    # --- from and to JSON

    def load(self, wire: JsonObject) -> Self:
        """Take all fields from an object as a client sees it."""
        fields = declared_of(type(self)).fields
        envelope = {k: v for k, v in wire.items() if k in objects.ENVELOPE and k != "appid"}
        for name in objects.ENVELOPE - {"appid"}:
            setattr(self, name, envelope.get(name, getattr(Object, name)))
        self.tags = self.tags or []
        for name in fields:
            factory = self._stored[name].factory
            setattr(self, name, factory() if factory is not None else self._stored[name].default)
        self.set_annotated_fields(wire)
        own = {k: v for k, v in wire.items() if k not in objects.NOT_CUSTOM}
        self.properties = {k: v for k, v in own.items() if k not in fields}
        self._was = self.body()
        return self

    def body(self) -> JsonObject:
        """The whole object as a client would send it: declared fields go before equal names in `properties`."""
        body: JsonObject = {name: getattr(self, name) for name in (*_LOCKED, *_OPEN, "version", "updated")}
        body["tags"] = list(self.tags)
        if not self.timestamp:
            del body["timestamp"]
        given = {name: value for name, value in body.items() if value not in (None, "", [])}
        custom = msgspec.to_builtins(self.properties, str_keys=True)
        return {**(custom if is_object(custom) else {}), **given, **self.get_annotated_fields()}

    def changes(self) -> JsonObject:
        """What an update sends: what is not as it was read; null for a field that is gone."""
        now = self.body()
        changed: JsonObject = {name: value for name, value in now.items() if self._was.get(name) != value}
        changed |= dict.fromkeys((name for name in self._was if name not in now), None)
        for name in (*_LOCKED, "updated"):
            changed.pop(name, None)
        if changed.get("tags", ()) is None:
            changed["tags"] = []
        if self.version > 0:
            changed["version"] = self.version
        return changed

    # --- in an app

    def bind(self, app: "App") -> Self:
        """Make this an object of an app, for all that follows; nothing is written."""
        self._app = app
        return self

    @property
    def app(self) -> "App":
        """The app it is bound to. Raises InvalidInput if it is not."""
        if self._app is None:
            raise InvalidInput("the object belongs to no app yet: create it in one, or bind it", field="app")
        return self._app

    async def create(self, app: "App | None" = None) -> str:
        """Store it as a new object, or over one of the same id; its id. Raises as `Dao.create`."""
        return await (app or self.app).dao.create(self)

    async def update(self) -> None:
        """Store what has changed. Raises as `Dao.update`."""
        await self.app.dao.update(self)

    async def delete(self) -> bool:
        """Delete it and what goes with it; True if it was there."""
        return await self.app.dao.delete(self)

    async def exists(self) -> bool:
        """True if an object of this id is stored."""
        return bool(self.id) and await self.app.dao.read(self.id) is not None

    async def vote_up(self, voter: str) -> bool:
        """Vote for it (objects.md 8); True if it counted. `votes` moves with it."""
        return await self._vote(voter, up=True)

    async def vote_down(self, voter: str) -> bool:
        """Vote against it; True if it counted."""
        return await self._vote(voter, up=False)

    async def _vote(self, voter: str, *, up: bool) -> bool:
        counted = await self.app.vote(self.id, voter, up=up)
        if counted:
            self.votes += 1 if up else -1
            self._was["votes"] = self.votes
        return counted

    async def link(self, other: "Object | str") -> str:
        """Link it to another object (objects.md 7); the linker's id."""
        return await self.app.link(self.id, _id(other))

    async def unlink(self, other: "Object | str", type2: str = "") -> None:
        """Remove a link; `type2` is the other's type, needed where only its id is given."""
        await self.app.unlink(self.id, type2 or (other.type if isinstance(other, Object) else ""), _id(other))

    async def unlink_all(self) -> None:
        """Remove all its links."""
        await self.app.unlink_all(self.id)

    async def is_linked(self, other: "Object | str", type2: str = "") -> bool:
        """True if the two are linked."""
        return await self.app.is_linked(self.id, type2 or (other.type if isinstance(other, Object) else ""), _id(other))

    async def linked(self, type2: str, query: str = "", pager: "Pager | None" = None) -> "list[Object]":
        """Linked objects of a type, of which `query` searches what links keep of them; blank: all."""
        return await self.app.linked(self.id, type2, query, pager)

    async def children(self, type2: str, query: str = "", pager: "Pager | None" = None) -> "list[Object]":
        """Objects of a type whose `parentid` is this one; `query` narrows."""
        return await self.app.children(self.id, type2, query, pager)

    async def count_children(self, type2: str) -> int:
        """How many children of a type it has."""
        return await self.app.count_children(self.id, type2)

    async def delete_children(self, type2: str) -> None:
        """Delete its children of a type."""
        await self.app.delete_children(self.id, type2)

    async def parent(self) -> "Object | None":
        """The object that `parentid` names."""
        return await self.app.dao.read(self.parentid) if self.parentid else None

    async def creator(self) -> "Object | None":
        """The object that `creatorid` names."""
        return await self.app.dao.read(self.creatorid) if self.creatorid else None

    async def refresh(self) -> Self:
        """Read it again. Raises NotFound."""
        found = await self.app.dao.wire(self.id)
        if found is None:
            raise NotFound(f"Object not found: {self.id}", field="id")
        return self.load(found)


def type_of(cls: type[Object]) -> str:
    """The type of a class's objects."""
    return types.GENERIC if cls is Object else cls.__name__.lower()


@lru_cache(maxsize=1024)
def declared_of(cls: type[Object]) -> Declared:
    """What a class declares. Raises InvalidInput if an annotation cannot be read."""
    fields = cls._stored  # pyright: ignore[reportPrivateUsage]
    if not fields:
        return Declared(type_of(cls), {})
    try:
        hints = get_type_hints(cls)
    except Exception as error:
        raise InvalidInput(f"the annotations of {cls.__name__} cannot be read: {error}", field=cls.__name__) from None
    found = {
        name: Field(name, hints[name], field.locked, field.constraints, field.check) for name, field in fields.items()
    }
    return Declared(type_of(cls), found)


def _tag(text: str) -> str:
    return no_spaces(no_symbols(text), "-")


def _id(other: Object | str) -> str:
    return other if isinstance(other, str) else other.id
