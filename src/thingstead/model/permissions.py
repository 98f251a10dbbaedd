"""Resource permissions: what was granted, and whether it suffices (identity.md 10.1-10.4). Pure.

Promises: nothing is allowed that no rule allows, and each decision names its rule. The cost of a decision grows with
the depth of the resource, never with the number of grants. Who is asking and what needs no grant is core/access's;
`OWN` is read elsewhere, from `lists`.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from thingstead.model import ids, types
from thingstead.model.errors import InvalidInput
from thingstead.model.values import Json, JsonObject, is_array, is_object

EVERYBODY: Final = "*"  # the subject that stands for every user and, with `?`, for guests
ALL: Final = "*"  # every method; as a resource every resource
GUESTS: Final = "?"
DENY: Final = "-"
OWN: Final = "OWN"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_WRITES: Final = frozenset(METHODS[1:])
_ORDER: Final = (GUESTS, DENY, OWN, ALL, *METHODS)
_NAMED: Final[Mapping[str, frozenset[str]]] = {
    **{name: frozenset({name}) for name in (*METHODS, OWN)},
    "READ_WRITE": frozenset({ALL}),
    "READ_ONLY": frozenset({"GET"}),
    "WRITE_ONLY": _WRITES,
}
_NOTHING: Final[frozenset[str]] = frozenset()
_IMPLICIT: Final = frozenset({"GET", "PATCH", "DELETE"})
_NORMAL_IDS: Final = {"app": ids.app_id, "tag": ids.tag_id}  # types whose objects have one id under several spellings

Lists = Mapping[str, frozenset[str]]
"""Resource -> granted values, of one subject."""


def methods_of(given: Iterable[Json], subject: str) -> list[str]:
    """A grant's values as they are stored and shown (10.1). Raises InvalidInput if they say nothing.

    >>> methods_of(["post", "w", "?"], "*"), methods_of(["put", "GET", "w"], "u1"), methods_of(["nonsense"], "u1")
    (['?', 'POST', 'PUT', 'PATCH', 'DELETE'], ['*'], ['-'])
    """
    found: set[str] = set()
    marks: set[str] = set()
    only_reading = False
    for value in given:
        if value is not None and not isinstance(value, str):
            raise InvalidInput("an allowed method must be a text", field="methods")
        word = (value or "").strip()
        if not word:
            continue
        name = word.upper()
        only_reading |= name == "READ_ONLY"
        if word == "w":
            found |= _WRITES
        elif word == ALL:
            found.add(ALL)
        elif word == GUESTS:
            marks |= {GUESTS} if subject == EVERYBODY else set()
        elif name in _NAMED:
            (marks if name == OWN else found).update(_NAMED[name])
        else:
            marks.add(DENY)
    if only_reading:
        found = {"GET"}
    elif ALL in found or found.issuperset(METHODS):
        found = {ALL}
    found |= marks
    if not found:
        raise InvalidInput("No allowed methods specified.", field="methods")
    return [value for value in _ORDER if value in found]


def normalised(given: Json) -> JsonObject:
    """A whole map {subject: {resource: [method...]}} as it is stored; empty parts are left out.

    Raises InvalidInput, naming the subject and resource, for what is no such map.
    """
    if given is None:
        return {}
    if not is_object(given):
        raise InvalidInput("'resourcePermissions' must be an object", field="resourcePermissions")
    found: JsonObject = {}
    for subject, resources in given.items():
        if resources is None:
            continue
        where = f"resourcePermissions.{subject}"
        if not subject.strip() or not is_object(resources):
            raise InvalidInput("a subject needs a name and an object of resources", field=where)
        kept: JsonObject = {}
        for resource, methods in resources.items():
            path = stripped(resource)
            if not path.strip() or not is_array(methods):
                raise InvalidInput("a resource needs a path and a list of methods", field=f"{where}.{resource}")
            try:
                values: list[Json] = [*methods_of(methods, subject)]
            except InvalidInput as error:
                raise InvalidInput(error.message, field=f"{where}.{resource}") from None
            kept[path] = values
        if kept:
            found[subject] = kept
    return found


def restored(given: Json) -> JsonObject:
    """What can be read of a map that came with an archive; a list that says nothing denies."""
    found: JsonObject = {}
    for subject, resources in given.items() if is_object(given) else ():
        kept: JsonObject = {}
        for resource, methods in resources.items() if is_object(resources) else ():
            try:
                values: list[Json] = [*methods_of(methods if is_array(methods) else (), subject)]
            except InvalidInput:
                values = [DENY]
            if stripped(resource).strip():
                kept[stripped(resource)] = values
        if kept and subject.strip():
            found[subject] = kept
    return found


def stripped(path: str) -> str:
    """A resource path without one slash at each end."""
    return path.removeprefix("/").removesuffix("/")


# --- changing what is stored


def granted(present: Mapping[str, Json], subject: str, resource: str, methods: list[str]) -> JsonObject:
    """The map with `methods` in place of what the subject had on that resource."""
    own = present.get(subject)
    values: list[Json] = [*methods]
    return {**present, subject: {**(own if is_object(own) else {}), resource: values}}


def revoked(present: Mapping[str, Json], subject: str, resource: str | None = None) -> JsonObject:
    """The map without what the subject had on a resource, or on all; a subject without anything left is gone."""
    own = present.get(subject)
    left = {key: value for key, value in own.items() if key != resource} if is_object(own) else {}
    others = {key: value for key, value in present.items() if key != subject}
    if resource is None or not left:
        return others
    return {key: left if key == subject else value for key, value in present.items()}


def shown(present: Mapping[str, Json], subject: str) -> JsonObject:
    """The answer about one subject: it is always there, everybody only if it has something (10.6)."""
    answer: JsonObject = {subject: present.get(subject) or {}}
    if EVERYBODY in present:
        answer[EVERYBODY] = present[EVERYBODY]
    return answer


# --- deciding


class Decision(msgspec.Struct, frozen=True):
    """Whether, and why. `ask`: the id of an object whose stored `parentid` may still allow it (see `with_parent`)."""

    allowed: bool
    rule: str  # which rule decided, in a few words
    subject: str
    resource: str  # as it was compared: first segment in the singular
    method: str
    ask: str = ""
    denied: bool = False  # refused by a list that is a bare `-`

    @property
    def missing(self) -> str:
        """The right that would have been needed; "" if nothing is missing."""
        return "" if self.allowed else f"{self.method} {self.resource}"


class Grant(msgspec.Struct, frozen=True):
    """A grant that has a say about a resource."""

    subject: str
    resource: str
    methods: tuple[str, ...]


class _Subject(msgspec.Struct, frozen=True):
    lists: Mapping[str, frozenset[str]]  # first segments in the singular; lists of both spellings are joined
    denied: frozenset[str]  # resources with a list that is a bare `-`


_NOBODY: Final = _Subject({}, _NOTHING)


class Permissions:
    """The grants of one app, made ready subject by subject when they are first asked for."""

    __slots__ = ("_datatypes", "_ready", "_root", "_stored")

    def __init__(self, stored: Json, datatypes: Mapping[str, str], *, root: bool = False) -> None:
        """`stored` is the app's `resourcePermissions`; `root`: the root app, whose users and guests may do nothing."""
        self._stored: Mapping[str, Json] = stored if is_object(stored) else {}
        self._datatypes = datatypes
        self._root = root
        self._ready: dict[str, _Subject] = {}

    @property
    def stored(self) -> Mapping[str, Json]:
        """The map as it is stored: subject -> resource -> methods."""
        return self._stored

    def resource(self, path: str) -> str:
        """A path as it is compared: without slashes at its ends, its first segment in the singular."""
        first, slash, rest = stripped(path).partition("/")
        first = types.resolve(first, self._datatypes)
        if rest and first in _NORMAL_IDS:
            id, below, deeper = rest.partition("/")
            rest = (_NORMAL_IDS[first](id) if id != ALL else id) + below + deeper
        return first + slash + rest

    def lists(self, subject: str) -> Lists:
        """What a subject was granted, by resource as it is compared (`todos/*` stands as `todo/*`)."""
        return self._of(subject).lists

    def covers(self, subject: str, resource: str, method: str) -> bool:
        """Whether the lists of one subject have a method on a resource (10.2); `?` and `OWN` only if they are named."""
        lists = self._of(subject).lists
        path = self.resource(resource)
        specific = _specific(lists, path, method)
        return _has(lists.get(ALL, _NOTHING), method) if specific is None else specific

    def decide(
        self, subject: str, resource: str, method: str, *, named: bool = False, childrenonly: bool = False
    ) -> Decision:
        """Whether a user may use `method` on a resource (10.3).

        `named`: a grant must name the resource, one on `*` does not count, and nothing is implied (11).
        `childrenonly`: the query asks for children. A refusal with `ask` needs `with_parent` to be final.
        """
        method = method.upper()
        path = self.resource(resource)

        def no(rule: str, ask: str = "", *, denied: bool = False) -> Decision:
            return Decision(False, rule, subject, path, method, ask, denied)

        def yes(rule: str) -> Decision:
            return Decision(True, rule, subject, path, method)

        if not (subject.strip() and path.strip() and method.strip()):
            return no("a subject, a resource and a method are needed")
        if self._root:
            return no("the root app grants users nothing")
        own, public = self._of(subject), self._of(EVERYBODY)
        covered = _specific(own.lists, path, method)
        exact = path in own.lists
        key = path if exact else ALL if ALL in own.lists else ""
        compound = bool(key) and key not in own.denied and _has(public.lists.get(path, _NOTHING), method)
        refused = bool(key) and not compound and not (covered if exact else _has(own.lists[ALL], method))
        if refused and key in own.denied:
            return no(f"{subject} is denied {key}", denied=True)
        if not covered and not (compound and exact) and own.denied:
            for above in _applying(path):
                if above in own.denied:
                    return no(f"{subject} is denied {above}", denied=True)
        if not refused:
            if covered:
                return yes(f"granted to {subject}")
            if not named and _has(own.lists.get(ALL, _NOTHING), method):
                return yes(f"granted to {subject} on {ALL}")
            if _specific(public.lists, path, method):
                return yes("granted to everybody")
            if not named and _has(public.lists.get(ALL, _NOTHING), method):
                return yes(f"granted to everybody on {ALL}")
        why = f"{subject}'s own list on {key} caps it" if refused else "no grant"
        if named or subject == EVERYBODY:
            return no(f"{why}; a grant must name this resource" if named and not refused else why)
        implied, child = _implied(subject, path, method, childrenonly=childrenonly)
        return yes("own object") if implied else no(why, child)

    def guests(self, resource: str, method: str) -> Decision:
        """Whether somebody without credentials may use `method` on a resource (10.4)."""
        method = method.upper()
        path = self.resource(resource)

        def no(rule: str, *, denied: bool = False) -> Decision:
            return Decision(False, rule, GUESTS, path, method, denied=denied)

        if not (path.strip() and method.strip()):
            return no("a resource and a method are needed")
        if self._root:
            return no("the root app grants guests nothing")
        public = self._of(EVERYBODY)
        opened = _specific(public.lists, path, GUESTS)
        if not opened:
            for above in _applying(path):
                if above in public.denied:
                    return no(f"everybody is denied {above}", denied=True)
            if opened is False or GUESTS not in public.lists.get(ALL, _NOTHING):
                return no("not opened to guests with ?")
        if method == "GET" or self.covers(EVERYBODY, path, method) or _has(public.lists.get(ALL, _NOTHING), method):
            return Decision(True, "opened to guests with ?", GUESTS, path, method)
        return no("opened to guests, but not for this method")

    def taking_part(self, subject: str, resource: str) -> list[Grant]:
        """The grants of a subject and of everybody that have a say about a resource, nearest first."""
        path = self.resource(resource)
        found: list[Grant] = []
        for who in dict.fromkeys((subject, EVERYBODY)):
            lists = self._of(who).lists
            for key in dict.fromkeys((path, *_applying(path), ALL)):
                if key in lists:
                    found.append(Grant(who, key, tuple(value for value in _ORDER if value in lists[key])))
        return found

    def _of(self, subject: str) -> _Subject:
        ready = self._ready.get(subject)
        if ready is None:
            given = self._stored.get(subject)
            if not is_object(given):
                return _NOBODY  # not kept: anybody can ask for any number of names
            lists: dict[str, frozenset[str]] = {}
            denied: set[str] = set()
            for resource, values in given.items():
                path = self.resource(resource)
                methods = (
                    frozenset(value for value in values if isinstance(value, str)) if is_array(values) else _NOTHING
                )
                if methods <= {DENY}:
                    denied.add(path)
                lists[path] = lists.get(path, _NOTHING) | methods
            ready = self._ready[subject] = _Subject(lists, frozenset(denied))
        return ready


def with_parent(refusal: Decision, parentid: str | None) -> Decision:
    """The final decision, given the stored `parentid` of the object that a refusal asked for."""
    if refusal.ask and parentid == refusal.subject:
        return msgspec.structs.replace(refusal, allowed=True, rule="child object", ask="")
    return msgspec.structs.replace(refusal, ask="")


def _has(methods: frozenset[str], method: str) -> bool:
    return (method in methods and method != DENY) or (ALL in methods and method not in (GUESTS, OWN, DENY))


def _specific(lists: Lists, path: str, method: str) -> bool | None:
    """What the lists on the resource itself and above it say; None if they leave it to the resource `*` (10.2)."""
    exact = lists.get(path)
    end = path.find("/")
    if end < 0:
        return None if exact is None else _has(exact, method)
    direct, found = exact is not None, exact is not None and _has(exact, method)
    while end >= 0:
        above = path[:end]
        methods = lists.get(above)
        if methods is not None and _has(methods, method):
            return True
        below = lists.get(above + "/*")
        if below is not None:
            direct, found = True, found or _has(below, method)
        end = path.find("/", end + 1)
    return found if direct else None


def _applying(path: str) -> list[str]:
    """The keys whose lists reach a resource, nearest first: itself, and for each path above it `x/*` and `x`."""
    keys = [path]
    end = path.rfind("/")
    while end >= 0:
        keys += (path[:end] + "/*", path[:end])
        end = path.rfind("/", 0, end)
    return keys


def _implied(subject: str, path: str, method: str, *, childrenonly: bool) -> tuple[bool, str]:
    """Whether a user has this right without a grant, and else the id of an object that may be the user's child."""
    if method not in _IMPLICIT:
        return False, ""
    parts = path.split("/")
    if len(parts) == 2 and (parts[0] == "_id" or not parts[0].startswith("_")):
        if parts[1] == subject and parts[0] in ("_id", "user"):
            return True, ""
        return False, parts[1] if parts[0] not in types.RESERVED else ""
    children = childrenonly and method == "GET" and len(parts) == 4
    return children and parts[0] == "user" and parts[1] == subject and parts[2] == "links", ""
