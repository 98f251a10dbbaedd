"""Listeners (objects.md 21): subclass `Listener`, override what you want to hear, hand an instance in.

Every method may be a plain function or a coroutine function. Only methods that are overridden are called, so that
nothing costs anything where nobody listens. What a listener raises is logged and changes nothing, but for an error of
thingstead raised in `before`, which refuses the call, and any error in `init`, which ends the start.
"""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from thingstead.core.backend import Backend
from thingstead.core.listeners import IoCall
from thingstead.core.tenants import App as Tenant
from thingstead.model.query.build import Plan
from thingstead.model.values import Json

if TYPE_CHECKING:
    from thingstead.embed.embedded import Embedded

T = TypeVar("T")


class Listener:
    """Hears of nothing; see the module's docstring."""

    def init(self, para: "Embedded") -> Awaitable[None] | None:
        """All parts work; nothing is served yet."""

    def destroy(self, para: "Embedded") -> Awaitable[None] | None:
        """Nothing is served any more, all parts still work: let go of what the listener holds."""

    def before(self, call: IoCall) -> Awaitable[None] | None:
        """A call that reads or writes objects, from whichever door, is about to be made."""

    def after(self, call: IoCall, result: Any) -> Awaitable[None] | None:
        """It was made; what it wrote is durable."""

    def searching(self, app: str, plan: Plan) -> Awaitable[None] | None:
        """A search is about to be carried out."""

    def app_created(self, app: str) -> Awaitable[None] | None:
        """A new app; not called for the root app."""

    def app_deleted(self, app: str) -> Awaitable[None] | None:
        """An app is gone."""

    def setting_added(self, app: str, key: str, value: Json) -> Awaitable[None] | None:
        """A setting of an app was set; replacing all of them tells one at a time."""

    def setting_removed(self, app: str, key: str) -> Awaitable[None] | None:
        """A setting of an app is gone; clearing all of them tells one at a time."""


def attach(listener: Listener, backend: Backend) -> Callable[[], None]:
    """Have the overridden methods called; what is returned ends that, and may be called twice."""
    held = ExitStack()

    def add(hooks: list[T], hook: T, *names: str) -> None:
        if any(getattr(type(listener), name) is not getattr(Listener, name) for name in names):
            hooks.append(hook)
            held.callback(hooks.remove, hook)

    def created(app: Tenant) -> Awaitable[None] | None:
        return listener.app_created(app.identifier)

    def added(app: Tenant, key: str, value: Json) -> Awaitable[None] | None:
        return listener.setting_added(app.identifier, key, value)

    def removed(app: Tenant, key: str) -> Awaitable[None] | None:
        return listener.setting_removed(app.identifier, key)

    tenants = backend.tenants
    add(backend.objects.io, listener, "before", "after")
    add(backend.search.on_search, listener.searching, "searching")
    add(tenants.on_app_created, created, "app_created")
    add(tenants.on_app_deleted, listener.app_deleted, "app_deleted")
    add(tenants.on_setting_added, added, "setting_added")
    add(tenants.on_setting_removed, removed, "setting_removed")
    return held.close
