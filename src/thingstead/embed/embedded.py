"""thingstead inside a program: its apps, its user-defined classes, its listeners and resources (objects.md 21).

Made by `server/embedding.open` for programs, and by the server for its plug-ins. All calls come from one event loop.
"""

import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from thingstead.core.backend import Backend
from thingstead.core.health import Health
from thingstead.core.kinds.declared import DeclaredKind
from thingstead.core.listeners import tell
from thingstead.core.mail import Mail
from thingstead.core.resources import Entry, Pattern
from thingstead.embed.app import App
from thingstead.embed.dao import Dao
from thingstead.embed.entities import Object, declared_of, type_of
from thingstead.embed.listeners import Listener, attach
from thingstead.embed.resources import Resource, entry_of
from thingstead.embed.search import Finder
from thingstead.model import ids
from thingstead.model.errors import InvalidInput, Unavailable
from thingstead.model.settings import Settings
from thingstead.ports.cache import Cache
from thingstead.ports.files import Files
from thingstead.ports.queue import Queue


class Credentials(NamedTuple):
    """An app's keys, to be shown once."""

    access_key: str
    secret_key: str


class Embedded:
    """See the module's docstring."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.url = ""  # of the main port, where a server runs as well
        self._classes: dict[str, type[Object]] = {}
        self._listeners: list[Listener] = []
        self._resources: dict[Pattern, Entry] = {}
        self.root = App(self, backend.tenants.root)

    # --- parts

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.backend.settings

    @property
    def dao(self) -> Dao:
        """The root app's objects; `app(...).dao` has those of another."""
        return self.root.dao

    @property
    def search(self) -> Finder:
        """The root app's searches; `app(...).search` has those of another."""
        return self.root.search

    @property
    def cache(self) -> Cache:
        """The object cache of all apps (ports.cache)."""
        return self.backend.cache

    @property
    def queue(self) -> Queue:
        """The queue that `para.q` names (ports.queue); deliveries to webhooks are in the store's own."""
        return self.backend.queue

    @property
    def files(self) -> Files:
        """The file store (ports.files)."""
        return self.backend.files

    @property
    def mail(self) -> Mail:
        """Letters of apps, with their own mail servers and templates."""
        return self.backend.mail

    @property
    def health(self) -> Health:
        """Which parts worked when they were looked at last."""
        return self.backend.health

    def is_healthy(self) -> bool:
        """What the last health check found (objects.md 14)."""
        return self.backend.health.healthy

    async def perform_health_check(self) -> bool:
        """Look at every part now; True if all work."""
        return await self.backend.health.check()

    # --- apps

    def app(self, name: str) -> App:
        """The app of an identifier or full id, whether it exists or not. Raises InvalidInput for what names none."""
        identifier = ids.app_identifier(name)
        if not identifier:
            raise InvalidInput("an app's identifier needs ASCII letters or digits", field="app")
        return App(self, identifier)

    async def new_app(self, name: str, *, title: str = "", creatorid: str | None = None) -> tuple[App, Credentials]:
        """Make an app. Raises Conflict if it exists, InvalidInput for what cannot be an identifier."""
        app = self.app(name)
        _, secret = await self.backend.tenants.create(app.identifier, name=title or None, creatorid=creatorid)
        return app, Credentials(app.id, secret)

    async def delete_app(self, name: str) -> bool:
        """Delete an app with all it holds; the root app stays. True if it was there."""
        return await self.root.dao.delete(self.app(name).id)

    # --- classes

    def register(self, *classes: type[Object]) -> None:
        """Know user-defined classes by their types. Raises InvalidInput for a type that is built in or another's."""
        for cls in classes:
            name = type_of(cls)
            known = self._classes.get(name, cls)
            if known is not cls:
                raise InvalidInput(f"'{name}' is the type of {known.__module__}.{known.__name__} already", field="type")
            self.backend.objects.declare(name, DeclaredKind(declared_of(cls), self.backend.clock))
            self._classes[name] = cls

    def register_package(self, name: str) -> None:
        """Know all user-defined classes of a module, or of a package and all below it.

        Raises Unavailable, naming the module, if it cannot be imported; InvalidInput as `register`.
        """
        found: dict[type[Object], None] = {}
        modules = [name]
        while modules:
            module = modules.pop()
            try:
                held = import_module(module)
            except Exception as error:
                raise Unavailable(f"the package {module} of classes cannot be imported: {error!r}") from error
            for value in vars(held).values():
                if inspect.isclass(value) and issubclass(value, Object) and value.__module__ == module:
                    found[value] = None
            modules += [f"{module}.{below.name}" for below in pkgutil.iter_modules(getattr(held, "__path__", ()))]
        self.register(*found)

    def class_of(self, type_name: str) -> type[Object]:
        """The registered class of a type, else `Object`."""
        return self._classes.get(type_name, Object)

    # --- listeners and resources

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have a listener called from now on; its `init` and `destroy` are not. What is returned ends that."""
        return attach(listener, self.backend)

    def mount(self, *resources: Resource) -> None:
        """Have resources answered by a server that starts afterwards. Raises InvalidInput, naming the class."""
        for resource in resources:
            pattern, entry = entry_of(resource, self)
            if pattern in self._resources:
                raise InvalidInput(f"{type(resource).__name__}: the path {resource.path!r} is taken", field="path")
            self._resources[pattern] = entry

    @property
    def resources(self) -> Mapping[Pattern, Entry]:
        """What is mounted, as the objects door takes it."""
        return self._resources

    # --- beginning and end; who opened this calls them

    async def begin(self, listeners: Iterable[Listener]) -> None:
        """Call `init` of each listener, then have it called. What `init` raises ends the start."""
        for listener in listeners:
            waiting: Any = listener.init(self)
            if waiting is not None:
                await waiting
            self._listeners.append(listener)
            attach(listener, self.backend)

    async def end(self) -> None:
        """Call `destroy` of each listener, the last first; what it raises is logged."""
        while self._listeners:
            await tell([self._listeners.pop().destroy], self)
