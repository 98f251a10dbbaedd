"""Plug-ins (objects.md 21): found as entry points of installed packages, and as files in `para.plugin_folder`.

Groups: `thingstead.engines` (chosen by name in the settings), `thingstead.listeners` and `thingstead.resources` (all
that are installed). A file or package in the folder offers what it defines at its top level: an `Engine` under its
variable's name, subclasses of `Listener` and `Resource`. The embedded engines stand in the same table, under their
class names and those of Para that mean the same. Promises: an engine is imported only if it is chosen; what cannot be
imported, or is not what its group says, ends the start with an error that names it.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple, TypeVar

from thingstead.embed.embedded import Embedded
from thingstead.embed.listeners import Listener
from thingstead.embed.resources import Resource
from thingstead.model.errors import NotSupported, Unavailable
from thingstead.model.settings import Settings
from thingstead.ports.engine import Engine, Port

ENGINES: Final = "thingstead.engines"
LISTENERS: Final = "thingstead.listeners"
RESOURCES: Final = "thingstead.resources"

_SQLITE: Final = "thingstead.engines.sqlite:engine"
_CACHE: Final = "thingstead.engines.inprocess.engine:engine"
_QUEUE: Final = "thingstead.engines.inprocess.engine:queue"
_FILES: Final = "thingstead.engines.folder.engine:engine"
_SMTP: Final = "thingstead.engines.smtp.engine:engine"
_NOOP: Final = "thingstead.engines.smtp.engine:noop"
_TANTIVY: Final = "thingstead.engines.tantivy.engine:engine"
EMBEDDED: Final[Mapping[Port, Mapping[str, str]]] = {
    "dao": {"SqliteStore": _SQLITE, "H2DAO": _SQLITE},
    "search": {"TantivyIndex": _TANTIVY, "LuceneSearch": _TANTIVY},
    "cache": {"InProcessCache": _CACHE, "CaffeineCache": _CACHE, "CaffeineSearch": _CACHE},
    "q": {"StoreQueue": _QUEUE, "LocalQueue": _QUEUE, "local": _QUEUE},
    "fs": {"FolderFiles": _FILES, "LocalFileStore": _FILES},
    "emailer": {
        "SmtpMailer": _SMTP,
        "JavaMailEmailer": _SMTP,
        "javamail": _SMTP,
        "NoopEmailer": _NOOP,
        "noop": _NOOP,
    },
}

T = TypeVar("T")


class Offer(NamedTuple):
    """Something a plug-in offers, not imported yet."""

    name: str
    where: str
    load: Callable[[], object]


class Plugins:
    """What is installed and what lies in the folder; nothing is imported before it is asked for."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @classmethod
    def of(cls, directory: Path, settings: Settings) -> "Plugins":
        """Those for a data directory; a relative `para.plugin_folder` lies in it, and an empty one is none."""
        return cls(directory / settings.plugin_folder if settings.plugin_folder else None)

    def engine(self, port: Port, name: str) -> Engine:
        """The engine that the setting of a port names, embedded ones in any case of letters.

        Raises NotSupported for an unknown one, Unavailable.
        """
        embedded = EMBEDDED[port]
        if target := {known.lower(): target for known, target in embedded.items()}.get(name.lower()):
            module, _, attribute = target.partition(":")
            return _an(Engine, getattr(importlib.import_module(module), attribute), Offer(name, target, object))
        what = "is not installed"
        for offer in self._offers(ENGINES):
            if offer.name == name:
                engine = _an(Engine, offer.load(), offer)
                if engine.port == port:
                    return engine
                what = f"is an engine for para.{engine.port}"
        there = ", ".join(dict.fromkeys((*embedded, *(offer.name for offer in self._offers(ENGINES)))))
        raise NotSupported(f"para.{port}: {name} {what}; there are {there}", field=f"para.{port}")

    async def activate(self, para: Embedded, listeners: Sequence[Listener] = ()) -> None:
        """Register the package of classes, mount resources, and begin listeners: the plug-ins' first, then these.

        Raises Unavailable and InvalidInput, which name the plug-in, and what an `init` raises.
        """
        if para.settings.core_package_name:
            para.register_package(para.settings.core_package_name)
        para.mount(*(_made(Resource, offer) for offer in self._offers(RESOURCES)))
        await para.begin([*(_made(Listener, offer) for offer in self._offers(LISTENERS)), *listeners])

    def _offers(self, group: str) -> Iterator[Offer]:
        for point in self._installed:
            if point.group == group:
                where = point.dist.name if point.dist is not None else point.value
                yield Offer(point.name, f"{where}, {point.value}", _imported(point.name, point.value, point.load))
        for module in self._modules:
            yield from _defined(module, group)

    @cached_property
    def _installed(self) -> list[EntryPoint]:
        return [point for group in (ENGINES, LISTENERS, RESOURCES) for point in entry_points(group=group)]

    @cached_property
    def _modules(self) -> list[ModuleType]:
        """The files and packages of the folder, imported in the order of their names."""
        if self._folder is None or not self._folder.is_dir():
            return []
        found: list[ModuleType] = []
        for path in sorted(self._folder.iterdir()):
            file = path / "__init__.py" if path.is_dir() else path
            if file.suffix == ".py" and file.is_file() and not path.name.startswith("."):
                name = path.stem
                found.append(_imported(name, str(path), lambda file=file, name=name: _from_file(file, name))())
        return found


def _from_file(file: Path, name: str) -> ModuleType:
    qualified = f"thingstead_plugin_{name}"
    below = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(qualified, file, submodule_search_locations=below)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[qualified]
        raise
    return module


def _defined(module: ModuleType, group: str) -> Iterator[Offer]:
    wanted = {LISTENERS: Listener, RESOURCES: Resource}.get(group)
    for name, value in vars(module).items():
        if wanted is None:
            offered = isinstance(value, Engine)
        else:
            own = getattr(value, "__module__", "").split(".")[0] == module.__name__
            offered = own and inspect.isclass(value) and issubclass(value, wanted)
        if offered:
            yield Offer(name, str(module.__file__), lambda value=value: value)


def _imported(name: str, where: str, load: Callable[[], T]) -> Callable[[], T]:
    def imported() -> T:
        try:
            return load()
        except Exception as error:
            raise Unavailable(f"the plug-in {name} ({where}) cannot be imported: {error!r}") from error

    return imported


def _an(kind: type[T], value: object, offer: Offer) -> T:
    if not isinstance(value, kind):
        raise Unavailable(f"the plug-in {offer.name} ({offer.where}) is no {kind.__name__}")
    return value


def _made(kind: type[T], offer: Offer) -> T:
    """The instance of a class, or what is one already."""
    value = offer.load()
    if inspect.isclass(value) and issubclass(value, kind):
        value = _imported(offer.name, offer.where, value)()
    return _an(kind, value, offer)
