"""Rights at `/v1`: what a request comes to, and what kind of right its endpoint takes (identity.md 2.8, 11). Pure.

Promises: a path and its other spellings come to one resource, the one that routing addresses. Does not know who asks.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from thingstead.model import ids, types

Standing = Literal["known", "app", "admin", "granted"]
"""Who may use an endpoint: everybody who is known; apps alone; apps, administrators and who was granted this very
resource; who was granted it, by `*` too."""

_ADMIN: Final = frozenset({"_settings", "_export", "_import", "_reindex", "_emails", "_elasticsearch"})
ADMIN_TYPES: Final = frozenset({"app", "audit", "webhook"})
CHECK: Final = 4  # segments of `_permissions/{subject}/{resource}/{method}`


class Right(msgspec.Struct, frozen=True):
    """A method on a path below `/v1/`; segments are decoded once. The two flags are parameters of the query."""

    method: str
    segments: tuple[str, ...]
    childrenonly: bool = False
    explains: bool = False  # `_permissions/explain` with what it is to explain

    @property
    def resource(self) -> str:
        """The path as one text."""
        return "/".join(self.segments)


def standing(right: Right, datatypes: Mapping[str, str]) -> Standing:
    """Who may use the endpoint of a right; its segments should be `canonical`."""
    parts = right.segments
    if parts in ((), ("_me",)):
        return "known"
    first = parts[0]
    if first in ("_newkeys", "_setup"):
        return "app"
    if first == "_permissions":
        return "known" if right.method == "GET" and (len(parts) == CHECK or right.explains) else "admin"
    if first in _ADMIN or (first == "_constraints" and right.method != "GET"):
        return "admin"
    return "admin" if types.resolve(first, datatypes) in ADMIN_TYPES else "granted"


def canonical(segments: tuple[str, ...], app: str, datatypes: Mapping[str, str]) -> tuple[str, ...]:
    """The one spelling of a path: first segment in the singular, ids of tags, apps and things as they are stored.

    An app's id below any type is the app itself. `app` is the tenant's bare identifier.

    >>> canonical(("things", "myapp:t1", "shadow"), "myapp", {}), canonical(("dogs", "app:MyApp"), "myapp", {})
    (('thing', 't1', 'shadow'), ('app', 'app:myapp'))
    """
    if not segments:
        return segments
    first = types.resolve(segments[0], datatypes)
    if len(segments) == 1 or (first.startswith("_") and first != "_id"):
        return (first, *segments[1:])
    id = segments[1]
    if first == "app" or ids.is_app_id(id):
        first, id = "app", ids.app_id(id) or id
    elif first == "tag":
        id = ids.tag_id(id)
    elif first == "thing":
        id = id.removeprefix(f"{app}:")
    return (first, id, *segments[2:])


def object_of(segments: tuple[str, ...]) -> str:
    """The id of the object that a canonical path names; "" if it names none."""
    if len(segments) < 2 or (segments[0].startswith("_") and segments[0] != "_id") or segments[0] in types.RESERVED:
        return ""
    return segments[1]
