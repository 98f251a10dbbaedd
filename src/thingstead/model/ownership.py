"""What users and guests may touch, write and see of what permissions let them ask for (identity.md 7.1, 7.2, 10.5, 11).

`OWN` on a type, in either spelling and with or without `/*`, confines users to objects that are their own, on
`type/id` only for that object, on `*` for all types. A `Scope` is that for one caller: made once a request, handed to
whatever reads or writes. Pure. Promises: a guest owns nothing; where `OWN` is on any type, a linker (which keeps copies
of what it joins) is confined as well; what is hidden from users cannot be searched for either. Apps and things have no
scope. Whether a request is permitted at all is model/permissions'.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal

import msgspec

from thingstead.model import links, types, users
from thingstead.model import objects as model
from thingstead.model.errors import Forbidden, InvalidInput, NotFound
from thingstead.model.objects import Object
from thingstead.model.permissions import ALL, EVERYBODY, OWN, Permissions
from thingstead.model.principals import Principal
from thingstead.model.query import ast
from thingstead.model.query.fields import clean
from thingstead.model.query.pattern import literal_prefix
from thingstead.model.values import Json, JsonObject, dump, parse_object

Action = Literal["create", "overwrite", "update", "delete", "link", "unlink"]

_FAILED: Final[Mapping[Action, str]] = {
    "create": "Failed to create object.",
    "overwrite": "Failed to overwrite object.",
    "update": "Failed to update object.",
    "delete": "Failed to delete object.",
    "link": "Failed to create link.",
    "unlink": "Failed to delete link.",
}
_NOT_WRITTEN: Final = frozenset({"appid", "creatorid"})
_SECRETS_OF_USERS: Final = frozenset({"tokenSecret", "password"})
_NOT_WRITTEN_OF_USERS: Final = frozenset({"groups", "active", "identifier"}) | _SECRETS_OF_USERS
_SHOWN_OF_IDENTIFIERS: Final = model.ENVELOPE | model.COMPUTED
_OF_THE_SERVER: Final = ("idp", "twoFA")  # members of users that begin so come from a sign-in
_SIGN_IN: Final = ast.every(ast.Equals("type", (types.GENERIC,)), ast.Equals("name", (users.IDENTIFIER,)))


class Confined(msgspec.Struct, frozen=True):
    """What `OWN` is on, for one subject."""

    everything: bool = False
    types: frozenset[str] = frozenset()
    objects: frozenset[tuple[str, str]] = frozenset()  # (type, id)

    def __bool__(self) -> bool:
        return self.everything or bool(self.types or self.objects)

    def covers(self, type: str, id: str) -> bool:
        """Whether an object must be somebody's own to be touched; a linker holds copies of others."""
        return (
            self.everything or type in self.types or (type, id) in self.objects or (type == links.LINKER and bool(self))
        )

    def about(self, type: str) -> bool:
        """Whether some objects of a type must be somebody's own."""
        return self.everything or type in self.types or any(of == type for of, _ in self.objects)


def confined(lists: Iterable[Mapping[str, Collection[str]]]) -> Confined:
    """What `OWN` is on in any of these lists, whose keys may name types in the singular or the plural.

    >>> sorted(confined([{"todo": ["*", "OWN"], "day/*": ["OWN"], "cat": ["GET"]}]).types)
    ['day', 'todo']
    """
    everything = False
    whole: set[str] = set()
    single: set[tuple[str, str]] = set()
    for resources in lists:
        for resource, methods in resources.items():
            if OWN not in methods:
                continue
            if resource == ALL:
                everything = True
                continue
            first, _, rest = resource.partition("/")
            rest = rest.removesuffix("/*")
            if rest in ("", ALL):
                whole.update(_types_of(first))
            else:
                single.update((name, rest) for name in _types_of(first))
    return Confined(everything, frozenset(whole), frozenset(single))


def _types_of(name: str) -> set[str]:
    """The types that a word means: itself, and those of which it is the plural."""
    singulars = (name[:-1], name[:-2], name[:-3] + "y")
    return {name, *(each for each in singulars if each and types.plural(each) == name)}


class Scope(msgspec.Struct, frozen=True):
    """What one user or guest may touch. `user`: its id, "" of a guest; `admin`: confined in nothing but fields."""

    user: str
    confined: Confined = Confined()
    admin: bool = False

    # --- touching

    def touches(self, type: str, id: str, creatorid: str | None, parentid: str | None) -> bool:
        """Whether an object is the user's own, or need not be."""
        return not self.confined.covers(type, id) or self.owns(id, creatorid, parentid)

    def owns(self, id: str, creatorid: str | None, parentid: str | None) -> bool:
        """Whether an object is the user's own: made by it, itself, or its child (10.5)."""
        me = self.user
        return bool(me) and (me in (id, creatorid, parentid) or (creatorid or "").startswith(f"{me}:"))

    def sees(self, obj: Object) -> bool:
        """Whether a read of this request shows the object."""
        return self.touches(obj.type, obj.id, obj.creatorid, obj.parentid)

    def changes(self, obj: Object) -> bool:
        """Whether `check` lets the object pass."""
        return not is_identifier(obj) and self.touches(obj.type, obj.id, obj.creatorid, obj.parentid)

    def check(self, obj: Object, action: Action) -> None:
        """Refuse to change an object that is not the user's own where it must be, or that people sign in by.

        Raises InvalidInput.
        """
        if is_identifier(obj):
            raise self._refused(action, "objects named identifier are the server's", obj)
        if not self.touches(obj.type, obj.id, obj.creatorid, obj.parentid):
            raise self._refused(action, OWN, obj)

    def check_named(self, obj: Object, op: Literal["create", "overwrite", "patch"]) -> None:
        """Refuse an object that would become one that people sign in by. Raises InvalidInput."""
        if is_identifier(obj):
            self.check(obj, "update" if op == "patch" else op)

    def check_voter(self, voter: str) -> None:
        """Refuse to vote in the name of somebody else. Raises InvalidInput."""
        if not self.admin and (voter != self.user or not self.user):
            details = {"rule": "users vote for themselves", "actor": self.user, "right": "PATCH"}
            raise InvalidInput("Users can vote only in their own name.", field="_voteup", details=details)

    def _refused(self, action: Action, rule: str, obj: Object) -> InvalidInput:
        details = {"rule": rule, "actor": self.user, "right": f"{action} {obj.type}/{obj.id}"}
        return InvalidInput(_FAILED[action], field="id", details=details)

    def check_door(self, door: str, *types: str) -> None:
        """Refuse a door that shows objects of these types joined with others, if some must be the user's own.

        They can be asked for at `/v1`. Raises Forbidden.
        """
        for type in types:
            if self.confined.about(type):
                details = {"rule": OWN, "actor": self.user, "right": f"{type} of others"}
                raise Forbidden(f"{door} is closed to users who may reach only their own {type}.", details=details)

    # --- writing

    def placed(self, type: str, id: str) -> str:
        """The id that an object gets whose id a user chose.

        >>> Scope("u1", confined([{"todo": ["*", "OWN"]}])).placed("todo", "x")
        'u1_x'
        """
        free = id == self.user or id.startswith(f"{self.user}_") or not self.confined.covers(type, id)
        return id if free else f"{self.user}_{id}"

    def writable(self, type: str, body: JsonObject, *, new: bool) -> JsonObject:
        """A body without what users do not write; the creator of a new object is the user. Administrators look after
        other users: who they are, their groups, and whether they are active."""
        taken = _NOT_WRITTEN
        if type == "user":
            taken |= _SECRETS_OF_USERS if self.admin else _NOT_WRITTEN_OF_USERS
        kept: JsonObject = {k: v for k, v in body.items() if k not in taken}
        if type == "user":
            if new and not self.user and "identifier" in body:
                kept["identifier"] = body["identifier"]  # a guest that registers
            kept = {k: v for k, v in kept.items() if not k.startswith(_OF_THE_SERVER)}
        if new and self.user:
            kept["creatorid"] = self.user
        return kept

    def keep(self, obj: Object, old: Object) -> None:
        """Let members that the user does not write stay in `obj`, which it puts in the place of a user `old`."""
        if old.type != "user":
            return
        for name, value in old.own.items():
            if (name in _NOT_WRITTEN_OF_USERS and not self.admin) or name.startswith(_OF_THE_SERVER):
                obj.own[name] = value
        obj.hidden.update(old.hidden)

    # --- seeing

    def view(self, publics: Iterable[bytes]) -> list[bytes]:
        """Those public bytes that may be seen, without what users do not see."""
        shown = (self._shown(public) for public in publics)
        return [public for public in shown if public is not None]

    def one(self, public: bytes) -> bytes:
        """Public bytes of one object, as seen. Raises NotFound."""
        shown = self._shown(public)
        if shown is None:
            raise NotFound("Not Found")
        return shown

    def _shown(self, public: bytes) -> bytes | None:
        wire = parse_object(public)
        type, id = str(wire["type"]), str(wire["id"])
        if not self.touches(type, id, _text(wire, "creatorid"), _text(wire, "parentid")):
            return None
        return stripped(public, wire)

    def only(self) -> ast.Query:
        """What a search must be narrowed by, whatever it searches for; it leaves out what people sign in by."""
        left_out: list[ast.Query] = [_SIGN_IN]
        if self.confined:
            left_out.append(self._foreign())
        return ast.Bool(must_not=tuple(left_out))

    def linked(self, id: str) -> ast.Query:
        """What a search for linkers of an object must be narrowed by, so that the other one is the user's own or need
        not be."""
        if not self.confined:
            return ast.ALL
        own = ast.Bool(must_not=(self._foreign(f"{links.SNAPSHOTS}."),))
        return ast.Nested(links.SNAPSHOTS, own, without=id)

    def _foreign(self, below: str = "") -> ast.Query:
        """What must be the user's own and is not; `below`: a prefix of the names of fields."""
        held = self.confined
        must: list[ast.Query] = []
        if not held.everything:
            by_type: dict[str, list[str]] = {}
            for type, id in sorted(held.objects):
                by_type.setdefault(clean(type), []).append(clean(id))
            whole = tuple(sorted(clean(type) for type in held.types | {links.LINKER}))
            single = [
                ast.every(ast.Equals(f"{below}type", (type,)), ast.Equals(f"{below}id", tuple(ids)))
                for type, ids in by_type.items()
            ]
            must.append(ast.some(ast.Equals(f"{below}type", whole), *single))
        return ast.Bool(must=tuple(must) or (ast.ALL,), must_not=(self._mine(below),))

    def _mine(self, below: str) -> ast.Query:
        if not self.user:
            return ast.NOTHING
        me = clean(self.user)
        return ast.some(
            *(ast.Equals(f"{below}{name}", (me,)) for name in ("creatorid", "id", "parentid")),
            ast.Like(f"{below}creatorid", literal_prefix(f"{me}:")),
        )


def scope_of(principal: Principal, permissions: Permissions) -> Scope | None:
    """What a caller is confined to; None for apps, things and for nobody, where a door is open."""
    if principal.kind == "user" and principal.id:
        if principal.groups == users.ADMINS:
            return Scope(principal.id, admin=True)
        return Scope(principal.id, confined([permissions.lists(EVERYBODY), permissions.lists(principal.id)]))
    if principal.kind in ("user", "guest"):
        return Scope("", confined([permissions.lists(EVERYBODY)]))
    return None


def is_identifier(obj: Object) -> bool:
    """Whether people sign in by this object."""
    return obj.type == types.GENERIC and obj.name == users.IDENTIFIER


def stripped(public: bytes, wire: JsonObject | None = None) -> bytes:
    """Public bytes without what users and guests do not see; `wire` is what they say, if that is known."""
    if wire is None:
        wire = parse_object(public)
    match wire.get("type"):
        case "user":
            hidden = {name for name in wire if name.startswith(_OF_THE_SERVER) and name != "twoFA"}
            hidden |= wire.keys() & {"password", "tokenSecret"}
        case types.GENERIC if wire.get("name") == users.IDENTIFIER:
            hidden = wire.keys() - _SHOWN_OF_IDENTIFIERS
        case links.LINKER:
            hidden = wire.keys() & {links.SNAPSHOTS}
        case _:
            return public
    return dump({name: value for name, value in wire.items() if name not in hidden}) if hidden else public


def _text(wire: Mapping[str, Json], name: str) -> str | None:
    value = wire.get(name)
    return value if isinstance(value, str) else None
