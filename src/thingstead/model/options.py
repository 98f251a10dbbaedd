"""The table of settings as `_config/options` shows it, made from model/keys (objects.md 9). Pure.

Shows keys, types, defaults and meanings of what has an effect; never what a setting is set to.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from thingstead.model.keys import keys
from thingstead.model.values import Json, JsonObject, dump

Format = Literal["json", "markdown", "hocon"]

_TYPES: Final[Mapping[str, str]] = {
    "S": "String",
    "B": "Boolean",
    "I": "Integer",
    "F": "Double",
    "list": "List",
    "object": "Object",
}
_TAGS: Final[list[Json]] = ["requires restart"]  # settings are read at the start


class Option(msgspec.Struct, frozen=True):
    """One setting: its key, category, type, default and meaning."""

    key: str
    category: str
    type: str
    default: str
    about: str


def options() -> Sequence[Option]:
    """Every setting that has an effect, in the order of the model."""
    return [
        Option(key.name, key.category, _TYPES.get(key.type, "String"), _text(key.default), key.about)
        for key in keys().values()
        if key.field
    ]


def _text(default: Json) -> str:
    return dump(default).decode() if isinstance(default, bool | dict | list) else str(default)


def shown(found: Sequence[Option], format: Format, *, grouped: bool) -> bytes:
    """The table as JSON, as Markdown, or as HOCON with every default commented out."""
    groups: dict[str, list[Option]] = {}
    for option in found if grouped else sorted(found, key=lambda option: option.key):
        groups.setdefault(option.category if grouped else "", []).append(option)
    match format:
        case "json":
            tables: JsonObject = {name: _json(group) for name, group in groups.items()}
            return dump(tables if grouped else tables.get("", {}))
        case "markdown":
            return "\n".join(_markdown(name, group) for name, group in groups.items()).encode()
        case "hocon":
            return "\n".join(_hocon(name, group) for name, group in groups.items()).encode()


def _json(group: Sequence[Option]) -> JsonObject:
    return {
        option.key: {"description": option.about, "defaultValue": option.default, "type": option.type, "tags": _TAGS}
        for option in group
    }


def _markdown(name: str, group: Sequence[Option]) -> str:
    head = f"## {name}\n\n" if name else ""
    rows = "".join(
        f"| `{one.key}` | {one.about.replace('|', chr(92) + '|')} | `{one.default or ' '}` | {one.type} |\n"
        for one in group
    )
    return f"{head}| key | description | default | type |\n|---|---|---|---|\n{rows}"


def _hocon(name: str, group: Sequence[Option]) -> str:
    head = f"# == {name} ==\n\n" if name else ""
    return head + "".join(f"# {one.about}\n# {one.key} = {_literal(one)}\n" for one in group)


def _literal(option: Option) -> str:
    return dump(option.default).decode() if option.type == "String" else option.default
