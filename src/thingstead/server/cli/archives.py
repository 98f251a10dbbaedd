"""`export`, `import`, `reindex`: all that an app has, out, in, and indexed again. What they do stands in
server/cli/transfer.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from thingstead.server.cli.base import Flag, Sets, as_json, managing

if TYPE_CHECKING:
    from thingstead.server.cli.manage import Place
    from thingstead.server.cli.progress import Bar

Of: TypeAlias = Annotated[str, Parameter(name="--app")]


def export(
    file: Path | None = None,
    /,
    *,
    of: Of = "",
    data: Path = Path("data"),
    url: str = "",
    keys: Path | None = None,
    set: Sets = None,
    json: Flag = False,
) -> None:
    """Write all objects of an app into a ZIP, as Para does; it holds secrets. Readings are not in it.

    Parameters
    ----------
    file
        File or folder; made in this folder if not given.
    of
        The app, like app:farm; the root app if not given.
    data
        Data directory, which no server may be using.
    url
        Ask the server there instead, with root's keys or the app's.
    keys
        File with accessKey and secretKey in JSON. Default: root-keys.json in the data directory.
    set
        A setting, KEY=VALUE; may be repeated.
    json
        Print JSON, and no progress.
    """
    from thingstead.server.cli import transfer

    def told(done: dict[str, Any]) -> None:
        print(as_json(done) if json else f"{done['file']}: {done['objects']:,} objects, {done['bytes']:,} bytes")

    unit = "bytes" if url else "objects"
    work = _shown(unit, json, lambda place, bar: transfer.exported(place, of, file, bar))
    managing(data, set, url, keys, work, told)


def import_(
    file: Path,
    /,
    *,
    of: Of = "",
    data: Path = Path("data"),
    url: str = "",
    keys: Path | None = None,
    set: Sets = None,
    json: Flag = False,
) -> None:
    """Put the objects of an archive into an app; objects of the same id are replaced.

    Parameters
    ----------
    file
        The archive, from here or from Para.
    of
        The app, like app:farm; the root app if not given.
    data
        Data directory, which no server may be using.
    url
        Ask the server there instead, with root's keys or the app's.
    keys
        File with accessKey and secretKey in JSON. Default: root-keys.json in the data directory.
    set
        A setting, KEY=VALUE; may be repeated.
    json
        Print JSON, and no progress.
    """
    from thingstead.server.cli import transfer

    def told(done: dict[str, Any]) -> None:
        if json:
            print(as_json(done))
            return
        print(f"{done['count']:,} objects imported into {done['appid']}")
        if "skipped" in done:
            print(f"{done['skipped']:,} could not be stored: {as_json(done['skippedReasons'])}")

    work = _shown("objects", json, lambda place, bar: transfer.imported(place, of, file, bar))
    managing(data, set, url, keys, work, told)


def reindex(
    *,
    of: Of = "",
    data: Path = Path("data"),
    url: str = "",
    keys: Path | None = None,
    set: Sets = None,
    json: Flag = False,
) -> None:
    """Make an app's part of the search index again from its objects; searches go on meanwhile.

    Parameters
    ----------
    of
        The app, like app:farm; the root app if not given.
    data
        Data directory, which no server may be using.
    url
        Ask the server there instead, with root's keys or the app's.
    keys
        File with accessKey and secretKey in JSON. Default: root-keys.json in the data directory.
    set
        A setting, KEY=VALUE; may be repeated.
    json
        Print JSON, and no progress.
    """
    from thingstead.server.cli import transfer

    def told(done: dict[str, Any]) -> None:
        print(as_json(done) if json else f"{done['reindexed']:,} objects indexed in {done['tookMillis']:,} ms")

    work = _shown("objects", json, lambda place, bar: transfer.reindexed(place, of, bar))
    managing(data, set, url, keys, work, told)


def _shown(
    unit: str, quiet: bool, work: "Callable[[Place, Bar], Awaitable[Any]]"
) -> "Callable[[Place], Awaitable[Any]]":
    """The work, showing how far it is."""
    from thingstead.server.cli.progress import Bar

    async def run(place: "Place") -> object:
        bar = Bar(unit, quiet=quiet)
        try:
            return await work(place, bar)
        finally:
            bar.close()

    return run
