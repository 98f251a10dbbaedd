"""Types of objects (objects.md 2.3-2.6): names, plurals, reserved words, and the declared fields of the built-in ones.

Pure. What a built-in type *does* stands in core/kinds; here is only what its JSON looks like.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from thingstead.model.coercion import flag_of, integer_of, object_of, text_of, texts_of
from thingstead.model.values import Json

RESERVED: Final = frozenset({"search", "searches", "util", "utils", "para"})
GENERIC: Final = "sysprop"
VOTE: Final = "vote"  # it alone has neither tags nor votes
PARA_LEVEL: Final = "1.54.0"  # of Para's API; clients expect that it begins with 1

_PRINTABLE = re.compile(r"[ -~]+")
_NOT_NAME = re.compile(r"[\W_]+")


@lru_cache(maxsize=4096)
def plural(type_name: str) -> str:
    """The plural of a type, as Para spells it (objects.md 2.3).

    >>> plural("address"), plural("day"), plural("wolf")
    ('addresses', 'daies', 'wolfs')
    """
    if not _PRINTABLE.fullmatch(type_name) or not type_name.strip() or type_name.endswith("es"):
        return type_name
    if type_name.endswith("s"):
        return type_name + "es"
    if type_name.endswith("y"):
        return type_name[:-1] + "ies"
    return type_name + "s"


@lru_cache(maxsize=4096)
def clean(type_name: str) -> str:
    """The type an object is stored with: leading `_`, `#` and `/` removed; blank or reserved becomes `sysprop`."""
    cleaned = type_name.strip().lstrip("_").replace("#", "").replace("/", "")
    return GENERIC if not cleaned.strip() or cleaned.lower() in RESERVED else cleaned


def registered(type_name: str) -> str:
    """A type's spelling in the app's map of data types (objects.md 2.4): symbols become `-`, lower case."""
    return _NOT_NAME.sub(" ", type_name).strip().lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Field:
    """One declared member: how it is coerced, and who may see and change it."""

    coerce: Callable[[Json], Json] = text_of
    locked: bool = False  # settable on create, ignored by PATCH
    hidden: bool = False  # lives in the private bytes
    default: Json = None
    server: bool = False  # set by the server only; ignored in bodies


@dataclass(frozen=True, slots=True)
class TypeSpec:
    """A built-in type."""

    name: str
    fields: Mapping[str, Field] = field(default_factory=dict[str, Field])
    custom: bool = False  # unknown members are kept as custom fields
    listed: bool = True  # shown by `_types`

    @property
    def hidden(self) -> frozenset[str]:
        """Names of the fields that live in the private bytes."""
        return frozenset(name for name, spec in self.fields.items() if spec.hidden)


USER_SECRETS: Final = ("twoFAkey", "twoFAbackupKeyHash", "idpIdToken", "idpAccessToken", "idpRefreshToken")
"""Members of users that only apps may see (identity.md 7.1), and that no search finds."""

_LOCKED = Field(locked=True)
_SPECS = (
    TypeSpec("address", {n: Field() for n in ("address", "country", "city", "latlng", "phone")}),
    TypeSpec(
        "app",
        {
            "sharingIndex": Field(flag_of, locked=True, default=False),
            "sharingTable": Field(flag_of, locked=True, default=False),
            "readOnly": Field(flag_of, locked=True, default=False),
            "datatypes": Field(object_of, locked=True, server=True),
            "validationConstraints": Field(object_of),
            "resourcePermissions": Field(object_of),
            "active": Field(flag_of, default=True),
            "deleteOn": Field(integer_of),
            "tokenValiditySec": Field(integer_of, default=0),
            "objectCount": Field(integer_of),
            "appIdentifier": Field(server=True),
            "secret": Field(hidden=True, locked=True, server=True),
            "settings": Field(object_of, hidden=True),
        },
    ),
    TypeSpec(
        "linker",
        dict.fromkeys(("id1", "id2", "type1", "type2"), _LOCKED) | {"metadata": Field(), "nstd": Field(lambda v: v)},
    ),
    TypeSpec(GENERIC, custom=True),
    TypeSpec(
        "tag",
        {"tag": _LOCKED, "count": Field(integer_of, default=0), "description": Field()},
    ),
    TypeSpec(
        "translation",
        {
            "authorName": Field(locked=True, default="unknown"),
            "locale": _LOCKED,
            "thekey": _LOCKED,
            "value": Field(),
            "approved": Field(flag_of, default=False),
        },
    ),
    TypeSpec(
        "user",
        {
            "identifier": Field(),
            "groups": Field(locked=True, default="users"),
            "email": Field(),
            "active": Field(flag_of, default=False),
            "currency": Field(),
            "picture": Field(),
            "identityProvider": Field(server=True),  # follows from the identifier
            "twoFA": Field(flag_of, default=False),
            **dict.fromkeys(USER_SECRETS, Field()),
            "password": Field(hidden=True, server=True),
            "tokenSecret": Field(hidden=True, locked=True, server=True),
        },
    ),
    TypeSpec(
        VOTE,
        {
            "value": _LOCKED,
            "expiresAfter": Field(integer_of, locked=True),
            "lockedAfter": Field(integer_of, locked=True),
        },
    ),
    TypeSpec(
        "webhook",
        {n: Field() for n in ("targetUrl", "secret", "typeFilter", "propertyFilter")}
        | {"urlEncoded": Field(flag_of, default=True), "active": Field(flag_of, default=False)}
        | {"tooManyFailures": Field(flag_of, default=False), "customEvents": Field(texts_of, default=[])}
        | {n: Field(flag_of, default=False) for n in ("create", "update", "delete")}
        | {n: Field(flag_of, default=False) for n in ("createAll", "updateAll", "deleteAll", "report")}
        | {"repeatedDeliveryAttempts": Field(integer_of, default=1)},
    ),
    TypeSpec(
        "thing",
        {
            "serviceBroker": Field(locked=True),
            "deviceMetadata": Field(object_of, hidden=True, locked=True, server=True),
            "agent": Field(object_of, server=True),  # the agent door's configuration of the device (doors.md 17)
            "agentSecrets": Field(object_of, hidden=True, server=True),
        },
        custom=True,
    ),
    # built in, kept out of `_types`: other doors make them, and an app may use the same names for objects of its own
    TypeSpec("site", custom=True, listed=False),
    TypeSpec("sensor", {"series": Field(integer_of, hidden=True, server=True)}, custom=True, listed=False),
    TypeSpec("metadata", custom=True, listed=False),
    TypeSpec(
        "audit",  # entries of the audit trail, which only the server writes (model/audit)
        {n: Field() for n in ("event", "actor", "outcome", "resource", "right", "rule", "reason", "address", "door")}
        | {n: Field(integer_of, default=0) for n in ("count", "first", "last")},
        custom=True,
        listed=False,
    ),
    TypeSpec("entity", {"entity": Field(object_of, server=True)}, custom=True, listed=False),
    TypeSpec("service_group", {"secrets": Field(object_of, hidden=True, server=True)}, custom=True, listed=False),
)

BUILT_IN: Final[Mapping[str, TypeSpec]] = {spec.name: spec for spec in _SPECS}
ORDINARY: Final = TypeSpec("", custom=True)  # every type that is not built in


def spec_of(type_name: str) -> TypeSpec:
    """The declared fields of a type; an ordinary type declares none."""
    return BUILT_IN.get(type_name, ORDINARY)


LISTED: Final[Mapping[str, str]] = {plural(spec.name): spec.name for spec in _SPECS if spec.listed}
"""plural -> singular of the core types, the start of every `_types` answer (objects.md 9)."""

_PATHS: Final[Mapping[str, str]] = {plural(spec.name): spec.name for spec in _SPECS}


def resolve(path_type: str, datatypes: Mapping[str, str]) -> str:
    """The type meant by a path segment: plural or singular of a core type or of the app's own, else the text itself."""
    return _PATHS.get(path_type) or datatypes.get(path_type) or path_type
