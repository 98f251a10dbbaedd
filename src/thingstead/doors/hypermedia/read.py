"""What this door shows of the backend: objects of any door as sites, devices, sensors, readings and metadata
(hypermedia.md 20; doors.md 6-10).

Promises: a thing whose parent is no site appears under the app's default site; a sensor appears once it was numeric;
only numbers and booleans are readings here. Lists are read whole and sorted in memory.
"""

from collections.abc import Iterable, Sequence

from thingstead.core.backend import Backend
from thingstead.model.errors import NotFound
from thingstead.model.hypermedia.documents import Device, Entry, Sensor, Site
from thingstead.model.hypermedia.forms import flag_of, place_of, text_of
from thingstead.model.objects import Object
from thingstead.model.ownership import Scope
from thingstead.model.readings import columns
from thingstead.model.shadow import Leaf, Shadow
from thingstead.ports.store import Key, Reading

_PAGE = 1000

Row = tuple[int, float]
"""(time, value) of a reading."""


def numbers(rows: Iterable[Reading]) -> list[Row]:
    """The readings that this door shows: numbers and booleans."""
    return [(row.time, row.value) for row in rows if row.value is not None]


def site_view(obj: Object) -> Site:
    """A site as it is shown."""
    custom = obj.custom
    return Site(obj.id, obj.name, text_of(custom.get("rawZMQStream")), place_of(custom.get("geoLocation")))


def device_view(thing: Object, site: Object) -> Device:
    """A thing as it is shown, under `site`."""
    custom = thing.custom
    return Device(
        id=thing.id,
        name=thing.name,
        site=site.id,
        site_name=site.name,
        description=text_of(custom.get("description")),
        building=text_of(custom.get("building")),
        floor=text_of(custom.get("floor")),
        room=text_of(custom.get("room")),
        active=flag_of(custom.get("active")),
        place=place_of(custom.get("geoLocation")),
    )


def device_order(device: Device | Object) -> tuple[str, int, str]:
    """The order of devices: by name, then id (numbers by value)."""
    return device.name, int(device.id) if device.id.isdecimal() else 0, device.id


class Reader:
    """Reads of one app, by somebody who is confined to `scope`: what is not seen does not exist (identity.md 10.5)."""

    def __init__(self, backend: Backend, app: str, scope: Scope | None = None) -> None:
        self._backend = backend
        self.app = app
        self._scope = scope

    def _seen(self, objects: list[Object]) -> list[Object]:
        scope = self._scope
        return objects if scope is None else [obj for obj in objects if scope.sees(obj)]

    # --- objects

    async def all(self, type: str, parent: str | None = None) -> list[Object]:
        """All objects of a type, in creation order."""
        found: list[Object] = []
        after = 0
        while True:
            rows = await self._backend.objects.list(self.app, type=type, parent=parent, after=after, limit=_PAGE)
            found.extend(self._seen(rows))
            if len(rows) < _PAGE:
                return found
            after = rows[-1].docid

    async def sees(self, ids: Sequence[str]) -> bool:
        """Whether none of these objects is kept from whoever reads; what does not exist is not."""
        if self._scope is None:
            return True
        found = await self._backend.objects.get_many(self.app, ids)
        return len(self._seen(found)) == len(found)

    async def one(self, type: str, id: str) -> Object:
        """One object of a type. Raises NotFound."""
        obj = await self._backend.objects.get(self.app, id)
        if obj.type != type or not self._seen([obj]):
            raise NotFound("Not Found")
        return obj

    async def _get(self, type: str, ids: Iterable[str]) -> dict[str, Object]:
        found = await self._backend.objects.get_many(self.app, list(dict.fromkeys(ids)))
        return {obj.id: obj for obj in self._seen(found) if obj.type == type}

    # --- sites and devices

    async def sites(self) -> list[Object]:
        """All sites, in creation order; the default one is among them as soon as a thing hangs under no other."""
        sites = await self.all("site")
        if await self.default_site_id() is None:
            count = self._backend.objects.count
            under = [await count(self.app, type="thing", parent=site.id) for site in sites]
            if await count(self.app, type="thing") > sum(under):
                sites.extend(self._seen([await self._backend.things.default_site(self.app)]))
        return sites

    async def sites_of(self, things: Sequence[Object]) -> dict[str, Object]:
        """thing id -> the site it appears under."""
        sites = await self._get("site", [thing.parentid for thing in things if thing.parentid])
        default: Object | None = None
        found: dict[str, Object] = {}
        for thing in things:
            site = sites.get(thing.parentid or "")
            if site is None:
                default = default or await self._backend.things.default_site(self.app)
                site = default
            found[thing.id] = site
        return found

    async def default_site_id(self) -> str | None:
        """The app's default site, if there is one yet."""
        site = await self._backend.objects.find(Key("site", "default", self.app))
        return None if site is None else site.id

    async def things(self, site: str | None) -> list[Object]:
        """The things that appear under a site (all of the app's without one), by name, then id."""
        if site is None:
            things = await self.all("thing")
        elif site == await self.default_site_id():
            sites = {obj.id for obj in await self.all("site")} - {site}
            things = [thing for thing in await self.all("thing") if thing.parentid not in sites]
        else:
            await self.one("site", site)
            things = await self.all("thing", site)
        return sorted(things, key=device_order)

    async def device(self, id: str) -> Device:
        """One device. Raises NotFound."""
        thing = await self.one("thing", id)
        return device_view(thing, (await self.sites_of([thing]))[id])

    async def devices(self, things: Sequence[Object]) -> list[Device]:
        """Things as devices, in order."""
        sites = await self.sites_of(things)
        return [device_view(thing, sites[thing.id]) for thing in things]

    # --- sensors

    async def sensors(self, device: str | None, *, things: Sequence[Object] | None = None) -> list[Sensor]:
        """The sensors of a device, of `things`, or of the whole app, in creation order; only those once numeric."""
        if things is not None:
            owners = {thing.id: thing for thing in things}
            shadows = await self._backend.things.shadows(self.app, list(owners))
            ids = [leaf.sensor for shadow in shadows.values() for leaf in shadow.leaves.values() if leaf.sensor]
            objects = sorted((await self._get("sensor", ids)).values(), key=lambda obj: obj.docid)
        else:
            objects = await self.all("sensor", device)
            owners = await self._get("thing", [obj.parentid for obj in objects if obj.parentid])
            shadows = await self._backend.things.shadows(self.app, list(owners))
        found: list[Sensor] = []
        for obj in objects:
            owner = owners.get(obj.parentid or "")
            view = None if owner is None else await self._sensor_view(obj, owner, shadows.get(owner.id))
            if view is not None:
                found.append(view)
        return found

    async def sensor(self, id: str) -> tuple[Sensor, Object]:
        """One sensor and its object. Raises NotFound, also for one that was never numeric."""
        obj = await self.one("sensor", id)
        thing = await self.one("thing", obj.parentid or "")
        shadows = await self._backend.things.shadows(self.app, [thing.id])
        view = await self._sensor_view(obj, thing, shadows.get(thing.id))
        if view is None:
            raise NotFound("Not Found")
        return view, obj

    async def _sensor_view(self, obj: Object, thing: Object, shadow: Shadow | None) -> Sensor | None:
        path, series = obj.custom.get("path"), obj.hidden.get("series")
        if not isinstance(path, str) or not isinstance(series, int):
            return None  # made at `/v1`: an object like any other (doors.md 6)
        leaf = None if shadow is None else shadow.leaves.get(path)
        newest = await self._newest(series, leaf if leaf is not None and leaf.series == series else None)
        if newest is None and obj.custom.get("dataType") not in ("float", "bool"):
            return None
        metric = text_of(obj.custom.get("metric")) or obj.name
        return Sensor(
            id=obj.id,
            metric=metric,
            unit=text_of(obj.custom.get("unit")),
            device=thing.id,
            device_name=thing.name,
            active=flag_of(obj.custom.get("active")),
            place=place_of(obj.custom.get("geoLocation")),
            value=None if newest is None else newest[1],
            updated=None if newest is None else newest[0],
        )

    async def _newest(self, series: int, leaf: Leaf | None) -> Row | None:
        """The newest number of a series; the shadow knows it unless the newest value is a text."""
        if leaf is None or not leaf.time:
            return None
        row = columns(leaf.value)
        if row is not None and row[0] is not None:
            return leaf.time, row[0]
        readings = self._backend.store.readings
        rows = numbers(await readings.window(series, None, None, limit=1, newest=True, numeric=True))
        return rows[0] if rows else None

    # --- metadata

    async def entries(self, target: str, kind: str) -> list[Entry]:
        """All metadata entries of an object, in creation order; none if there is no such object of this kind."""
        try:
            await self.one({"device": "thing"}.get(kind, kind), target)
        except NotFound:
            return []
        return [entry for entry in map(entry_view, await self.all("metadata", target)) if entry is not None]

    async def entry(self, id: str) -> Entry:
        """One metadata entry. Raises NotFound."""
        obj = await self.one("metadata", id)
        view = entry_view(obj)
        if view is None or not await self.sees([obj.parentid or ""]):
            raise NotFound("Not Found")
        return view


def entry_view(obj: Object) -> Entry | None:
    """A metadata object as an entry; None for an object of that type which another door made."""
    key, time = obj.custom.get("key"), obj.custom.get("time")
    if not isinstance(key, str) or not isinstance(time, int):
        return None
    return Entry(obj.id, key, text_of(obj.custom.get("value")), time, obj.docid)
