"""Agents: service groups and devices as the agent door provisions them, and which group a device belongs to
(agent.md 3-5, 18; doors.md 14-17, 27).

A group is an object of type `service_group`, a device is a thing with the property `agent`. Apikeys lie sealed in the
private bytes and are found by a keyed hash. Promises: a (resource, apikey) pair belongs to one group over all tenants,
a (tenant, path, apikey, device id) to one thing, also when two first measures come at once. Measures are in
core.measures.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import msgspec

from thingstead.core.agent_keys import (
    GROUP_TYPE,
    SHARERS,
    claim_key,
    device_key,
    group_key,
    owner_of_claim,
    owner_of_device,
    owner_of_group,
    share_key,
)
from thingstead.core.objects import Draft, Objects
from thingstead.core.sealing import Sealer
from thingstead.core.tenants import Tenants
from thingstead.core.things import Things
from thingstead.model import ids
from thingstead.model.agent import mapping
from thingstead.model.errors import AppNotFound, Forbidden, KeyTaken, NotFound, ThingsteadError, Unavailable
from thingstead.model.ngsi import TIME_INSTANT
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.settings import Settings
from thingstead.model.shadow import Shadow
from thingstead.model.values import JsonObject, dump, is_object
from thingstead.ports.store import Key

DEFAULT_KEY: Final = "1234"  # what devices without a group use as apikey (agent.md 5.2 rule 6)
_PAGE: Final = 1000
_CONFIG: Final = "secrets"  # hidden field of a group's object


class Group(msgspec.Struct, frozen=True):
    """A service group. `config` holds what was provisioned, in the spelling of payloads, without apikey and trust."""

    app: str
    id: str
    rev: int
    service: str  # the tenant as it was written when the group was made
    path: str
    resource: str
    apikey: str
    trust: str | None
    entity_type: str
    config: JsonObject
    created_ms: int


class Device(msgspec.Struct, frozen=True):
    """A device. `config` is its own configuration, not merged with its group's."""

    app: str
    thing: str
    service: str
    path: str
    device_id: str
    apikey: str  # "": none of its own
    name: str  # of its entity
    type: str
    config: JsonObject


class Agents:
    """See the module's docstring. Writes raise StoreFailed if they cannot be made durable."""

    def __init__(self, objects: Objects, things: Things, tenants: Tenants, settings: Settings, sealer: Sealer) -> None:
        self._objects = objects
        self._things = things
        self._tenants = tenants
        self._settings = settings
        self._sealer = sealer
        self._groups_changed: Callable[[], None] | None = None
        self._device_changed: Callable[[str, str], None] | None = None

    def on_change(self, groups: Callable[[], None], device: Callable[[str, str], None]) -> None:
        """Have `groups()` called when groups were made, `device(apikey, device id)` when a device was."""
        self._groups_changed = groups
        self._device_changed = device

    def groups_restored(self) -> None:
        """Groups came out of an archive."""
        if self._groups_changed is not None:
            self._groups_changed()

    def device_restored(self, apikey: str, device_id: str) -> None:
        """A device came out of an archive."""
        if self._device_changed is not None:
            self._device_changed(apikey or DEFAULT_KEY, device_id)

    # --- groups

    async def add_groups(
        self, app: str, service: str, path: str, items: Sequence[JsonObject], actor: Principal
    ) -> None:
        """Store checked groups (model.agent.schema) one by one; the first that fails ends it, earlier ones stay.

        Makes the tenant if need be. Raises KeyTaken (field `group`), Forbidden.
        """
        for item in items:
            resource, apikey = str(item["resource"]), str(item["apikey"])
            key = group_key(self._sealer, resource, apikey)
            if await self._objects.find(key) is not None:
                raise _taken_group(resource, apikey, service, path)
            await self.ensure_tenant(app)
            config = {k: v for k, v in item.items() if k not in ("resource", "apikey", "trust")}
            secrets: JsonObject = {
                "config": config,
                "service": service,
                "path": path,
                "resource": resource,
                "apikey": self._sealer.seal(apikey, owner_of_group(app, resource)),
            }
            trust = item.get("trust")
            if isinstance(trust, str):
                secrets["trust"] = self._sealer.seal(trust, owner_of_group(app, resource))
            draft = Draft(
                type=GROUP_TYPE,
                body={"name": f"{config['entity_type']} {resource}", "servicePath": path, "resource": resource},
                hidden={_CONFIG: secrets},
            )
            try:
                await self._create_sharing(app, draft, (key,), apikey, actor)
            except KeyTaken as error:
                if error.field != key.scope:
                    raise
                raise _taken_group(resource, apikey, service, path) from None
            finally:
                if self._groups_changed is not None:
                    self._groups_changed()

    async def groups(self, app: str, path: str | None = None) -> list[Group]:
        """The groups of a tenant in order of creation, of one path or of all; none if there is no such tenant."""
        found: list[Group] = []
        after = 0
        while True:
            page = await self._objects.list(app, type=GROUP_TYPE, after=after, limit=_PAGE)
            for obj in page:
                group = self._group(obj)
                if group is not None and (path is None or group.path == path):
                    found.append(group)
            if len(page) < _PAGE:
                return found
            after = page[-1].docid

    async def group_for(self, resource: str, apikey: str) -> Group | None:
        """The group of a measure: by (resource, apikey), else ("", apikey), else the only one with the apikey (D20)."""
        for tried in (resource, "") if resource else ("",):
            obj = await self._objects.find(group_key(self._sealer, tried, apikey))
            group = self._group(obj) if obj is not None else None
            if group is not None:
                return group
        sharing = [g for g in [self._group(obj) async for obj in self._sharers(apikey)] if g is not None]
        return sharing[0] if len(sharing) == 1 else None

    async def group_by_id(self, app: str, id: str) -> Group | None:
        """A group as it is now; None if it is gone."""
        try:
            return self._group(await self._objects.get(app, id))
        except NotFound:
            return None

    async def group_of(self, app: str, path: str, apikey: str, type_name: str) -> Group | None:
        """The group that a provisioned device inherits from (agent.md 5.1): by apikey, then by type."""
        return _match(await self.groups(app, path), path, apikey, type_name)

    # --- devices

    async def add_devices(
        self, app: str, service: str, path: str, items: Sequence[JsonObject], actor: Principal
    ) -> None:
        """Store checked devices; one that fails leaves the others stored, and its error is raised at the end.

        Makes the tenant if need be. Raises KeyTaken (field `device`), Forbidden.
        """
        failed: ThingsteadError | None = None
        if items:
            await self.ensure_tenant(app)
        groups = await self.groups(app, path)
        for item in items:
            apikey = str(item.get("apikey", ""))
            stated = item.get("entity_type")
            group = _match(groups, path, apikey, stated if isinstance(stated, str) else "")
            try:
                if group is None or (apikey and group.apikey != apikey):
                    await self._claim(app, path, apikey, actor)
                await self._add_device(app, service, path, apikey, item, group, actor)
            except KeyTaken as error:
                failed = failed or error
            finally:
                if self._device_changed is not None:
                    self._device_changed(apikey or DEFAULT_KEY, str(item["device_id"]))
        if failed is not None:
            raise failed

    async def autoprovision(self, group: Group, device_id: str, *, transport: str, protocol: str) -> Device:
        """The device of a first measure (agent.md 5.2 rule 4); if another made it meanwhile, that one."""
        item: JsonObject = {
            "device_id": device_id,
            "protocol": protocol,
            "transport": transport,
            "polling": transport == "HTTP" and not group.config.get("endpoint"),
        }
        commands = group.config.get("commands")
        if commands:
            item["commands"] = commands
        actor = Principal("app", group.app, ids.APP_PREFIX + group.app)
        try:
            return await self._add_device(group.app, group.service, group.path, group.apikey, item, group, actor)
        except KeyTaken:
            device = await self.find(group.app, group.path, group.apikey, device_id)
            if device is None:
                raise Unavailable("the device is being made and deleted at once; try again") from None
            return device

    async def find(self, app: str, path: str, apikey: str, device_id: str) -> Device | None:
        """One device by its whole key; `apikey` "": one that has none of its own."""
        obj = await self._objects.find(device_key(self._sealer, app, path, apikey, device_id))
        return self._device(obj) if obj is not None else None

    async def lone(self, apikey: str, device_id: str) -> Device | None:
        """The device of a measure whose apikey belongs to no group, if there is exactly one (agent.md 5.2 rule 6)."""
        found: list[Device] = []
        for key in (apikey, "") if apikey == DEFAULT_KEY else (apikey,):
            async for obj in self._sharers(key):
                claim = obj.hidden.get(_CONFIG)
                if is_object(claim) and "claim" in claim:
                    device = await self.find(obj.app, str(claim["claim"]), key, device_id)
                    if device is not None:
                        found.append(device)
        return found[0] if len(found) == 1 else None

    async def device(self, app: str, path: str, device_id: str, apikey: str | None = None) -> Device:
        """A device by id; without `apikey` the first made of those with that id. Raises NotFound (field `device`)."""
        if apikey is not None:
            found = await self.find(app, path, apikey, device_id)
            if found is not None:
                return found
        else:
            async for obj in self._device_objects(app, path):
                if _agent(obj).get("deviceId") == device_id and (device := self._device(obj)) is not None:
                    return device
        raise NotFound(f"No device was found with id:{device_id} and {_place(app, path)}", field="device")

    async def devices(self, app: str, path: str, *, limit: int, offset: int) -> tuple[int, list[Device]]:
        """How many devices a tenant has at a path, and a page of them in order of creation; `limit` 0: all."""
        count = 0
        page: list[Device] = []
        async for obj in self._device_objects(app, path):
            if count >= offset and (not limit or len(page) < limit) and (device := self._device(obj)) is not None:
                page.append(device)
            count += 1
        return count, page

    async def device_of(self, app: str, thing: str) -> Device | None:
        """The device that a thing is; None if it has no agent configuration."""
        try:
            return self._device(await self._objects.get(app, thing))
        except NotFound:
            return None

    async def statics(self, app: str, shadows: Mapping[str, Shadow]) -> dict[str, dict[str, mapping.Static]]:
        """Static attributes of those things among `shadows` that are devices: what their entities show besides."""
        devices = [obj for obj in await self._objects.get_many(app, list(shadows)) if obj.type == "thing"]
        described = [device for obj in devices if (device := self._device(obj)) is not None]
        if not described:
            return {}
        groups = await self.groups(app)
        out: dict[str, dict[str, mapping.Static]] = {}
        for device in described:
            group = _match(groups, device.path, device.apikey, device.type)
            prepared = self.mapping(device, group)
            out[device.thing] = mapping.statics(prepared, shadows[device.thing].reported.get(TIME_INSTANT))
        return out

    def mapping(self, device: Device, group: Group | None) -> mapping.Mapping:
        """What becomes of a device's measures."""
        config = group.config if group is not None else None
        return mapping.prepare(device.config, config, timestamp=self._settings.agent_timestamp)

    # --- how they are kept

    async def ensure_tenant(self, app: str) -> None:
        """Make an app for a tenant that is none yet (doors.md 27). Raises Forbidden where that is off."""
        try:
            await self._tenants.get(app)
        except AppNotFound:
            if not self._settings.agent_autocreate_tenants:
                details = {"rule": "agent.autocreateTenants=false", "right": f"make app:{app}"}
                raise Forbidden(f"the tenant {app} does not exist", details=details) from None
            await self._tenants.ensure(app)

    async def _add_device(
        self,
        app: str,
        service: str,
        path: str,
        apikey: str,
        item: JsonObject,
        group: Group | None,
        actor: Principal,
    ) -> Device:
        device_id = str(item["device_id"])
        config = {
            k: v for k, v in item.items() if k not in ("device_id", "apikey", "entity_name", "entity_type", "trust")
        }
        inherited = group.config if group is not None else None
        type_name = mapping.entity_type(item, inherited)
        name = mapping.entity_name(item, inherited, device_id, type_name)
        owner = owner_of_device(app, path, device_id)
        secrets: JsonObject = {"apikey": self._sealer.seal(apikey, owner)}
        trust = item.get("trust")
        if isinstance(trust, str):
            secrets["trust"] = self._sealer.seal(trust, owner)
        key = device_key(self._sealer, app, path, apikey, device_id)
        draft = Draft(
            type="thing",
            body={"name": name, "parentid": (await self._things.default_site(app)).id},
            server={
                "agent": {
                    "deviceId": device_id,
                    "service": service,
                    "servicePath": path,
                    "entityName": name,
                    "entityType": type_name,
                    "config": config,
                }
            },
            hidden={"agentSecrets": secrets, "keys": {key.scope: key.text}},
            keys=(key,),
        )
        try:
            written = await self._objects.create(app, draft, actor)
        except KeyTaken as error:
            if error.field != key.scope:
                raise
            info = "A device with the same info (DeviceId, ApiKey, Service, Subservice) was found:"
            raise KeyTaken(f"{info}{device_id} and {_place(service, path)}", field=key.scope) from None
        return Device(app, written.object.id, service, path, device_id, apikey, name, type_name, config)

    async def _claim(self, app: str, path: str, apikey: str, actor: Principal) -> None:
        """Note that devices under this apikey, which is no group's, are to be looked for here."""
        key = claim_key(self._sealer, app, path, apikey)
        if await self._objects.find(key) is not None:
            return
        claim: JsonObject = {"claim": path, "apikey": self._sealer.seal(apikey, owner_of_claim(app, path))}
        draft = Draft(type=GROUP_TYPE, body={"name": f"Devices of {path}"}, hidden={_CONFIG: claim})
        try:
            await self._create_sharing(app, draft, (key,), apikey, actor)
        except KeyTaken as error:
            if error.field != key.scope:
                raise

    async def _create_sharing(
        self, app: str, draft: Draft, keys: tuple[Key, ...], apikey: str, actor: Principal
    ) -> None:
        """Create an object that is found by its apikey among at most SHARERS; further ones only by their other keys."""
        for n in range(SHARERS):
            draft.keys = (*keys, share_key(self._sealer, apikey, n))
            try:
                await self._objects.create(app, draft, actor)
                return
            except KeyTaken as error:
                if error.field != "apikey":
                    raise
        draft.keys = keys
        await self._objects.create(app, draft, actor)

    async def _sharers(self, apikey: str) -> AsyncIterator[Object]:
        for n in range(SHARERS):
            obj = await self._objects.find(share_key(self._sealer, apikey, n))
            if obj is not None:
                yield obj

    async def _device_objects(self, app: str, path: str) -> AsyncIterator[Object]:
        after = 0
        while page := await self._objects.list(app, type="thing", after=after, limit=_PAGE):
            for obj in page:
                if _agent(obj).get("servicePath") == path:
                    yield obj
            after = page[-1].docid

    def _group(self, obj: Object) -> Group | None:
        kept = obj.hidden.get(_CONFIG)
        if obj.type != GROUP_TYPE or not is_object(kept):
            return None
        config, sealed, trust = kept.get("config"), kept.get("apikey"), kept.get("trust")
        if not is_object(config) or not isinstance(sealed, str):
            return None
        resource = str(kept.get("resource"))
        owner = owner_of_group(obj.app, resource)
        return Group(
            app=obj.app,
            id=obj.id,
            rev=obj.rev,
            service=str(kept.get("service")),
            path=str(kept.get("path")),
            resource=resource,
            apikey=self._sealer.open(sealed, owner),
            trust=self._sealer.open(trust, owner) if isinstance(trust, str) else None,
            entity_type=str(config.get("entity_type")),
            config=config,
            created_ms=obj.timestamp,
        )

    def _device(self, obj: Object) -> Device | None:
        agent = _agent(obj)
        secrets = obj.hidden.get("agentSecrets")
        sealed = secrets.get("apikey") if is_object(secrets) else None
        config = agent.get("config")
        if not is_object(config) or not isinstance(sealed, str):
            return None
        path, device_id = str(agent.get("servicePath")), str(agent.get("deviceId"))
        return Device(
            app=obj.app,
            thing=obj.id,
            service=str(agent.get("service")),
            path=path,
            device_id=device_id,
            apikey=self._sealer.open(sealed, owner_of_device(obj.app, path, device_id)),
            name=str(agent.get("entityName")),
            type=str(agent.get("entityType")),
            config=config,
        )


def _agent(obj: Object) -> JsonObject:
    agent = obj.own.get("agent")
    return agent if is_object(agent) else {}


def _match(groups: Sequence[Group], path: str, apikey: str, type_name: str) -> Group | None:
    here = [group for group in groups if group.path == path]
    with_key = [group for group in here if apikey and group.apikey == apikey]
    for group in (*(g for g in with_key if g.entity_type == type_name), *with_key):
        return group
    return next((group for group in here if type_name and group.entity_type == type_name), None)


def _place(service: str, path: str) -> str:
    return dump({"service": service, "subservice": path}).decode()


def _taken_group(resource: str, apikey: str, service: str, path: str) -> KeyTaken:
    place = _place(service, path)
    return KeyTaken(
        f"A device configuration already exists for resource {resource} and API Key {apikey} and {place}",
        field="group",
    )
