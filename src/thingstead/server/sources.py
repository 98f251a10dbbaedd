"""Where settings come from (objects.md 20): files, environment variables, the command line. Each source gives triples
of (what the source is called, key, value as it stands there); what they mean is decided in server/settings.

Files: `thingstead.toml` and an existing `application.conf` (HOCON or JSON), the first of each found in the data
directory and then in the working directory. `config.file`, `config.resource` (a name in those two folders) and
`config.url` name a file instead, as for Para; one that cannot be read is an error.
HOCON is read by pyhocon, loaded only then.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias, cast

from thingstead.model.errors import InvalidInput

Triple: TypeAlias = tuple[str, str, object]

TOML: Final = "thingstead.toml"
CONF: Final = "application.conf"
MAX_FILE: Final = 1_048_576  # bytes
URL_SECONDS: Final = 10
NO_SETTINGS: Final = frozenset({"thingstead_secret_key"})  # read elsewhere
_NAMING: Final = ("config.file", "config.resource", "config.url")


def sets(texts: Sequence[str]) -> list[Triple]:
    """`KEY=VALUE` of `--set` and `-D`. Raises InvalidInput for what is none."""
    found: list[Triple] = []
    for text in texts:
        name, equals, given = text.partition("=")
        if not equals or not name.strip():
            raise InvalidInput(f"--set takes KEY=VALUE, got {text.strip()!r}", field="--set")
        found.append(("--set", name.strip(), given))
    return found


def variable(name: str) -> str:
    """The environment variable of a key, in lower-case spelling.

    >>> variable("para.max_pages"), variable("hypermedia.read")
    ('para_max_pages', 'thingstead_hypermedia_read')
    """
    bare = name.replace(".", "_").replace("-", "_")
    return bare if name.startswith("para.") else "thingstead_" + bare


def environment(names: Sequence[str], variables: Mapping[str, str]) -> Iterator[Triple]:
    """What the environment says of these keys, then the variables that look like settings and are none."""
    known: set[str] = set()
    for name in names:
        lower = variable(name)
        for spelling in (lower.upper(), lower):
            known.add(spelling)
            if spelling in variables:
                yield f"the environment ({spelling})", name, variables[spelling]
    for found in variables:
        lower = found.lower()
        if found not in known and lower.startswith(("para_", "thingstead_")) and lower not in NO_SETTINGS:
            yield "the environment", found, variables[found]


def files(directory: Path | None, naming: Mapping[str, str]) -> Iterator[Triple]:
    """What the files say, the least first. `naming` holds `config.file` and its like, as far as they are set.

    Raises InvalidInput for a file that is named and missing, or that cannot be read.
    """
    folders = [directory, Path()] if directory is not None else [Path()]
    named = next((name for name in _NAMING if naming.get(name)), None)
    if named is None:
        conf = _first(folders, CONF)
        if conf is not None:
            yield from _read(str(conf), _bytes(conf, CONF), conf.parent)
    elif named == "config.url":
        shown, data = _fetched(naming[named])
        yield from _read(shown, data, None)
    else:
        path = Path(naming[named])
        file = path if named == "config.file" else _first(folders, naming[named])
        if file is None or not file.is_file():
            raise InvalidInput(f"{named}: there is no file {naming[named]}", field=named)
        yield from _read(str(file), _bytes(file, named), file.parent)
    toml = _first(folders, TOML)
    if toml is not None:
        yield from _read(str(toml), _bytes(toml, TOML), None)


def naming(given: Sequence[Triple], variables: Mapping[str, str]) -> dict[str, str]:
    """Which file is asked for, on the command line or in the environment."""
    found: dict[str, str] = {}
    for name in _NAMING:
        for key in (name, f"para.{name}"):
            for spelling in (variable(key).upper(), variable(key)):
                if variables.get(spelling):
                    found[name] = variables[spelling]
        for _, key, text in given:
            if key.removeprefix("para.") == name and text:
                found[name] = str(text)
    return found


def is_naming(key: str) -> bool:
    """True for `config.file`, `config.resource` and `config.url`, also as environment variables."""
    bare = key.removeprefix("para.")
    return bare in _NAMING or key.lower() in {variable(k) for n in _NAMING for k in (n, f"para.{n}")}


def _first(folders: Sequence[Path], name: str) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _bytes(file: Path, field: str) -> bytes:
    try:
        with file.open("rb") as stream:
            return _bounded(stream.read(MAX_FILE + 1), str(file))
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}", field=field) from None


def _fetched(url: str) -> tuple[str, bytes]:
    """The file, and its URL without what may be secret in it."""
    from urllib.parse import urlsplit
    from urllib.request import urlopen

    shown = urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2], query="").geturl()
    if urlsplit(url).scheme not in ("http", "https", "file"):
        raise InvalidInput(f"config.url: {shown} is no http, https or file URL", field="config.url")
    try:
        with urlopen(url, timeout=URL_SECONDS) as answer:  # noqa: S310  the scheme is checked above
            return shown, _bounded(answer.read(MAX_FILE + 1), shown)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"config.url: {shown} cannot be read: {error}", field="config.url") from None


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > MAX_FILE:
        raise InvalidInput(f"{name} is longer than {MAX_FILE} bytes", field=name)
    return data


def _read(name: str, data: bytes, folder: Path | None) -> Iterator[Triple]:
    """The settings of a file: TOML by its name, else HOCON, of which JSON is a part. `folder` is for includes."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: {error}", field=name) from None
    if name.endswith(".toml"):
        try:
            document: object = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidInput(f"{name}: {error}", field=name) from None
    else:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = _hocon(name, text, folder)
    if not isinstance(document, dict):
        raise InvalidInput(f"{name} holds no object", field=name)
    yield from ((name, key, given) for key, given in _flat(cast(dict[str, object], document), ""))


def _hocon(name: str, text: str, folder: Path | None) -> object:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pyparsing, about names that pyhocon uses
        from pyhocon import ConfigFactory
        from pyhocon.exceptions import ConfigException
        from pyparsing import ParseBaseException

        try:
            return cast(object, ConfigFactory.parse_string(text, basedir=str(folder) if folder else None))
        except ParseBaseException as error:
            raise InvalidInput(f"{name}, line {error.lineno}: it is neither HOCON nor JSON", field=name) from None
        except (ConfigException, ValueError, OSError, RecursionError) as error:
            raise InvalidInput(f"{name}: {' '.join(str(error).split())}", field=name) from None


def _flat(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, given in table.items():
        key = prefix + name.strip('"')  # pyhocon keeps the quotes of a quoted key
        if key in _WHOLE:
            yield key, json.loads(json.dumps(given, default=str))
        elif isinstance(given, dict):
            yield from _flat(cast(dict[str, object], given), key + ".")
        elif given is not None:
            yield key, given


_WHOLE: Final = frozenset({"para.security.protected"})  # an object is their value
