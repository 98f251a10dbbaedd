"""Paths that need a login (identity.md 9): Ant patterns, methods, roles. Pure.

Promises: a path is compared segment by segment as the main port routes it, each decoded once, so that no spelling of a
path gets around a pattern; a path that could be read in two ways is refused; a rule that cannot be understood is an
error when it is read, never a hole; of several rules on one path all must be met.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast
from urllib.parse import unquote_to_bytes

import msgspec

from thingstead.model import ant
from thingstead.model.errors import InvalidInput
from thingstead.model.principals import Principal

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
SAFE: Final = frozenset({"GET", "HEAD", "TRACE", "OPTIONS"})  # need no CSRF token
RANKS: Final[Mapping[str, int]] = {"user": 1, "mod": 2, "admin": 3}  # each holds those before it
APP: Final = "app"
IGNORED: Final = ("/",)  # open where `para.security.ignored` says nothing (identity.md 11)

_KEY: Final = "para.security.protected"
_GROUPS: Final = {"users": "user", "mods": "mod", "admins": "admin"}
_SLASHES: Final = re.compile(r"/{2,}")


class Rule(msgspec.Struct, frozen=True):
    """One protected resource. No methods: all of them; no roles: whoever is signed in."""

    name: str
    patterns: tuple[str, ...]
    methods: frozenset[str]
    roles: frozenset[str]

    @property
    def rest(self) -> bool:
        """A resource for programs: credentials in each request, no cookie, errors as JSON."""
        return APP in self.roles

    def covers(self, method: str, path: str) -> bool:
        """Whether it speaks of such a request; `path` as `plain_path` gives it."""
        if self.methods and ("GET" if method == "HEAD" else method) not in self.methods:
            return False
        return ant.matches(self.patterns, path)

    def admits(self, principal: Principal) -> bool:
        """Whether somebody who is signed in has a role that it asks for."""
        if not self.roles:
            return True
        role = role_of(principal)
        if role in self.roles:
            return True
        least = min((RANKS[each] for each in self.roles if each in RANKS), default=4)
        return RANKS.get(role, 0) >= least


def role_of(principal: Principal) -> str:
    """The role of a principal (identity.md 7.1); "" for one that has none."""
    if principal.kind == "app":
        return APP
    return _GROUPS.get(principal.groups, "user") if principal.kind == "user" else ""


def rules(setting: Mapping[str, object]) -> list[Rule]:
    """The rules of `para.security.protected`. Raises InvalidInput, naming the resource that cannot be understood."""
    return [_rule(str(name), given) for name, given in setting.items()]


def _rule(name: str, given: object) -> Rule:
    entries = cast(Sequence[object], given) if isinstance(given, list) else ()
    patterns: list[str] = []
    methods: set[str] = set()
    roles: set[str] = set()
    for entry in entries:
        if isinstance(entry, str):
            patterns.append(ant.checked(entry, _KEY))
            continue
        words = cast(Sequence[object], entry) if isinstance(entry, list) else (None,)
        for word in words:
            if isinstance(word, str) and word.upper() in METHODS:
                methods.add("GET" if word.upper() == "HEAD" else word.upper())
            elif isinstance(word, str) and (word.lower() in RANKS or word.lower() == APP):
                roles.add(word.lower())
            else:
                raise InvalidInput(f"{_KEY}: {name}: {word!r} is neither a method nor a role", field=_KEY)
    if not patterns:
        raise InvalidInput(f"{_KEY}: {name}: a list with at least one path is needed", field=_KEY)
    return Rule(name, tuple(patterns), frozenset(methods), frozenset(roles))


def plain_path(raw: bytes) -> str:
    """A path as rules see it: `//` as one, segments decoded, a slash inside of one as `%2F`.

    Raises InvalidInput for segments `.` and `..`, backslashes, control characters and what is not UTF-8.

    >>> plain_path(b"//sites/%70age/"), plain_path(b"/a%2Fb"), plain_path(b"/")
    ('/sites/page/', '/a%2Fb', '/')
    """
    try:
        segments = [unquote_to_bytes(part).decode() for part in _SLASHES.sub("/", raw.decode("ascii")).split("/")]
    except UnicodeDecodeError:
        raise InvalidInput("the path is not UTF-8", field="path") from None
    for segment in segments:
        if segment in (".", "..") or "\\" in segment or any(ord(c) < 32 or c == "\x7f" for c in segment):
            raise InvalidInput("the path holds what no path may hold", field="path")
    return "/".join(segment.replace("/", "%2F") for segment in segments)
