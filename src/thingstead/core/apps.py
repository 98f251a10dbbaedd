"""Deleting an app with all that it holds (objects.md 3). Making one is `core.tenants`' part."""

from thingstead.core.objects import Objects
from thingstead.core.search import Search
from thingstead.core.tenants import Tenants
from thingstead.model import ids
from thingstead.model.audit import trail_of
from thingstead.model.principals import Principal
from thingstead.ports.cache import Cache

_AT_ONCE = 200


async def delete_app(
    objects: Objects, tenants: Tenants, search: Search, cache: Cache, id: str, actor: Principal
) -> bool:
    """Delete the app with this full id, and all its objects; the root app stays. True if it was there."""
    identifier = ids.app_identifier(id)
    if identifier == tenants.root:
        return False
    stored = await objects.get_many(tenants.root, [id])
    if not stored or stored[0].type != "app":
        return False
    # Twice: what was written while the app could still be used goes as well.
    await _empty(objects, search, cache, identifier, actor)
    await objects.delete(tenants.root, id, actor)
    await _empty(objects, search, cache, identifier, actor)
    await _empty(objects, search, cache, trail_of(identifier), actor)
    return True


async def _empty(objects: Objects, search: Search, cache: Cache, app: str, actor: Principal) -> None:
    while found := await objects.list(app, limit=_AT_ONCE):
        await objects.delete_many(app, [obj.id for obj in found], actor)
    while loose := await search.all_unstored(app, _AT_ONCE):
        await objects.delete_many(app, loose, actor)
    await cache.clear(app)
