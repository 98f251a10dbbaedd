"""What a kind is: the small class that core.objects consults for one built-in type, whichever door writes it.

An ordinary type has no kind. A kind adds to the batch that stores its object; it never commits by itself.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.values import JsonObject
from thingstead.ports.store import Change, Key, ShadowPut

Op = Literal["create", "overwrite", "patch"]


class Draft(msgspec.Struct, kw_only=True, gc=False):
    """What a door wants to exist. `body` is the client's; the rest only a door itself can state."""

    type: str
    body: JsonObject
    id: str | None = None
    server: JsonObject = {}  # values of fields declared `server` in model/types
    hidden: JsonObject = {}  # goes to the private bytes
    keys: tuple[Key, ...] = ()
    posted: bool = False  # a POST of one object: types with a create logic of their own run it (objects.md 3)
    credentials: bool = False  # things: provision at the service broker (only /v1 does, doors.md 23)
    archived: JsonObject | None = None  # the entry of an archive that this object is restored from (objects.md 13)


class Prepared(msgspec.Struct):
    """What a kind adds to the batch that stores its object."""

    changes: list[Change] = []
    shadows: list[ShadowPut] = []
    keys: tuple[Key, ...] | None = None  # the object's whole set of keys; None keeps the present one
    skip: bool = False  # the object itself does not change: nothing is written, `after` still runs
    once: JsonObject = {}  # members that only this answer shows (`deviceDetails`)
    undo: Callable[[], Awaitable[None]] | None = None  # called when the commit did not happen
    after: Callable[[], Awaitable[None]] | None = None  # called once it is durable


class Kind:
    """Defaults of every kind."""

    generated_ids = False  # True: POST ignores an id in the body
    lasting = False  # True: it cannot be kept out of the store (`stored` false)
    alone = True  # False: it adds nothing to the batch of its object, which may share one with others
    reads_old = False  # True: `prepare` needs the object that an overwrite replaces
    patches_old = False  # True: `prepare` of a patch needs the object as it was

    def new_id(self, body: JsonObject) -> str | None:
        """The id that follows from the body; None: generate one."""
        return None

    def path_id(self, id: str) -> str:
        """An id as it stands in a path, normalised."""
        return id

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Check and complete `obj` before it is stored; may raise InvalidInput, KeyTaken, Unavailable."""
        return Prepared(keys=draft.keys if draft is not None and draft.keys else None)

    def reveal(self, obj: Object) -> JsonObject:
        """The hidden fields of `obj` as they stand in an archive: readable, without what belongs to this server.

        `prepare` takes them back from `draft.archived`. Raises Unavailable if a secret cannot be opened.
        """
        return dict(obj.hidden)

    async def removing(self, obj: Object) -> Prepared:
        """What goes with an object that is deleted."""
        return Prepared()

    async def present(self, app: str, publics: list[bytes]) -> list[bytes]:
        """Public bytes as they are shown."""
        return publics
