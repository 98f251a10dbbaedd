"""What the commands of the command line share: their arguments' types, and how they answer and refuse."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import cyclopts
import msgspec
from cyclopts import Parameter

from thingstead.model.errors import ThingsteadError

if TYPE_CHECKING:
    from thingstead.server.cli.manage import Place

_PORT = cyclopts.validators.Number(gte=0, lte=65535)
Port: TypeAlias = Annotated[int, Parameter(validator=_PORT)]
MainPort: TypeAlias = Annotated[int | None, Parameter(validator=_PORT)]
Sets: TypeAlias = Annotated[list[str] | None, Parameter(name=("--set", "-D"), negative="")]
Flag: TypeAlias = Annotated[bool, Parameter(negative="")]


def as_json(value: Any) -> str:
    """JSON in one line."""
    return msgspec.json.encode(value).decode()


def refusing(work: Callable[[], Any]) -> Any:
    """Do it; what it refuses becomes one line on standard error and exit code 1."""
    try:
        return work()
    except ThingsteadError as error:
        sys.exit(f"thingstead: {error.message}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"thingstead: {where}{error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)


def tell(line: str) -> None:
    """A line for the operator, on standard error."""
    print(line, file=sys.stderr, flush=True)


def managing(
    data: Path,
    sets: Sequence[str] | None,
    url: str,
    keys: Path | None,
    act: "Callable[[Place], Awaitable[Any]]",
    told: Callable[[Any], None],
) -> None:
    """Do one piece of work on a data directory or at a server, in a loop of its own, and tell what came of it."""
    import uvloop

    from thingstead.server.cli.manage import Place
    from thingstead.server.logs import lines as logs
    from thingstead.server.settings import load

    async def work() -> object:
        loaded = load(sets or [], data, lambda line: tell(f"thingstead: {line}"))
        return await act(Place(data, loaded.settings, url, keys))

    logs.configure()
    told(refusing(lambda: uvloop.run(work())))
