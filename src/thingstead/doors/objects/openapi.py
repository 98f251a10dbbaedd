"""The OpenAPI 3.1 document of `/v1`, made from the table that routes it and the custom resources beside it.

Promises: an operation for each row and no other; every error has one shape. Objects have members of their own, so their
schema is open. Not loaded before somebody asks for the document.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, cast

import msgspec
from msgspec import UNSET, UnsetType

from thingstead.core.resources import Pattern, Resources
from thingstead.doors.objects.signin import PATH
from thingstead.doors.objects.table import OPEN, PARAMETERS, ROUTES, SIGN_IN, Shape
from thingstead.model.ids import MAX_ID
from thingstead.model.types import PARA_LEVEL
from thingstead.model.values import Json, JsonObject, dump, is_array

_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_BARE: Final[tuple[str, ...]] = ("text/plain", "text/html", "text/markdown")


class Error(msgspec.Struct):
    """What went wrong; `code` is the status. A shadow's error has a timestamp as well."""

    code: int
    message: str


class Banner(msgspec.Struct, omit_defaults=True):
    """Who answers."""

    info: str
    version: str = PARA_LEVEL


class Message(msgspec.Struct, omit_defaults=True):
    """A text for people."""

    message: str
    code: int = 200


class Keys(msgspec.Struct):
    """An app's keys; the secret is shown this once."""

    accessKey: str
    secretKey: str
    info: str


class Setting(msgspec.Struct):
    """Any JSON; null changes nothing."""

    value: msgspec.Raw


class SignIn(msgspec.Struct):
    """What a provider of identities gave a user."""

    appid: str
    provider: str
    token: str


class Letter(msgspec.Struct, omit_defaults=True):
    """A letter; `file` is an attachment as a data URI or in Base64."""

    toEmails: Annotated[list[str], msgspec.Meta(min_length=1)]
    subject: str
    message: str
    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    plaintextOnly: bool | UnsetType = UNSET
    markdownEnabled: bool | UnsetType = UNSET


class Object(msgspec.Struct, omit_defaults=True):
    """An object: these members, and any of your own."""

    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    appid: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    parentid: str | UnsetType = UNSET
    creatorid: str | UnsetType = UNSET
    timestamp: int | UnsetType = UNSET
    updated: int | UnsetType = UNSET
    votes: int | UnsetType = UNSET
    version: int | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    stored: bool | UnsetType = UNSET
    indexed: bool | UnsetType = UNSET
    cached: bool | UnsetType = UNSET


class Page(msgspec.Struct, omit_defaults=True):
    """A page of objects; `lastKey` is the cursor after the last one."""

    items: list[Object]
    page: int
    totalHits: int
    lastKey: str | UnsetType = UNSET


_STRUCTS: Final = (Error, Banner, Message, Keys, Setting, SignIn, Letter, Object, Page)
_OPEN_OBJECT: Final[JsonObject] = {"type": "object"}
_SEGMENTS: Final[Mapping[str, str]] = {
    "app": "the app's identifier",
    "field": "the field",
    "id": "the object's id",
    "id2": "the other object's id",
    "key": "the setting",
    "kind": "`id`, `ids`, `count`, `nearby`, `similar`, `terms`, `tagged`, `in`, `prefix`, `wildcard` or `nested`",
    "method": "the utility",
    "name": "the constraint",
    "other": "a type; with POST and PUT the id of the other object",
    "type": "the type, singular or plural",
}
_ERROR: Final[JsonObject] = {"$ref": "#/components/responses/Error"}
_ERRORS: Final[JsonObject] = {"4XX": _ERROR, "5XX": _ERROR}
_SECURITY: Final[JsonObject] = {
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4, service `para`, region `us-east-1`, with an app's keys",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "a super token, signed with an app's secret"},
    "basic": {"type": "http", "scheme": "basic", "description": "an app's id and secret, or a thing's"},
}
_LINES: Final[JsonObject] = {"application/x-ndjson": {}}
_CREDENTIALS: Final[list[Json]] = [{name: []} for name in _SECURITY]


def document(resources: Sequence[Resources]) -> bytes:
    """The document as JSON, with the custom resources of this door."""
    paths: dict[str, Json] = {}
    for path, method, operation in _operations(resources):
        known = paths.setdefault(path, {})
        assert isinstance(known, dict)
        known[method.lower()] = operation
    return dump(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "thingstead",
                "version": PARA_LEVEL,
                "description": "Objects, as Para's clients know them.",
            },
            "security": _CREDENTIALS,
            "paths": paths,
            "components": {
                "schemas": _schemas(),
                "securitySchemes": _SECURITY,
                "responses": {"Error": {"description": "Refused", "content": _content(_ref("Error"))}},
            },
        }
    )


def _operations(resources: Sequence[Resources]) -> Iterator[tuple[str, str, JsonObject]]:
    for each in OPEN:
        operation = _operation("GET", each.path, each.summary, each.query, "", each.answer)
        yield each.path, "GET", operation | {"security": []}
    for each in SIGN_IN:
        operation = _operation(each.method, PATH, each.summary, (), each.body, "")
        operation["responses"] = {"4XX": _ERROR}
        yield PATH, each.method, operation | {"security": []}
    for each in ROUTES:
        path = f"/v1/{each.path}"
        operation = _operation(each.method, path, each.summary, each.query, each.body, each.answer, each.status)
        yield path, each.method, operation
    for pattern, entry in (pair for each in resources for pair in each.items()):
        path = _path(pattern)
        for method in sorted(entry.methods):
            body: Shape = "Json" if method in ("POST", "PUT", "PATCH") else ""
            operation = _operation(method, path, entry.summary, (), body, "Json")
            operation["responses"] = {"2XX": _done(_content({"type": ["object", "array"]})), **_ERRORS}
            parameters = operation.setdefault("parameters", [])
            assert is_array(parameters)
            parameters.extend(_parameter(name, str, about) for name, about in entry.query.items())
            yield path, method, operation


def _path(pattern: Pattern) -> str:
    names = iter(("id", *(f"part{n}" for n in range(2, len(pattern)))))
    return "/v1/" + "/".join(f"{{{next(names)}}}" if part is None else part for part in pattern)


def _operation(
    method: str, path: str, summary: str, query: Sequence[str], body: Shape, answer: Shape, status: int = 200
) -> JsonObject:
    parameters: list[Json] = [_segment(part[1:-1]) for part in path.split("/") if part.startswith("{")]
    parameters.extend(_parameter(name, *PARAMETERS[name]) for name in query)
    plain = path.removeprefix("/v1").strip("/").replace("{", "").replace("}", "")
    operation: JsonObject = {
        "operationId": f"{method.lower()} {plain}".strip().replace("/", ".").replace(" ", "."),
        "summary": summary,
        "responses": {**_answers(answer, status, method), **_ERRORS},
    }
    if parameters:
        operation["parameters"] = parameters
    if body:
        needed = not (body == "Json" and method != "PUT")
        operation["requestBody"] = {"required": needed, "content": _bodies(body)}
    return operation


def _answers(answer: Shape, status: int, method: str) -> JsonObject:
    told = _done(_bodies(answer))
    return {str(status): told, "201": told} if method == "PUT" and answer == "Object" else {str(status): told}


def _bodies(answer: Shape) -> JsonObject:
    bare: JsonObject = {name: {"schema": _TYPES[str]} for name in _BARE}
    match answer:
        case "":
            return {}
        case "Archive":
            return {"application/zip": {}}
        case "Progress":
            return _content(_OPEN_OBJECT) | _LINES
        case "Text":
            return bare
        case "Options":
            return _content(_OPEN_OBJECT) | bare
        case _:
            return _content(_shape(answer))


def _done(content: JsonObject) -> JsonObject:
    return {"description": "Done", "content": content} if content else {"description": "Done, with an empty body"}


_TYPES: Final[Mapping[type, JsonObject]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    list: {"type": "array", "items": {"type": "string"}},
}


def _parameter(name: str, kind: type, about: str) -> JsonObject:
    return {"name": name, "in": "query", "schema": _TYPES[kind], "description": about}


def _segment(name: str) -> JsonObject:
    schema: JsonObject = {"type": "string", "minLength": 1, "maxLength": MAX_ID}
    about = _SEGMENTS.get(name, "a segment")
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": about}


def _ref(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(schema: JsonObject) -> JsonObject:
    return {_JSON: {"schema": schema}}


def _shape(shape: Shape) -> JsonObject:
    match shape:
        case "Json":
            return _OPEN_OBJECT
        case "Methods":
            return {"type": "array", "items": {"type": "string"}}
        case "Objects":
            return {"type": "array", "items": _ref("Object")}
        case "Changed":
            return {"anyOf": [_ref("Object"), {"type": "boolean"}]}
        case "SetUp":
            return {"anyOf": [_ref("Keys"), _ref("Message")]}
        case _:
            return _ref(shape)


def _schemas() -> JsonObject:
    _, found = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    return cast("JsonObject", found)
