"""Door to `/v1`: objects, batches, search, apps, as Para's clients know them (objects.md 1-6, 9; identity.md 2-6)."""

from thingstead.core.backend import Backend
from thingstead.core.resources import Resources
from thingstead.doors.objects.routes import ObjectsDoor
from thingstead.transports.http import AsgiApp


def app(backend: Backend, *resources: Resources) -> AsgiApp:
    """The ASGI callable for `/v1` and all below it; it sees the full raw path. `resources` are those of other doors and
    of plug-ins. Raises InvalidInput if a path is taken.
    """
    return ObjectsDoor(backend, resources)
