"""App-level resources: banner, health, options, the OpenAPI document, set-up, keys, me, types (objects.md 9;
identity.md 3.3, 6.4)."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from thingstead.core.backend import Backend
from thingstead.core.tenants import Keys, identifier_of
from thingstead.doors.objects import render
from thingstead.doors.objects.errors import plain
from thingstead.doors.objects.read import Call, grouped, parse_query, selected
from thingstead.doors.objects.render import NO_STORE, Answer
from thingstead.model import options, types
from thingstead.model.errors import Conflict, Forbidden, InvalidInput, Unauthenticated
from thingstead.model.ownership import stripped
from thingstead.model.query import ast
from thingstead.model.query.build import Find, Pager
from thingstead.model.types import PARA_LEVEL
from thingstead.model.values import Json, JsonObject, dump, parse_object

_INFO: Final = "Save the secret key! It is showed only once!"

_OPTION_TYPES: Final[Mapping[options.Format, bytes]] = {
    "json": render.JSON,
    "markdown": b"text/markdown;charset=UTF-8",
    "hocon": render.TEXT,
}


class Asked(msgspec.Struct, frozen=True):
    """A request that needs no credentials. `loopback`: the listener is bound to loopback."""

    raw_query: str
    loopback: bool


class Apps:
    """The handlers of app-level resources."""

    def __init__(self, backend: Backend, describe: Callable[[], bytes]) -> None:
        """`describe` gives the OpenAPI document."""
        self._describe = describe
        self._audit = backend.audit
        self._health = backend.health
        self._settings = backend.settings
        self._tenants = backend.tenants
        self._identity = backend.identity
        self._objects = backend.objects
        self._search = backend.search

    # --- for everybody

    async def banner(self, asked: Asked) -> Answer:
        """GET /v1, GET /v1/."""
        body: JsonObject = {"info": "thingstead: things, readings and objects, as Para's clients know them."}
        if self._settings.print_version:
            body["version"] = PARA_LEVEL
        return render.json(body)

    async def health(self, asked: Asked) -> Answer:
        """GET _health: what the last check found."""
        return render.json({"message": "healthy"}) if self._health.healthy else plain(500, "unhealthy")

    async def options(self, asked: Asked) -> Answer:
        """GET _config/options: the table of settings, never their values. Raises InvalidInput."""
        params = grouped(parse_query(asked.raw_query))
        format = _first(params, "format") or "json"
        if format not in _OPTION_TYPES:
            raise InvalidInput("format is json, markdown or hocon", field="format")
        by_category = (_first(params, "groupby") or "category") == "category"
        return Answer(200, options.shown(options.options(), format, grouped=by_category), _OPTION_TYPES[format])

    async def openapi(self, asked: Asked) -> Answer:
        """GET _openapi: the document of this door's routes."""
        return Answer(200, self._describe())

    async def setup(self, asked: Asked) -> Answer:
        """GET _setup: root's keys once, where doors.md 33 allows it."""
        keys = None
        if asked.loopback or self._settings.setup_enabled:
            keys = await self._tenants.show_root_keys()
        if keys is None:
            return render.json({"code": 200, "message": "All set!"}, headers=NO_STORE)
        self._audit.note("root_keys_shown", self._tenants.root, "")
        return _keys(keys)

    # --- for apps

    async def setup_app(self, call: Call) -> Answer:
        """GET _setup/{app}: root makes a child app."""
        if not call.principal.root:
            details = {"rule": "root app only", "actor": call.principal.id, "right": "make apps"}
            raise Forbidden("Only root app can create and initialize other apps.", details=details)
        identifier = identifier_of(call.segments[1])
        if not identifier:
            raise InvalidInput("an app's identifier needs ASCII letters or digits", field="app")
        params = call.params()
        shared: JsonObject = {
            "sharingTable": _first(params, "sharedTable") == "true",
            "sharingIndex": _first(params, "sharedIndex") == "true",
        }
        try:
            app, secret = await self._tenants.create(
                identifier, name=_first(params, "name"), creatorid=_first(params, "creatorid"), shared=shared
            )
        except Conflict:
            return render.json({"code": 200, "message": "All set!"}, headers=NO_STORE)
        self._audit.note("app_created", self._tenants.root, call.principal.id, resource=app.object.id)
        return _keys(Keys(app.object.id, secret))

    async def new_keys(self, call: Call) -> Answer:
        """POST _newkeys."""
        if call.principal.kind != "app":
            details = {"rule": "apps only", "actor": call.principal.id, "right": "new keys"}
            raise Unauthenticated("Not an app.", details=details)
        keys = await self._tenants.new_keys(call.app.identifier)
        self._audit.note("keys_changed", call.app.identifier, call.principal.id)
        return _keys(keys)

    async def me(self, call: Call) -> Answer:
        """GET _me: the app, or the thing, that asks; with credentials of another app if root's token asks for them."""
        names = selected(call.params())
        if call.principal.kind != "app":
            public = await self._objects.public(call.app.identifier, call.principal.id)
            if call.scope is not None:
                public = stripped(public)
            return Answer(200, render.shown(public, names))
        token = bearer_token(call)
        asked = await self._identity.credentials_asked(token) if token else None
        if asked is None:
            return Answer(200, render.shown(await self._objects.public(self._tenants.root, call.app.object.id), names))
        body = parse_object(await self._objects.public(self._tenants.root, asked.object.id))
        body["credentials"] = {"accessKey": asked.object.id, "secretKey": asked.secret}
        self._audit.note("credentials_shown", asked.identifier, call.principal.id)
        return render.json(body, headers=NO_STORE)

    async def types(self, call: Call) -> Answer:
        """GET _types: plural -> singular; with `count` singular -> number of indexed objects."""
        known: dict[str, Json] = {**types.LISTED, **call.app.datatypes}
        if "count" not in call.params():
            return Answer(200, dump(known))
        counts: dict[str, Json] = {}
        only = ast.ALL if call.scope is None else call.scope.only()
        for singular in (*types.LISTED.values(), *call.app.datatypes.values()):
            find = Find(type=singular, pager=Pager(limit=0), count=True)
            counts[singular] = (await self._search.find(call.app.identifier, find, only, name="getCount")).total
        return Answer(200, dump(counts))


def bearer_token(call: Call) -> str:
    """The token of a request, from its header, else (`_me` only) from the parameter `Authorization`; "" without one."""
    given = call.headers.get("authorization", "").strip() or _first(call.params(), "Authorization") or ""
    scheme, _, token = given.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _first(params: dict[str, list[str]], name: str) -> str | None:
    values = params.get(name)
    return values[0] if values and values[0].strip() else None


def _keys(keys: Keys) -> Answer:
    return render.json({"accessKey": keys.access_key, "secretKey": keys.secret_key, "info": _INFO}, headers=NO_STORE)
