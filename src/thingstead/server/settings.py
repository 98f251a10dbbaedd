"""Reading settings from outside: `--set`, environment variables, `thingstead.toml`, in that order of precedence.

Environment: `para_root_secret_override` or `PARA_ROOT_SECRET_OVERRIDE` for `para.root_secret_override`, dots as `_`;
keys without a `para.` of their own get `thingstead_` in front (`thingstead_hypermedia_read`). Blank counts as unset.
"""

import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import msgspec.inspect

from thingstead.model.errors import InvalidInput
from thingstead.model.settings import Settings
from thingstead.transports.http import TrustedProxies

FILE = "thingstead.toml"


class Key(msgspec.Struct, frozen=True):
    """One setting: its key, the field of `Settings`, its default and what it is."""

    name: str
    field: str
    default: object
    about: str


def keys() -> list[Key]:
    """Every setting, in the order of the model."""
    found: list[Key] = []
    described = msgspec.inspect.type_info(Settings)
    assert isinstance(described, msgspec.inspect.StructType)
    for field in described.fields:
        assert isinstance(field.type, msgspec.inspect.Metadata)
        extra = cast(Mapping[str, str], field.type.extra)
        schema = cast(Mapping[str, str], field.type.extra_json_schema)
        found.append(Key(extra["key"], field.name, field.default, schema["description"]))
    return found


def load(sets: Sequence[str], directory: Path | None, warn: Callable[[str], None]) -> Settings:
    """The settings in force. `sets` holds `KEY=VALUE`; unknown keys are told to `warn`. Raises InvalidInput."""
    known = {key.name: key for key in keys()}
    values: dict[str, object] = {}
    for source, name, value in (*_from_file(directory), *_from_environment(known), *_from_sets(sets)):
        key = known.get(name)
        if key is None:
            near = difflib.get_close_matches(name, known, n=1)
            warn(f"unknown setting {name} in {source}" + (f"; did you mean {near[0]}?" if near else ""))
        elif value != "":
            values[key.field] = _convert(key, value)
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        field = str(error).rpartition("$.")[2].rstrip("`")
        name = next((key.name for key in known.values() if key.field == field), field)
        raise InvalidInput(f"{name}: {str(error).partition(' - at')[0]}", field=name) from None
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """Refuse what a type cannot say. Raises InvalidInput naming the key."""
    try:
        TrustedProxies(settings.trusted_proxies)
    except ValueError as error:
        raise InvalidInput(f"trusted_proxies: {error}", field="trusted_proxies") from None
    try:
        ZoneInfo(settings.chain_timezone)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        if settings.chain_timezone != "UTC":  # the one zone that needs no time zone data
            raise InvalidInput(
                f"chain.timezone: {settings.chain_timezone!r} is no time zone known here", field="chain.timezone"
            ) from None
    if settings.things_default_broker != "Local":
        raise InvalidInput("things.default_broker: only Local is configured", field="things.default_broker")


def _convert(key: Key, value: object) -> object:
    if isinstance(value, str) and isinstance(key.default, bool):
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise InvalidInput(f"{key.name}: expected true or false, got {value!r}", field=key.name)
    return value


def _from_file(directory: Path | None) -> Iterator[tuple[str, str, object]]:
    file = (directory or Path()) / FILE
    if not file.is_file():
        return
    try:
        with file.open("rb") as stream:
            document = tomllib.load(stream)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{file}: {error}", field=str(file)) from None
    yield from ((str(file), name, value) for name, value in _flatten(document, ""))


def _flatten(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield prefix + name, value


def _from_environment(known: Mapping[str, Key]) -> Iterator[tuple[str, str, object]]:
    for name in known:
        variable = name.replace(".", "_")
        if not name.startswith("para."):
            variable = "thingstead_" + variable
        for spelling in (variable.upper(), variable):
            if spelling in os.environ:
                yield f"the environment ({spelling})", name, os.environ[spelling]


def _from_sets(sets: Sequence[str]) -> Iterator[tuple[str, str, object]]:
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"--set takes KEY=VALUE, got {text!r}", field="--set")
        yield "--set", name.strip(), value
