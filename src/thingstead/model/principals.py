"""Who is asking (identity.md 1, doors.md 29). Pure data; how it is proven stands in core/identity."""

from typing import Literal

import msgspec


class Principal(msgspec.Struct, frozen=True):
    """A caller within one tenant.

    `app` is the bare identifier of the tenant (no `app:`), empty for nobody. `id` names the user or the thing.
    """

    kind: Literal["app", "user", "thing", "guest", "nobody"]
    app: str = ""
    id: str = ""
    root: bool = False  # the root app itself (signature or super token)
    groups: str = ""  # of a user: `users`, `mods`, `admins`, or what its app calls it


NOBODY = Principal("nobody")
