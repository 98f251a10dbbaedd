"""`_batch`: several objects at once (objects.md 5). What an answer leaves out is told in headers."""

from collections.abc import Sequence
from urllib.parse import quote

from thingstead.core.backend import Backend
from thingstead.core.objects import Draft, Written
from thingstead.doors.objects import render
from thingstead.doors.objects.crud import type_of_item
from thingstead.doors.objects.read import Call, array_body, selected
from thingstead.doors.objects.render import Answer, Header
from thingstead.model.errors import InvalidInput, StoreFailed, ThingsteadError, VersionMismatch
from thingstead.model.ids import check_id, is_app_id
from thingstead.model.values import Json, JsonObject

_MOST_REASONS = 20
Skipped = list[tuple[str, str]]  # (id, code)


class Batches:
    """The handlers of `_batch`."""

    def __init__(self, backend: Backend) -> None:
        self._access = backend.access
        self._objects = backend.objects
        self._users = backend.users
        self._most_deleted = backend.settings.max_batch_delete
        self._validate = backend.settings.validate_batch_updates

    async def create(self, call: Call) -> Answer:
        """POST, PUT: objects that are invalid, or apps, are left out; of equal ids the last counts."""
        names = selected(call.params())  # read whole before anything is written
        newest: dict[object, JsonObject] = {}
        for body in array_body(call.body):
            id = _id_of(body)
            key = id if id is not None else object()
            newest.pop(key, None)
            newest[key] = body
        skipped: Skipped = []
        drafts: list[Draft] = []
        asked: list[str | None] = []
        for key, body in newest.items():
            id = key if isinstance(key, str) else None
            try:
                drafts.append(_draft(body))
                asked.append(id)
            except InvalidInput as error:
                skipped.append((id or "", error.code))
        if call.principal.kind != "app":
            kept = await self._reachable(call, asked)
            for n in reversed(range(len(drafts))):
                if asked[n] not in kept or self._access.hides(call.principal, call.app, "POST", drafts[n].type):
                    skipped.append((asked.pop(n) or "", "forbidden"))
                    drafts.pop(n)
        outcomes = await self._objects.create_many(call.app.identifier, drafts, call.principal)
        done = _done(outcomes, asked, skipped)
        return _answer(call, done, skipped, names)

    async def read(self, call: Call) -> Answer:
        """GET: in the order of the ids, duplicates once, missing ones left out."""
        params = call.params()
        ids = await self._kept(call, _ids(params))
        publics = await self._objects.public_many(call.app.identifier, ids)
        if call.scope is not None:
            publics = call.scope.view(publics)
        elif call.principal.kind == "app":
            publics = await self._users.for_app(call.app.identifier, publics)
        return Answer(200, render.array(publics, selected(params)))

    async def patch(self, call: Call) -> Answer:
        """PATCH: unknown ids and items that are refused are left out."""
        names = selected(call.params())
        skipped: Skipped = []
        items: list[tuple[str, JsonObject]] = []
        for body in array_body(call.body):
            id = _id_of(body)
            if id is None:
                skipped.append(("", "missing_id"))
            else:
                items.append((id, body))
        if call.principal.kind != "app":
            kept = await self._reachable(call, [id for id, _ in items])
            skipped += [(id, "forbidden") for id, _ in items if id not in kept]
            items = [(id, body) for id, body in items if id in kept]
        outcomes = await self._objects.patch_many(call.app.identifier, items, call.principal, validate=self._validate)
        done = _done(outcomes, [id for id, _ in items], skipped)
        if not done and any(isinstance(outcome, VersionMismatch) for outcome in outcomes):
            raise VersionMismatch("Update failed for all objects in batch due to 'version' mismatch.", field="version")
        return _answer(call, done, skipped, names)

    async def delete(self, call: Call) -> Answer:
        """DELETE: unknown ids are ignored, apps stay."""
        found = _ids(call.params())
        if self._most_deleted and len(found) > self._most_deleted:
            raise InvalidInput(f"Limit reached. Maximum number of items to delete is {self._most_deleted}", field="ids")
        named = [id for id in found if not is_app_id(id)]
        doomed = await self._kept(call, named)
        kept = await self._objects.delete_many(call.app.identifier, doomed, call.principal)
        skipped = [(id, "forbidden") for id in dict.fromkeys(named) if id not in doomed] if doomed != named else []
        return Answer(headers=_told(call, [*skipped, *((id, "invalid") for id in kept)]))

    async def _reachable(self, call: Call, ids: Sequence[str | None]) -> frozenset[str | None]:
        """Those of some ids whose objects, if there are any, a right on `_batch` reaches (identity.md 11)."""
        known = [id for id in ids if id is not None]
        hidden = await self._access.unreachable(call.principal, call.app, call.method, known)
        return frozenset(ids) - hidden

    async def _kept(self, call: Call, ids: list[str]) -> list[str]:
        if call.principal.kind == "app":
            return ids
        reachable = await self._reachable(call, ids)
        return [id for id in ids if id in reachable]


def _id_of(body: JsonObject) -> str | None:
    id: Json = body.get("id")
    if isinstance(id, int) and not isinstance(id, bool):
        id = str(id)
    return id if isinstance(id, str) and id.strip() else None


def _ids(params: dict[str, list[str]]) -> list[str]:
    found = [id for id in params.get("ids", ()) if id.strip()]
    if not found:
        raise InvalidInput("Missing ids.", field="ids")
    return found


def _draft(body: JsonObject) -> Draft:
    type_name = type_of_item(body)
    check_id(body.get("id"))
    if not body or type_name == "app" or is_app_id(body.get("id")):
        raise InvalidInput("Failed to create object.", field="type")
    return Draft(type=type_name, body=body, credentials=type_name == "thing")


def _done(
    outcomes: Sequence[Written | ThingsteadError], asked: Sequence[str | None], skipped: Skipped
) -> list[Written]:
    done: list[Written] = []
    for outcome, id in zip(outcomes, asked, strict=True):
        if isinstance(outcome, Written):
            done.append(outcome)
        elif isinstance(outcome, StoreFailed):
            raise outcome
        else:
            skipped.append((id or "", outcome.code))
    return done


def _answer(call: Call, done: list[Written], skipped: Skipped, names: frozenset[str]) -> Answer:
    body = b"[%b]" % b",".join([render.written(result, names, call.scope) for result in done])
    return Answer(200, body, headers=_told(call, skipped))


def _told(call: Call, skipped: Skipped) -> tuple[Header, ...]:
    """What was left out, for whom it concerns: the number; to apps also why."""
    headers: list[Header] = []
    if skipped:
        headers.append((b"x-thingstead-skipped", b"%d" % len(skipped)))
        if call.principal.kind == "app":
            reasons = ";".join(f"{quote(id, safe=':')}={code}" for id, code in skipped[:_MOST_REASONS])
            headers.append((b"x-thingstead-skipped-reasons", reasons.encode()))
    return tuple(headers)
