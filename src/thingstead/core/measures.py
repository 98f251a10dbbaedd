"""Measures: from (apikey, device id) to a thing, and from what it says to reports (agent.md 5.2, 7).

Every transport hands measures in here. What is needed for the next measure of a device is remembered in a bounded
cache, so that a steady device costs no lookup; it is dropped when groups or devices change, and a group that was
changed or deleted elsewhere is noticed within a second. Promises: what is refused makes no device and stores nothing.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from cachebox import LRUCache

from thingstead.core.agents import Agents, Device, Group
from thingstead.core.ingest import Ingest, Report
from thingstead.core.tenants import App, Tenants
from thingstead.model import ids
from thingstead.model.agent import mapping, payload
from thingstead.model.errors import AppNotFound, Forbidden, NotFound, Unavailable
from thingstead.model.values import JsonObject
from thingstead.ports.environment import Clock

CACHED_DEVICES: Final = 50_000
GROUP_CHECK: Final = 1_000_000  # microseconds for which a group is taken to be as it was
_ATTEMPTS: Final = 3


class Source(NamedTuple):
    """Where a measure claims to come from."""

    apikey: str
    device_id: str
    resource: str  # the path it came in on; for MQTT that of its protocol


class _Checked(msgspec.Struct):
    """A group, and when it was last seen to be so."""

    group: Group
    at: int


class Target(msgspec.Struct):
    """Where the measures of a source go."""

    app: str
    thing: str  # "": a device that its first good measure will make
    mapping: mapping.Mapping
    protocol: str | None  # what the group states
    own_protocol: str | None  # what the device states
    group: _Checked | None

    @property
    def resource(self) -> str | None:
        """The resource of the group."""
        return self.group.group.resource if self.group is not None else None


class Measures:
    """See the module's docstring."""

    def __init__(self, agents: Agents, ingest: Ingest, tenants: Tenants, clock: Clock) -> None:
        self._agents = agents
        self._ingest = ingest
        self._tenants = tenants
        self._clock = clock
        self._targets: LRUCache[tuple[str, str], dict[str, Target] | None] = LRUCache(CACHED_DEVICES)
        self._groups: LRUCache[tuple[str, str], _Checked | None] = LRUCache(CACHED_DEVICES)
        self._epoch = 0
        agents.on_change(self._forget_all, self._forget_device)

    def ready(self, source: Source) -> Target | None:
        """The target of a source without waiting; None: ask `target`."""
        known = self._targets.get((source.apikey, source.device_id))
        target = known.get(source.resource) if known is not None else None
        if target is None:
            return None
        if target.group is not None and self._clock.now() - target.group.at > GROUP_CHECK:
            return None
        app = self._tenants.cached(target.app)
        return target if app is not None and app.active and not app.read_only else None

    async def target(self, source: Source) -> Target:
        """Where measures of this source go (agent.md 5.2). Makes nothing.

        Raises NotFound (field `group` or `device`), Forbidden.
        """
        await self._check_groups(source)
        found = self.ready(source) or await self._resolve(source)
        try:
            _check_app(await self._tenants.get(found.app))
        except AppNotFound:
            self.forget(source)
            raise _no_group(source) from None
        return found

    def reports(self, target: Target, measures: Sequence[JsonObject], instant: str | None = None) -> list[Report]:
        """What measures of one message say, in the order in which they count; `instant` is the request's `t`.

        Raises InvalidInput (field `TimeInstant`: not ISO 8601), TooLarge, NotSupported.
        """
        payload.check(measures)
        now = self._clock.now()
        found = [mapping.apply(target.mapping, measure, now, instant) for measure in measures]
        return [
            Report(
                app=target.app,
                thing=target.thing,
                mode="set",
                reported=update.values,
                attributes=update.attributes,
                time=update.time,
            )
            for update in mapping.in_order([update for update in found if update is not None])
        ]

    async def take(
        self,
        source: Source,
        measures: Sequence[JsonObject],
        *,
        instant: str | None = None,
        transport: str,
        protocol: str,
    ) -> None:
        """Store the measures of one message, making the device if need be; durable on return.

        Raises NotFound (field `group` or `device`), Forbidden, InvalidInput, NotSupported, StoreFailed.
        """
        for _ in range(_ATTEMPTS):
            target = self.ready(source) or await self.target(source)
            reports = self.reports(target, measures, instant)
            if not target.thing:
                target = await self._make(source, target, transport, protocol)
                for report in reports:
                    report.thing = target.thing
            if not reports:
                return
            error = next((o.error for o in await self._ingest.accept(reports) if o.error is not None), None)
            if error is None:
                return
            self.forget(source)
            if not isinstance(error, NotFound):
                raise error
        raise Unavailable("the device is being made and deleted at once; try again")

    def forget(self, source: Source) -> None:
        """What is remembered of a source no longer holds."""
        self._forget_device(source.apikey, source.device_id)

    # --- resolving

    async def _resolve(self, source: Source) -> Target:
        epoch = self._epoch
        agents = self._agents
        group = await agents.group_for(source.resource, source.apikey)
        if group is not None:
            device = await agents.find(group.app, group.path, source.apikey, source.device_id)
            if device is None:
                device = await agents.find(group.app, group.path, "", source.device_id)
            if device is None:
                return self._prospect(source, group)
        else:
            device = await agents.lone(source.apikey, source.device_id)
            if device is None:
                raise _no_group(source)
            group = await agents.group_of(device.app, device.path, device.apikey, device.type)
        return self._remember(source, device, group, epoch)

    def _prospect(self, source: Source, group: Group) -> Target:
        if group.config.get("autoprovision") is False:
            place = f'{{"service":"{group.service}","subservice":"{group.path}"}}'
            raise NotFound(f"No device was found with id:{source.device_id} and {place}", field="device")
        device = Device(group.app, "", group.service, group.path, source.device_id, source.apikey, "", "", {})
        prepared = self._agents.mapping(device, group)
        return Target(group.app, "", prepared, _protocol(group.config), None, self._checked(group))

    async def _make(self, source: Source, target: Target, transport: str, protocol: str) -> Target:
        assert target.group is not None
        epoch = self._epoch
        group = target.group.group
        device = await self._agents.autoprovision(group, source.device_id, transport=transport, protocol=protocol)
        return self._remember(source, device, group, epoch)

    def _remember(self, source: Source, device: Device, group: Group | None, epoch: int) -> Target:
        target = Target(
            app=device.app,
            thing=device.thing,
            mapping=self._agents.mapping(device, group),
            protocol=_protocol(group.config) if group is not None else None,
            own_protocol=_protocol(device.config),
            group=self._checked(group) if group is not None else None,
        )
        if epoch == self._epoch:
            place = (source.apikey, source.device_id)
            self._targets[place] = {**(self._targets.get(place) or {}), source.resource: target}
        return target

    def _checked(self, group: Group) -> _Checked:
        place = (group.app, group.id)
        checked = self._groups.get(place)
        if checked is None or checked.group.rev != group.rev:
            checked = _Checked(group, self._clock.now())
            self._groups[place] = checked
        checked.at = self._clock.now()
        return checked

    async def _check_groups(self, source: Source) -> None:
        """Look again at the group behind a remembered target whose last look is too long ago."""
        known = self._targets.get((source.apikey, source.device_id))
        target = known.get(source.resource) if known is not None else None
        if target is None or target.group is None:
            return
        now = self._clock.now()
        held = target.group
        if now - held.at > GROUP_CHECK:
            present = await self._agents.group_by_id(held.group.app, held.group.id)
            if present is None or present.rev != held.group.rev:
                self._forget_all()
            else:
                held.at = now

    def _forget_all(self) -> None:
        self._epoch += 1
        self._targets.clear()
        self._groups.clear()

    def _forget_device(self, apikey: str, device_id: str) -> None:
        self._epoch += 1
        self._targets.pop((apikey, device_id), None)


def _protocol(config: JsonObject) -> str | None:
    stated = config.get("protocol")
    return stated.lower() if isinstance(stated, str) else None


def _check_app(app: App) -> None:
    details = {
        "rule": "active" if not app.active else "readOnly",
        "right": f"write in {ids.APP_PREFIX}{app.identifier}",
    }
    if not app.active:
        raise Forbidden(f"App not active. [{app.object.id}]", details=details)
    if app.read_only:
        raise Forbidden(f"App is in read-only mode. [{app.object.id}]", details=details)


def _no_group(source: Source) -> NotFound:
    values = f"{source.resource},{source.apikey}"
    return NotFound(f'Couldn\'t find device group for fields: "resource,apikey" and values: "{values}"', field="group")
