"""The way of a request to `/v1`: limits, who is asking, which handler (identity.md 2, 5, 11, 12; doors.md 29).

A plain ASGI callable, because it routes on the raw path and is the hot one. Promises: every failure has the error
shape; what is not an error of ours is logged and becomes a 500; nothing is written before the caller is known.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from thingstead.core.backend import Backend
from thingstead.core.identity import SignedRequest
from thingstead.core.resources import Entry, Pattern, ResourceRequest, Resources
from thingstead.doors.gate import Gate
from thingstead.doors.objects import render, signin
from thingstead.doors.objects.apps import Apps, Asked
from thingstead.doors.objects.archives import IMPORT, Archived
from thingstead.doors.objects.confined import check_path
from thingstead.doors.objects.crud import object_id
from thingstead.doors.objects.errors import error_answer, plain
from thingstead.doors.objects.permissions import explains
from thingstead.doors.objects.read import MAX_URI, Call, grouped, parse_query, raw_text, segments
from thingstead.doors.objects.render import Answer
from thingstead.doors.objects.table import GROUPS, OPEN, ROUTES
from thingstead.model import ant, rights, types
from thingstead.model.errors import (
    Forbidden,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    ThingsteadError,
    TooLarge,
    Unauthenticated,
)
from thingstead.model.principals import Principal
from thingstead.model.rights import Right
from thingstead.transports.http import Disconnected, Receive, Scope, Send, TrustedProxies, bound_to_loopback, read_body

Handler = Callable[[Call], Awaitable[Answer]]
Methods = Mapping[str, Handler]

log = logging.getLogger(__name__)


class ObjectsDoor:
    """The ASGI callable."""

    def __init__(self, backend: Backend, resources: Sequence[Resources]) -> None:
        self._backend = backend
        self._identity = backend.identity
        self._access = backend.access
        self._objects = backend.objects
        self._tenants = backend.tenants
        self._cors = backend.settings.cors_enabled
        self._limit = backend.settings.max_entity_size
        self._proxies = TrustedProxies(backend.settings.trusted_proxies)
        self._metrics = backend.metrics
        self._gate = Gate(backend, "objects")
        self._archived = Archived(backend)
        made = [Apps(backend, self._described), self._archived, *(group(backend) for group in GROUPS)]
        self._named: Final[dict[tuple[str, int], dict[str, Handler]]] = {}
        self._typed: Final[dict[tuple[int, int, str], dict[str, Handler]]] = {}  # count, position, literal
        for route in ROUTES:
            first, *rest = segments = route.segments
            if first.startswith("{"):
                position, literal = next(((n, part) for n, part in enumerate(rest, 1) if part[0] != "{"), (0, ""))
                methods = self._typed.setdefault((len(segments), position, literal), {})
            else:
                methods = self._named.setdefault((first, len(segments)), {})
            methods[route.method] = self._timed(route.timed, _bound(route.handler, made))
        # Only GET searches below a type: `search` is an id like others for all other methods.
        self._typed[2, 1, "search"] |= self._typed[2, 0, ""] | self._typed[2, 1, "search"]
        self._open: Final = {tuple(each.path.split("/")[2:]): (each, _bound(each.handler, made)) for each in OPEN}
        ignored = backend.settings.security_ignored
        self._ignored: Final = [ant.checked(pattern, "para.security.ignored") for pattern in ignored]
        self._banner: Final = _bound(Apps.banner, made)
        self._given = resources
        self._document: bytes | None = None
        self._resources = _by_type(resources)
        for patterns in self._resources.values():
            for pattern, _ in patterns:
                if (pattern[0], len(pattern)) in self._named:
                    raise _taken(pattern)

    def _described(self) -> bytes:
        """The OpenAPI document, made when it is first asked for."""
        if self._document is None:
            from thingstead.doors.objects import openapi  # few ask, and it takes a while

            self._document = openapi.document(self._given)
        return self._document

    def _timed(self, name: str, handler: Handler) -> Handler:
        """The handler, timed as `RestUtils.<name>` (objects.md 18); as it is without a name."""
        metrics = self._metrics
        if not metrics.enabled or not name:
            return handler
        full = f"RestUtils.{name}"

        async def timed(call: Call) -> Answer:
            start = metrics.now()
            try:
                return await handler(call)
            finally:
                metrics.record(call.app.identifier, full, start)

        return timed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            return
        sent: list[tuple[bytes, bytes]] = scope["headers"]  # of equal names the first counts
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(sent)}
        cors = self._cors and "origin" in headers
        first = b""
        try:
            if cors and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                answer, cors = render.preflight(headers.get("access-control-request-headers", "")), False
            else:
                self._gate.enter(scope)
                answer = await self._answer(scope, receive, headers)
            if answer.stream is not None and scope["method"] != "HEAD":
                first = await anext(answer.stream)  # what fails before anything is sent is an error like any other
        except Disconnected:
            return
        except ThingsteadError as error:
            answer = error_answer(self._gate.refused(scope, error))
            if scope["path"] == signin.PATH:
                answer.headers = (*answer.headers, *render.NO_STORE)
            if error.details:
                log.info("refused %s %s: %s %s", scope["method"], scope["raw_path"], error.code, dict(error.details))
        except Exception:
            log.exception("failed %s %s", scope["method"], scope["raw_path"])
            answer = plain(500, "")
        fields = answer.fields(cors=cors)
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        if answer.stream is not None:
            if scope["method"] == "HEAD":
                await answer.stream.aclose()
                await send({"type": "http.response.body", "body": b""})
            else:
                await _send_stream(send, receive, first, answer.stream)
            return
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive, headers: Mapping[str, str]) -> Answer:
        method: str = scope["method"]
        raw_path: bytes = scope["raw_path"]
        raw_query: bytes = scope["query_string"]
        if len(raw_path) + len(raw_query) > MAX_URI:
            raise InvalidInput(f"the URI is longer than {MAX_URI} bytes", field="path")
        path = raw_text(raw_path, "path")
        query = raw_text(raw_query, "query")
        body = b""
        archive = method == "PUT" and path.count("/") == 2 and segments(path) == IMPORT  # its handler reads the body
        if not archive and (headers.get("content-length", "0") != "0" or "transfer-encoding" in headers):
            try:
                body = await read_body(receive, self._limit)
            except TooLarge as error:
                if path == "/v1/_emails":  # the one resource whose contract says 413
                    self._gate.refused(scope, error)
                    return plain(413, error.message)
                raise
        if path == signin.PATH:
            return await self._sign_in(scope, headers, query, body)
        if not path.startswith("/v1/") and path != "/v1":
            raise NotFound
        parts = segments(path)
        if parts in self._open and (parts or path == "/v1") and self._is_public(path, parts, listed=True):
            return await self._opened(parts, method, Asked(query, bound_to_loopback(scope)))
        forwarded = headers.get("x-forwarded-host", "")
        if forwarded and not self._proxies.trust(scope):
            forwarded = ""
        request = SignedRequest(method, path, query, headers, body, forwarded)
        loopback = bound_to_loopback(scope)

        async def known(request: SignedRequest) -> Call:
            call = await self._call(request, parts, loopback)
            self._gate.known(scope, call.principal)
            return call

        if archive:
            return await self._archived.load(receive, request, known)
        call = await known(request)
        try:
            return await self._dispatch(call)
        except ThingsteadError as error:
            error.asker = call.principal.kind
            raise

    async def _opened(self, parts: tuple[str, ...], method: str, asked: Asked) -> Answer:
        open, handler = self._open[parts]
        if method != "GET" and not (open.head and method == "HEAD"):
            raise _not_allowed({"GET"})
        return await handler(asked)

    async def _sign_in(self, scope: Scope, headers: Mapping[str, str], query: str, body: bytes) -> Answer:
        """`/jwt_auth`; what fails is counted by address (identity.md 13)."""
        self._gate.sign_in(scope)
        try:
            address = self._proxies.client(scope)
            answer = await signin.sign_in(self._backend, scope["method"], headers, query, body, address)
        except ThingsteadError:
            self._gate.sign_in_failed(scope)
            raise
        if answer.status >= 400:
            self._gate.sign_in_failed(scope)
        return answer

    def _is_public(self, path: str, parts: tuple[str, ...], *, listed: bool) -> bool:
        """Whether a path needs no login: by `para.security.ignored` where it is given, else those that are `listed`."""
        if not self._ignored:
            return listed
        # a segment with a slash in it is one segment to routing, and two to a pattern
        return not any("/" in part for part in parts) and ant.matches(self._ignored, "/".join(("/v1", *parts)))

    async def _call(self, request: SignedRequest, parts: tuple[str, ...], loopback: bool) -> Call:
        """The request of somebody who may make it."""
        method, path, query = request.method, request.raw_path, request.raw_query
        public = bool(self._ignored) and self._is_public(path, parts, listed=False)
        principal = await self._authenticate(request, parts, public=public)
        try:
            app = self._tenants.cached(principal.app) or await self._tenants.get(principal.app)
            self._identity.check_method(app, method)
            call = Call(method, path, parts, query, request.headers, request.body, principal, app, loopback)
            if principal.kind != "app":
                await self._admit(call, public=public)
        except ThingsteadError as error:
            error.asker = principal.kind
            error.details = {"app": principal.app, **error.details}
            raise
        return call

    async def _admit(self, call: Call, *, public: bool) -> None:
        """Refuse what is not permitted to somebody who is no app (identity.md 2.8, 11). Raises Forbidden."""
        parts, principal = call.segments, call.principal
        method = "GET" if call.method == "HEAD" else call.method
        if principal.kind == "thing":
            self._check_thing(call, self._resource(call), method)
            return
        if (method == "POST" and parts == ("_newkeys",)) or (len(parts) == 2 and parts[0] == "_setup"):
            return  # whose handlers take only apps, and say so in their own words
        segments = rights.canonical(parts, call.app.identifier, call.app.datatypes)
        childrenonly = len(parts) > 3 and "childrenonly" in call.params()
        right = Right(method, segments, childrenonly, method == "GET" and explains(parts, call.raw_query))
        if not (public and rights.standing(right, call.app.datatypes) == "granted"):
            await self._access.require(principal, call.app, right, call.path)
        for type_name in _named_types(call):
            if self._access.hides(principal, call.app, method, type_name):
                await self._access.require(principal, call.app, Right(method, (type_name,)), call.path)
        call.scope = call.app.scope(principal)
        if call.scope is not None:
            await check_path(call, call.scope, self._objects, method)

    # --- who is asking

    async def _authenticate(self, request: SignedRequest, parts: tuple[str, ...], *, public: bool) -> Principal:
        """The principal by the `Authorization` header, as identity.md 2.6 classifies it.

        On a `public` path nobody needs credentials: the tenant is the app that is named, else the default one.
        """
        given = request.headers.get("authorization", "").strip()
        if given.startswith("AWS4-HMAC-SHA256"):
            return await self._identity.signed(request)
        about_me = parts == ("_me",)
        params: dict[str, list[str]] = {}
        if not given or given.startswith("Anonymous"):
            params = grouped(parse_query(request.raw_query))
        if not given and about_me:
            given = next(iter(params.get("Authorization", ())), "").strip()
            if given[:7].lower() != "bearer ":  # nothing else is taken from a URL (identity.md 2.6)
                given = ""
        scheme, _, rest = given.partition(" ")
        match scheme.lower():
            case "bearer":
                return await self._identity.bearer(rest.strip(), about_me=about_me)
            case "basic":
                return await self._identity.basic(given)
            case "" | "anonymous" if not about_me:
                key = rest.strip() or next(iter(params.get("accessKey", ())), "").strip()
                guest = await self._access.guest(key) if key else None
                if guest is not None:
                    return guest
                if public and not key:
                    return Principal("guest", self._tenants.default)
                if key:
                    raise Forbidden(
                        "You don't have permission to access this resource. "
                        f"[user: [GUEST], resource: {request.method} {request.raw_path}]",
                        details={"rule": "guests", "actor": f"guest of {key}", "right": request.method},
                    )
            case _:
                pass
        raise Unauthenticated(
            f"You don't have permission to access this resource. [{request.method} {request.raw_path}]",
            details={"rule": "credentials needed", "actor": "nobody", "right": request.method},
        )

    # --- which handler

    async def _dispatch(self, call: Call) -> Answer:
        parts = call.segments
        method = "GET" if call.method == "HEAD" else call.method
        if not parts:
            if method != "GET":
                raise _not_allowed({"GET"})
            return await self._banner(Asked(call.raw_query, call.loopback))
        if self._ignored and parts in self._open:
            return await self._opened(parts, call.method, Asked(call.raw_query, call.loopback))
        entry = self._resource(call)
        if entry is not None:
            return await self._custom(call, entry, method)
        methods = self._methods(parts)
        handler = methods.get(method)
        if handler is None:
            raise _not_allowed(methods.keys())
        return await handler(call)

    def _methods(self, parts: tuple[str, ...]) -> Methods:
        first, count = parts[0], len(parts)
        found = self._named.get((first, count))
        if found is None and not (first.startswith("_") or first in ("search", "utils")):
            for position in range(1, min(count, 3)):
                found = found or self._typed.get((count, position, parts[position]))
            found = found or self._typed.get((count, 0, ""))
        if found is None:
            raise NotFound
        return found

    def _resource(self, call: Call) -> Entry | None:
        for pattern, entry in self._resources.get(call.segments[0], ()) if call.segments else ():
            if len(pattern) == len(call.segments) and all(
                want is None or want == part for want, part in zip(pattern[1:], call.segments[1:], strict=True)
            ):
                return entry
        return None

    async def _custom(self, call: Call, entry: Entry, method: str) -> Answer:
        if method not in entry.methods:
            raise _not_allowed(entry.methods)
        app = call.app.identifier
        type_name = types.resolve(call.segments[0], call.app.datatypes)
        parts = list(call.segments)
        if len(parts) > 1:
            parts[1] = object_id(type_name, parts[1], app)
        request = ResourceRequest(method, tuple(parts), call.query(), call.headers, call.body, call.principal, app)
        resource = entry.resource
        with self._metrics.time(app, resource.__module__, resource.__qualname__, f"handle{method.capitalize()}"):
            answer = await resource(request)
        headers = tuple((name.lower().encode(), value.encode()) for name, value in answer.headers)
        content_type = next((value for name, value in headers if name == b"content-type"), render.JSON)
        return Answer(answer.status, answer.body, content_type, tuple(h for h in headers if h[0] != b"content-type"))

    def _check_thing(self, call: Call, entry: Entry | None, method: str) -> None:
        """A thing reads itself, and does to itself what a resource lets it do (doors.md 29). Raises Forbidden."""
        parts, app = call.segments, call.app.identifier
        if parts in ((), ("_me",)):
            return
        itself = (
            len(parts) > 1
            and types.resolve(parts[0], call.app.datatypes) == "thing"
            and parts[1].removeprefix(f"{app}:") == call.principal.id
        )
        allowed = entry.own if entry is not None else frozenset({"GET"}) if len(parts) == 2 else frozenset[str]()
        if not (itself and method in allowed):
            raise Forbidden(
                "You don't have permission to access this resource. "
                f"[user: {call.principal.id}, resource: {call.method} {call.path}]",
                details={"rule": "a thing reads and reports itself", "actor": call.principal.id, "right": method},
            )


def _named_types(call: Call) -> list[str]:
    """The types that a search, or a question about links, names beside its path."""
    parts = call.segments
    links = len(parts) > 2 and parts[2] == "links"
    if not links and parts[:1] != ("search",):
        return []
    named = [parts[3]] if links and len(parts) > 3 else call.params().get("type", [])
    return [types.resolve(name, call.app.datatypes) for name in named]


def _bound(
    handler: Callable[[Any, Any], Awaitable[Answer]], made: Iterable[object]
) -> Callable[[Any], Awaitable[Answer]]:
    """The handler as a method of the one of `made` whose class has it."""
    name = handler.__name__
    return next(getattr(each, name) for each in made if getattr(type(each), name, None) is handler)


async def _send_stream(send: Send, receive: Receive, first: bytes, stream: AsyncGenerator[bytes]) -> None:
    """Send pieces as they come, and make no more of them once the client has gone; what fails breaks the answer off."""
    gone = asyncio.get_running_loop().create_task(_gone(receive))
    try:
        piece: bytes | None = first
        while piece is not None and not gone.done():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await anext(stream, None)
        if piece is None:
            await send({"type": "http.response.body", "body": b""})
    except ThingsteadError as error:
        log.error("an answer was broken off: %s", error.message)
    except Exception:
        log.exception("an answer was broken off")
    finally:
        gone.cancel()
        await stream.aclose()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _not_allowed(methods: Iterable[str]) -> MethodNotAllowed:
    allowed = ", ".join(sorted(methods))
    return MethodNotAllowed("Method Not Allowed", details={"allow": allowed})


def _by_type(resources: Sequence[Resources]) -> dict[str, list[tuple[Pattern, Entry]]]:
    """Resources by their first segment, in both spellings of a type; literal segments go before parameters."""
    found: dict[str, dict[Pattern, Entry]] = {}
    for pattern, entry in (pair for each in resources for pair in each.items()):
        first = pattern[0] or ""
        singular = types.resolve(first, {})
        for spelling in {first, singular, types.plural(singular)}:
            below = found.setdefault(spelling, {})
            if (spelling, *pattern[1:]) in below:
                raise _taken(pattern)
            below[(spelling, *pattern[1:])] = entry
    return {
        first: sorted(below.items(), key=lambda pair: [part is None for part in pair[0]])
        for first, below in found.items()
    }


def _taken(pattern: Pattern) -> InvalidInput:
    path = "/".join("{}" if part is None else part for part in pattern)
    return InvalidInput(f"a resource cannot have the path /v1/{path}: it is taken", field="path")
