"""Archives of apps: `_export` and `_import`, interchangeable with Para's (objects.md 13, D10).

Promises: an export holds every object that was there when it began and was not deleted before its turn, each once and
whole, secrets readable, in memory a page at a time; an import is checked to its end before the first object is written,
so that a bad archive changes nothing. Objects are written through core.objects, their kinds asked: what is imported is
valid, found and heard of like anything else. Readings are no objects, and not in archives.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, TYPE_CHECKING, Final, TypeAlias

import msgspec

from thingstead.core.kinds.base import Draft, Kind
from thingstead.core.kinds.thing import LOCAL_KEYS
from thingstead.core.objects import Objects
from thingstead.core.shapes import object_of
from thingstead.model import ids, types
from thingstead.model import shadow as shadows
from thingstead.model.errors import InvalidInput, StoreFailed, ThingsteadError
from thingstead.model.principals import Principal
from thingstead.model.settings import Settings
from thingstead.model.shadow_archive import SHADOW, kept
from thingstead.model.values import Json, JsonObject, parse_object
from thingstead.ports.environment import Clock, Ids
from thingstead.ports.store import Store, StoredObject, StoredShadow

if TYPE_CHECKING:
    from thingstead.model.archive import Packer  # zipfile is imported when the first archive comes

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many objects of how many are done."""

SUMMARY: Final = "paraimport"
_PAGE: Final = 300  # objects read at once, or a part if that is larger
_SHADOWED: Final = frozenset({"thing", "entity"})


class Export(msgspec.Struct, frozen=True):
    """An export that has begun: the name of its file, how many objects it is about to hold, and its bytes."""

    name: str
    total: int
    pieces: AsyncGenerator[bytes]


class Archives:
    """See the module's docstring."""

    def __init__(
        self, store: Store, objects: Objects, kinds: Mapping[str, Kind], clock: Clock, ids: Ids, settings: Settings
    ) -> None:
        self._store = store
        self._objects = objects
        self._kinds = kinds
        self._plain = Kind()
        self._clock = clock
        self._ids = ids
        self._part = settings.max_items_per_page
        self._batch = settings.import_batch_size
        self._settings = settings

    # --- out

    async def export(self, app: str, progress: Progress | None = None) -> Export:
        """Begin an export of an app. Raises StoreFailed; the pieces also Unavailable, for a secret of another key."""
        from thingstead.model.archive import Packer, stem

        now = self._clock.now()
        name = stem(app, now)
        total = await self._store.objects.count(app)
        return Export(f"{name}.zip", total, self._pieces(app, Packer(name, now), total, progress))

    async def _pieces(self, app: str, packer: "Packer", total: int, progress: Progress | None) -> AsyncGenerator[bytes]:
        last = self._ids.next()  # what is made from now on is not waited for: writers may be faster
        page = max(1, _PAGE // self._part) * self._part
        after = done = 0
        while rows := await self._store.objects.scan(app, after=after, limit=page):
            after = rows[-1].docid
            rows = [row for row in rows if row.docid < last]
            if not rows:
                break
            states = await self._states(app, rows)
            yield await asyncio.to_thread(self._packed, packer, rows, states)
            done += len(rows)
            if progress is not None:
                progress(done, max(done, total))
        yield packer.part([]) + packer.end()

    async def _states(self, app: str, rows: Sequence[StoredObject]) -> Mapping[str, StoredShadow]:
        things = [row.id for row in rows if row.type in _SHADOWED]
        return await self._store.shadows.get_many(app, things) if things else {}

    def _packed(self, packer: "Packer", rows: Sequence[StoredObject], states: Mapping[str, StoredShadow]) -> bytes:
        entries = [self._entry(row, states.get(row.id)) for row in rows]
        return b"".join([packer.part(entries[at : at + self._part]) for at in range(0, len(entries), self._part)])

    def _entry(self, row: StoredObject, state: StoredShadow | None) -> JsonObject:
        from thingstead.model.archive import entry_of

        obj = object_of(row)
        hidden = self._kinds.get(obj.type, self._plain).reveal(obj)
        if state is not None:
            shadow = shadows.decode(state.document)
            hidden[SHADOW] = kept(shadow)
            if obj.type == "thing":
                hidden["deviceState"] = shadows.device_state(shadow)
        return entry_of(obj, hidden)

    # --- in

    async def load(
        self, app: str, file: IO[bytes], name: str | None, actor: Principal, progress: Progress | None = None
    ) -> JsonObject:
        """Import an archive; its summary, stored if anything else was. Objects of equal id are replaced.

        Raises InvalidInput before anything is written; StoreFailed or Unavailable also later, saying how far it got.
        """
        from thingstead.core.unpack import limits_of, objects

        limits = limits_of(self._settings)
        total = await asyncio.to_thread(lambda: sum(1 for _ in objects(file, limits)))
        items = objects(file, limits)
        skipped: Counter[str] = Counter()
        count = 0
        try:
            while batch := await asyncio.to_thread(_taken, items, self._batch):
                count += await self._write(app, batch, actor, skipped)
                if progress is not None:
                    progress(count + skipped.total(), total)
        except ThingsteadError as error:
            message = f"{error.message}; {count} objects were imported before"
            raise type(error)(message, field=error.field, details=error.details) from error
        summary: JsonObject = {"name": name or f"{app}_backup.zip", "creatorid": app, "count": count}
        if skipped:
            summary["skipped"] = skipped.total()
            summary["skippedReasons"] = dict[str, Json](skipped)
        if not count:
            return {"timestamp": self._clock.now() // 1000, "type": SUMMARY, "appid": app, **summary}
        return parse_object((await self._objects.create(app, Draft(type=SUMMARY, body=summary), actor)).public)

    async def _write(self, app: str, items: Sequence[JsonObject], actor: Principal, skipped: Counter[str]) -> int:
        """Store what can be stored; of what cannot, `skipped` counts the codes of the reasons."""
        drafts: list[Draft] = []
        for item in items:
            try:
                drafts.append(_draft(app, item))
            except InvalidInput as error:
                skipped[error.code] += 1
        count = 0
        for outcome in await self._objects.create_many(app, drafts, actor):
            if isinstance(outcome, StoreFailed):
                raise outcome
            if isinstance(outcome, ThingsteadError):
                skipped[outcome.code] += 1
            else:
                count += 1
        return count


def _taken(items: Iterator[JsonObject], most: int) -> list[JsonObject]:
    return list(islice(items, most))


def _draft(app: str, item: JsonObject) -> Draft:
    """What an entry wants to exist. Raises InvalidInput."""
    given, id = item.get("type"), item.get("id")
    type_name = types.clean(given if isinstance(given, str) else "")
    if isinstance(id, int) and not isinstance(id, bool):
        id = str(id)
    if id is not None and not isinstance(id, str):
        raise InvalidInput("'id' must be text", field="id")
    ids.check_id(id)
    if (type_name == "app") != ids.is_app_id(id):
        raise InvalidInput("apps, and nothing else, have ids that begin with 'app:'", field="id")
    body = {name: value for name, value in item.items() if name != SHADOW}
    spec = types.spec_of(type_name)
    hidden: JsonObject = {}
    server: JsonObject = {}
    for name, field in spec.fields.items():
        value = field.coerce(item.get(name)) if field.server and item.get(name) is not None else None
        if value is not None:
            (hidden if field.hidden else server)[name] = value
    if type_name == "thing" and LOCAL_KEYS in body:
        hidden["keys"] = body.pop(LOCAL_KEYS)
    if type_name == "app" and item.get("autocreated") is True:
        hidden["autocreated"] = True
    return Draft(
        type=type_name,
        body=body,
        id=id if id and id.strip() else None,
        server=server,
        hidden=hidden,
        archived=item,
    )
