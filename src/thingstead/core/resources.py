"""Custom resources: paths under `/v1` that another door adds, behind the same authentication (objects.md 21).

The objects door routes, authenticates and checks the body limit; the resource gets what is left and answers. It raises
errors of `model.errors`, which the objects door shows in its shape. It does no authentication of its own.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from thingstead.model.principals import Principal


class ResourceRequest(msgspec.Struct, frozen=True):
    """One request to a custom resource.

    `segments` are all path segments after `/v1/`, each percent-decoded once; `query` keeps order and repeats; `headers`
    have lower-case names; `body` is within the limit of request bodies; `app` is the bare identifier of the tenant.
    """

    method: str
    segments: tuple[str, ...]
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes
    principal: Principal
    app: str


class ResourceAnswer(msgspec.Struct, frozen=True):
    """What a custom resource answers; without a content type of its own a body is sent as JSON."""

    status: int = 200
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()


Resource = Callable[[ResourceRequest], Awaitable[ResourceAnswer]]

Pattern = tuple[str | None, ...]
"""Segments after `/v1/`; None matches any one: `("things", None, "shadow")`. A type matches in both spellings."""


class Entry(msgspec.Struct, frozen=True):
    """A custom resource and the methods it knows; other methods are answered 405.

    `own` are those that a thing may call on itself (doors.md 29); everything else takes an app. `summary` and `query`,
    parameter -> what it is, are for the OpenAPI document.
    """

    methods: frozenset[str]
    resource: Resource
    own: frozenset[str] = frozenset({"GET"})
    summary: str = ""
    query: Mapping[str, str] = {}


Resources = Mapping[Pattern, Entry]
