"""Custom resources (objects.md 21): paths below `/v1/` that a plug-in answers, behind the same authentication.

    class Greeting(thingstead.Resource):
        path = "greetings/{name}"

        async def get(self, request: thingstead.Request) -> thingstead.Reply:
            return {"hello": request.path["name"]}

Handlers are `get`, `post`, `put`, `patch`, `delete`, coroutine functions; methods without one are answered 405. They
return a JSON value (200), a `ResourceAnswer`, or raise an error of thingstead. Apps may call them; things may not.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import msgspec

from thingstead.core.resources import Entry, Pattern, ResourceAnswer, ResourceRequest
from thingstead.embed.app import App
from thingstead.model import types
from thingstead.model.errors import InvalidInput
from thingstead.model.principals import Principal
from thingstead.model.values import Json, dump, parse

if TYPE_CHECKING:
    from thingstead.embed.embedded import Embedded

Reply: TypeAlias = "ResourceAnswer | Json"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Request(msgspec.Struct, frozen=True):
    """One request. `path` holds the path's parameters, decoded; of a repeated query parameter `query` has the first."""

    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    queries: Mapping[str, list[str]]
    headers: Mapping[str, str]  # names in lower case
    body: bytes  # empty for GET and DELETE
    principal: Principal  # who asks
    app: App  # the app they belong to

    def json(self) -> Json:
        """The body as JSON. Raises MalformedBody."""
        return parse(self.body)


Handler: TypeAlias = Callable[[Request], Awaitable[Reply]]


class Resource:
    """See the module's docstring. `path` is relative to `/v1/`; each segment is literal or `{parameter}`."""

    path: ClassVar[str] = ""


def entry_of(resource: Resource, para: "Embedded") -> tuple[Pattern, Entry]:
    """A resource as the objects door mounts it. Raises InvalidInput, naming the class, for a path that cannot be."""
    name = f"{type(resource).__module__}.{type(resource).__qualname__}"
    segments = resource.path.strip("/").split("/")
    names = [match[1] if (match := _PARAMETER.fullmatch(part)) else None for part in segments]
    literal = [part for part, parameter in zip(segments, names, strict=True) if parameter is None]
    if not segments[0] or names[0] is not None or any(not part or set(part) & set("{}\\?#%") for part in literal):
        raise InvalidInput(
            f"{name}: the path {resource.path!r} needs a literal first segment, then literal ones or {{name}}",
            field="path",
        )
    if segments[0] == "v1" or (segments[0] in types.RESERVED and len(segments) <= 2):
        raise InvalidInput(f"{name}: the path {resource.path!r} is taken", field="path")
    handlers: dict[str, Handler] = {
        method: handler for method in METHODS if (handler := getattr(resource, method.lower(), None)) is not None
    }
    if not handlers:
        raise InvalidInput(f"{name}: it has none of {', '.join(map(str.lower, METHODS))}", field="path")

    async def answer(request: ResourceRequest) -> ResourceAnswer:
        queries: dict[str, list[str]] = {}
        for key, value in request.query:
            queries.setdefault(key, []).append(value)
        with para.backend.metrics.time(request.app, name, f"handle{request.method.title()}"):
            reply = await handlers[request.method](
                Request(
                    method=request.method,
                    path={key: part for key, part in zip(names, request.segments, strict=True) if key is not None},
                    query={key: values[0] for key, values in queries.items()},
                    queries=queries,
                    headers=request.headers,
                    body=b"" if request.method in ("GET", "DELETE") else request.body,
                    principal=request.principal,
                    app=para.app(request.app),
                )
            )
        return reply if isinstance(reply, ResourceAnswer) else ResourceAnswer(200, dump(reply))

    pattern = tuple(None if parameter is not None else part for part, parameter in zip(segments, names, strict=True))
    return pattern, Entry(frozenset(handlers), answer, own=frozenset())
