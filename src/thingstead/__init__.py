"""thingstead: an IoT backend in one process. One device is seen through every API it speaks.

As a library (docs/how-to/library.md): `thingstead.open` and what stands in `__all__`. Each name is imported when it is
first used, so that `import thingstead` costs next to nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thingstead.core.listeners import IoCall
    from thingstead.core.resources import ResourceAnswer
    from thingstead.embed.app import App
    from thingstead.embed.embedded import Credentials, Embedded
    from thingstead.embed.entities import Object, locked, stored
    from thingstead.embed.listeners import Listener
    from thingstead.embed.pager import Pager
    from thingstead.embed.resources import Reply, Request, Resource
    from thingstead.model.errors import ThingsteadError
    from thingstead.ports.engine import Engine, Place
    from thingstead.server.embedding import open, open_blocking
    from thingstead.server.running import Addresses

__version__ = "0.1.0"

__all__ = [
    "Addresses",
    "App",
    "Credentials",
    "Embedded",
    "Engine",
    "IoCall",
    "Listener",
    "Object",
    "Pager",
    "Place",
    "Reply",
    "Request",
    "Resource",
    "ResourceAnswer",
    "ThingsteadError",
    "__version__",
    "locked",
    "open",
    "open_blocking",
    "stored",
]

_HOMES = {
    "Addresses": "server.running",
    "App": "embed.app",
    "Credentials": "embed.embedded",
    "Embedded": "embed.embedded",
    "Engine": "ports.engine",
    "IoCall": "core.listeners",
    "Listener": "embed.listeners",
    "Object": "embed.entities",
    "Pager": "embed.pager",
    "Place": "ports.engine",
    "Reply": "embed.resources",
    "Request": "embed.resources",
    "Resource": "embed.resources",
    "ResourceAnswer": "core.resources",
    "ThingsteadError": "model.errors",
    "locked": "embed.entities",
    "open": "server.embedding",
    "open_blocking": "server.embedding",
    "stored": "embed.entities",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'thingstead' has no attribute '{name}'")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"thingstead.{home}"), name)
    return value
