"""What the commands of the command line share: their arguments' types, and how they answer and refuse."""

import sys
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import cyclopts
import msgspec
from cyclopts import Parameter

from thingstead.model.errors import ThingsteadError

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
        sys.exit(f"thingstead: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)


def tell(line: str) -> None:
    """A line for the operator, on standard error."""
    print(line, file=sys.stderr, flush=True)
