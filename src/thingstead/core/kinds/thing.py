"""Kind `thing`: a physical device (things.md 1, 2, 8; doors.md 3, 14-17, 19, 23, 24)."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from thingstead.core.agent_keys import device_key, owner_of_device
from thingstead.core.kinds.base import Draft, Kind, Op, Prepared
from thingstead.core.sealing import Sealer
from thingstead.core.shapes import shadow_put
from thingstead.model import shadow as rules
from thingstead.model.agent import schema
from thingstead.model.errors import ConstraintViolation, NotSupported
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.shadow import Shadow
from thingstead.model.shadow_archive import SHADOW, restored
from thingstead.model.values import Json, JsonObject, dump, is_array, is_object, parse_object
from thingstead.ports.broker import ServiceBroker
from thingstead.ports.environment import Clock
from thingstead.ports.store import Key, Remove, ShadowPut, Store

LOCAL_KEYS: Final = "deviceKeys"
"""The member of a thing's entry in an archive that holds its unique names within the app."""

_ALIASES: Final = {"aws": "AWS", "awsiotservice": "AWS", "azure": "Azure", "azureiotservice": "Azure", "local": "Local"}
_CHOSEN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PAGE: Final = 1000


class ThingKind(Kind):
    """Things, whichever door makes them. State lives in the shadow and is merged on read."""

    generated_ids = True
    lasting = True
    reads_old = True

    def __init__(
        self,
        store: Store,
        clock: Clock,
        brokers: Mapping[str, ServiceBroker],
        default_broker: str,
        sealer: Sealer,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._brokers = brokers
        self._default_broker = default_broker
        self.desired: Callable[[str, str, JsonObject], Awaitable[None]] | None = (
            None  # set by Things: the way to ingest
        )
        self.revoked: Callable[[str, str], None] | None = None  # set by Things: ends live sessions
        self.moved: Callable[[str, str], None] | None = None  # set by Things: creator or parent may be another
        self.forget: Callable[[str, str], None] | None = None  # set by Things: drops ingest's working copy
        self.restored: Callable[[str, str], None] | None = None  # set by the server: (apikey, device id) is known now

    def broker(self, name: str) -> ServiceBroker:
        """A service broker by its canonical name. Raises NotSupported."""
        broker = self._brokers.get(name)
        if broker is None:
            raise NotSupported(f"service broker {name} is not configured", field="serviceBroker")
        return broker

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Name and broker checked, credentials made, the shadow row begun; on PATCH, desired state sent."""
        prepared = await self._prepare(op, obj, draft, old, body)
        if old is not None and (old.creatorid, old.parentid) != (obj.creatorid, obj.parentid):
            first, moved = prepared.after, self.moved

            async def after() -> None:
                if moved is not None:
                    moved(obj.app, obj.id)
                if first is not None:
                    await first()

            prepared.after = after
        return prepared

    async def _prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject
    ) -> Prepared:
        state = body.get("deviceState", obj.custom.get("deviceState") if draft and draft.archived else None)
        obj.custom.pop("deviceState", None)
        obj.custom.pop("deviceDetails", None)
        if state is not None and not is_object(state):
            raise ConstraintViolation("'deviceState' must be an object", field="deviceState")
        if op == "patch":
            if draft is not None:
                replaced = {key.scope for key in draft.keys}
                remember_keys(obj, [*draft.keys, *(key for key in stated_keys(obj) if key.scope not in replaced)])
            return await self._patch(obj, old, state)
        if not isinstance(body.get("name"), str) or not str(body["name"]).strip():
            raise ConstraintViolation("'name' must not be blank", field="name")
        if draft is not None and draft.archived is not None:
            return await self._restore(obj, draft.archived, old, state)
        if old is not None:
            return await self._replace(obj, old, state)
        if draft is not None and draft.id is not None and not _CHOSEN_ID.fullmatch(draft.id):
            raise ConstraintViolation("'id' must be 1-64 of A-Z a-z 0-9 _ -", field="id")
        obj.own["serviceBroker"] = _broker_name(body.get("serviceBroker"), self._default_broker)
        return await self._begin(obj, draft, state)

    async def _begin(self, obj: Object, draft: Draft | None, state: JsonObject | None) -> Prepared:
        now = self._clock.now()
        agent = obj.own.get("agent")
        described = agent if is_object(agent) else {}
        shadow = Shadow(
            entity_id=str(described.get("entityName") or f"Thing:{obj.id}"),
            entity_type=str(described.get("entityType") or "Thing"),
            entity_path=str(described.get("servicePath") or "/"),
            shown=bool(described),
            created=now,
            parent=obj.parentid or "",
        )
        if state:
            rules.check_section("desired", state)
            rules.merge_desired(shadow, state, now)
            rules.check_size(shadow)
            shadow.version, shadow.updated = 1, now
        keys = [*draft.keys] if draft is not None else []
        prepared = Prepared(shadows=[shadow_put(obj.app, obj.id, shadow, 0)])
        broker = self.broker(str(obj.own["serviceBroker"]))
        if draft is not None and draft.credentials:
            csr = draft.body.get("csr")
            obj.custom.pop("csr", None)
            made = await broker.provision(obj.app, obj.id, obj.name, csr=csr if isinstance(csr, str) else None)
            obj.hidden["deviceMetadata"] = made.metadata
            keys.extend(made.keys)
            prepared.once = {"deviceDetails": made.details}

            async def undo() -> None:
                await broker.deprovision(made.metadata)

            prepared.undo = undo
        else:
            cloud_id = broker.cloud_id(obj.app, obj.id)
            obj.hidden["deviceMetadata"] = {"cloudId": cloud_id}
            keys.append(Key("cloud", cloud_id))
        remember_keys(obj, keys)
        prepared.keys = all_keys(obj)
        return prepared

    async def _restore(self, obj: Object, archived: JsonObject, old: Object | None, state: Json) -> Prepared:
        """A thing out of an archive: one that is here keeps what devices and doors rely on; a new one gets its own.

        Nothing is provisioned and nothing sent to a device. Credentials come back where the broker knows them as this
        thing's; otherwise there are none until somebody asks for new ones.
        """
        if old is not None:
            for name in ("serviceBroker", "agent"):
                obj.own.pop(name, None)
                if name in old.own:
                    obj.own[name] = old.own[name]
            obj.hidden = dict(old.hidden)
            return Prepared(keys=all_keys(obj))
        if not _CHOSEN_ID.fullmatch(obj.id):
            raise ConstraintViolation("'id' must be 1-64 of A-Z a-z 0-9 _ -", field="id")
        now = self._clock.now()
        obj.own["serviceBroker"] = _broker_name(archived.get("serviceBroker"), self._default_broker)
        broker = self.broker(str(obj.own["serviceBroker"]))
        metadata, secrets, named = (obj.hidden.pop(n, None) for n in ("deviceMetadata", "agentSecrets", "keys"))
        made = await broker.adopt(obj.app, obj.id, metadata) if is_object(metadata) else None
        cloud_id = broker.cloud_id(obj.app, obj.id)
        obj.hidden["deviceMetadata"] = made.metadata if made is not None else {"cloudId": cloud_id}
        keys = [*made.keys] if made is not None else [Key("cloud", cloud_id)]
        # Names within the app come along; those that hold over all apps are only given by what can be proven.
        for scope, text, _ in map(_texts, filter(_is_local, named)) if is_array(named) else ():
            keys.append(Key(scope, text, obj.app))
        shadow = restored(archived.get(SHADOW), state, now)
        shadow.parent = obj.parentid or ""
        shadow.entity_id = shadow.entity_id or f"Thing:{obj.id}"
        shadow.entity_type = shadow.entity_type or "Thing"
        shadow.shown = shadow.shown or bool(shadow.reported)
        prepared = Prepared(shadows=[shadow_put(obj.app, obj.id, shadow, 0)])
        agent, apikey = obj.own.get("agent"), secrets.get("apikey") if is_object(secrets) else None
        if is_object(agent) and is_object(secrets) and isinstance(apikey, str):
            path, device_id = _checked(agent, apikey)
            owner = owner_of_device(obj.app, path, device_id)
            obj.hidden["agentSecrets"] = {
                name: self._sealer.seal(text, owner) for name, text in secrets.items() if isinstance(text, str)
            }
            keys.append(device_key(self._sealer, obj.app, path, apikey, device_id))

            async def after() -> None:
                if self.restored is not None:
                    self.restored(apikey, device_id)

            prepared.after = after
        else:
            obj.own.pop("agent", None)
        remember_keys(obj, keys)
        prepared.keys = all_keys(obj)
        return prepared

    def reveal(self, obj: Object) -> JsonObject:
        """With apikey and trust of a device themselves; of its unique names those within the app."""
        hidden = dict(obj.hidden)
        named = hidden.pop("keys", None)
        local: list[Json] = [key for key in named if _is_local(key)] if is_array(named) else []
        if local:
            hidden[LOCAL_KEYS] = local
        agent, secrets = obj.own.get("agent"), hidden.get("agentSecrets")
        if is_object(agent) and is_object(secrets):
            owner = owner_of_device(obj.app, str(agent.get("servicePath")), str(agent.get("deviceId")))
            hidden["agentSecrets"] = {
                name: self._sealer.open(text, owner) for name, text in secrets.items() if isinstance(text, str)
            }
        return hidden

    async def _replace(self, obj: Object, old: Object, state: JsonObject | None) -> Prepared:
        """PUT of a thing that exists: broker, credentials and agent configuration stay; state becomes the body's."""
        for name in ("serviceBroker", "agent"):
            if name in old.own:
                obj.own[name] = old.own[name]
        obj.hidden = dict(old.hidden)
        current = await self._shadow(obj.app, obj.id)
        shown = rules.device_state(current)
        patch: JsonObject = {key: None for key in shown if state is None or key not in state}
        patch.update(_changes(shown, state or {}))
        return self._sending(obj, patch)

    async def _patch(self, obj: Object, old: Object | None, state: JsonObject | None) -> Prepared:
        """Changed leaves are sent as desired; a PATCH of nothing but state leaves the object alone (doors.md 3)."""
        if state is None:
            return Prepared(keys=all_keys(obj))
        current = await self._shadow(obj.app, obj.id)
        prepared = self._sending(obj, _changes(rules.device_state(current), state))
        prepared.skip = old is not None and msgspec.structs.replace(obj, updated=old.updated) == old
        return prepared

    def _sending(self, obj: Object, patch: JsonObject) -> Prepared:
        prepared = Prepared(keys=all_keys(obj))
        app, thing, desired, forget = obj.app, obj.id, self.desired, self.forget

        async def after() -> None:
            if forget is not None:
                forget(app, thing)
            if patch and desired is not None:
                await desired(app, thing, patch)

        if patch:
            rules.check_section("desired", patch)
        prepared.after = after
        return prepared

    async def removing(self, obj: Object) -> Prepared:
        """Sensors, metadata and the shadow go with the thing; its sessions are closed (doors.md 24)."""
        prepared = Prepared(shadows=[ShadowPut(obj.app, obj.id, None)])
        parents = [obj.id]
        while parents:
            parent = parents.pop()
            for kind in ("sensor", "metadata"):
                after = 0
                while rows := await self._store.objects.scan(
                    obj.app, type=kind, parent=parent, after=after, limit=_PAGE
                ):
                    prepared.changes.extend(Remove(obj.app, row.id) for row in rows)
                    if kind == "sensor":
                        parents.extend(row.id for row in rows)
                    after = rows[-1].docid
        metadata = obj.hidden.get("deviceMetadata")
        revoked, forget = self.revoked, self.forget

        async def done() -> None:
            if forget is not None:
                forget(obj.app, obj.id)
            if revoked is not None:
                revoked(obj.app, obj.id)
            if is_object(metadata):
                await self.broker(str(obj.own.get("serviceBroker"))).deprovision(metadata)

        prepared.after = done
        return prepared

    async def present(self, app: str, publics: list[bytes]) -> list[bytes]:
        """Stored bytes with `deviceState` and the later `updated` of object and shadow (doors.md 3)."""
        wires = [parse_object(public) for public in publics]
        rows = await self._store.shadows.get_many(app, [str(w["id"]) for w in wires if w.get("type") == "thing"])
        shown: list[bytes] = []
        for wire, public in zip(wires, publics, strict=True):
            if wire.get("type") != "thing":
                shown.append(public)
                continue
            row = rows.get(str(wire["id"]))
            shadow = rules.decode(row.document) if row is not None else Shadow()
            wire["deviceState"] = rules.device_state(shadow)
            updated = wire.get("updated")
            latest = max(updated if isinstance(updated, int) else 0, shadow.updated // 1000)
            if latest:
                wire["updated"] = latest
            shown.append(dump(wire))
        return shown

    async def _shadow(self, app: str, thing: str) -> Shadow:
        row = (await self._store.shadows.get_many(app, [thing])).get(thing)
        return rules.decode(row.document) if row is not None else Shadow()


def remember_keys(obj: Object, keys: Sequence[Key]) -> None:
    """Keep a thing's keys (but its kit id, a property) in its private bytes: any write states the whole set."""
    obj.hidden["keys"] = [[key.scope, key.text, key.app] for key in keys]


def stated_keys(obj: Object) -> list[Key]:
    """The keys that `remember_keys` kept."""
    kept = obj.hidden.get("keys")
    return [Key(*(str(part) for part in key)) for key in kept if is_array(key)] if is_array(kept) else []


def all_keys(obj: Object) -> tuple[Key, ...]:
    """The whole set of a thing's keys."""
    kit = obj.custom.get("kitId")
    own = [Key("kit", kit, obj.app)] if isinstance(kit, str) and kit else []
    return (*stated_keys(obj), *own)


def _checked(agent: JsonObject, apikey: str) -> tuple[str, str]:
    """Service path and id of a device whose configuration comes out of an archive. Raises InvalidInput."""
    for name in ("deviceId", "service", "servicePath", "entityName", "entityType"):
        if not isinstance(agent.get(name), str):
            raise ConstraintViolation(f"'agent.{name}' must be text", field="agent")
    config = agent.get("config")
    item: Json = {**config, "device_id": agent["deviceId"], "apikey": apikey} if is_object(config) else None
    schema.devices({"devices": [item]})
    return str(agent["servicePath"]), str(agent["deviceId"])


def _texts(key: Json) -> list[str]:
    return [str(part) for part in key] if is_array(key) else []


def _is_local(key: Json) -> bool:
    """True for names within one app that do not hold a keyed hash of this server."""
    texts = _texts(key)
    return len(texts) == 3 and bool(texts[2]) and texts[0] not in ("device", "claim")


def _broker_name(given: Json, default: str) -> str:
    if given is None:
        return default
    name = _ALIASES.get(given.lower()) if isinstance(given, str) else None
    if name is None:
        raise ConstraintViolation("'serviceBroker' must be Local, AWS or Azure", field="serviceBroker")
    return name


def _changes(shown: Mapping[str, Json], patch: Mapping[str, Json]) -> JsonObject:
    """The part of a merge patch that has an effect on what is shown (things.md 8.2)."""
    out: JsonObject = {}
    for key, value in patch.items():
        present = shown.get(key)
        if is_object(value):
            below = _changes(present if is_object(present) else {}, value)
            if below:
                out[key] = below
        elif value is None:
            if key in shown:
                out[key] = None
        elif key not in shown or present != value or type(present) is not type(value):
            out[key] = value
    return out
