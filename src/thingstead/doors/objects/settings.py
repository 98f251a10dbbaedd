"""`_settings`: what an app keeps about itself, its credentials elsewhere among it (objects.md 9; identity.md 3.5).

Only the app, its administrators and users who were granted it by name get here; no answer may be kept by a cache.
"""

from thingstead.core.backend import Backend
from thingstead.doors.objects import render
from thingstead.doors.objects.read import Call, object_body
from thingstead.doors.objects.render import NO_STORE, Answer
from thingstead.model.errors import InvalidInput


class AppSettings:
    """The handlers of an app's settings."""

    def __init__(self, backend: Backend) -> None:
        self._tenants = backend.tenants
        self._audit = backend.audit

    async def read(self, call: Call) -> Answer:
        """GET _settings[/{key}]: all, or the value of one; a blank key is none."""
        settings = call.app.settings
        key = call.segments[1] if len(call.segments) > 1 else ""
        if not key.strip():
            return render.json(dict(settings), headers=NO_STORE)
        return render.json({"value": settings[key]} if key in settings else {}, headers=NO_STORE)

    async def put(self, call: Call) -> Answer:
        """PUT _settings/{key} with `{"value": ...}`: any JSON type is kept, null changes nothing."""
        body = object_body(call.body)
        if "value" not in body:
            raise InvalidInput("'value' is missing", field="value")
        await self._tenants.put_setting(call.app.identifier, call.segments[1], body["value"])
        self._audit.note("setting_changed", call.app.identifier, call.principal.id, resource=call.segments[1])
        return Answer(headers=NO_STORE)

    async def replace(self, call: Call) -> Answer:
        """PUT _settings: the body becomes the settings; `{}` clears them."""
        await self._tenants.put_settings(call.app.identifier, object_body(call.body))
        self._audit.note("settings_replaced", call.app.identifier, call.principal.id)
        return Answer(headers=NO_STORE)

    async def delete(self, call: Call) -> Answer:
        """DELETE _settings/{key}: 200 also when it was not there."""
        await self._tenants.delete_setting(call.app.identifier, call.segments[1])
        self._audit.note("setting_removed", call.app.identifier, call.principal.id, resource=call.segments[1])
        return Answer(headers=NO_STORE)
