"""What the ports of FIWARE share: every answer, a refusal too, has the correlator of its request (agent.md 2, 17).

Each door brings its own names and shapes of errors (`refused`, `crashed`).
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from thingstead.doors.gate import Gate
from thingstead.model import ngsi
from thingstead.model.errors import ThingsteadError
from thingstead.ports.environment import Entropy
from thingstead.transports.http import AsgiApp, Disconnected, Receive, Refused, Scope, Send, send_answer

CORRELATOR: Final = b"fiware-correlator"

_log = structlog.get_logger()


class Answer(msgspec.Struct, frozen=True):
    """A success."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Refusal(Exception):
    """A refusal that only the door knows, found while it reads a request; `name` is the error's in its answers."""

    def __init__(self, status: int, name: str, message: str):
        super().__init__(message)
        self.status = status
        self.name = name
        self.message = message


def serving(
    gate: Gate,
    entropy: Entropy,
    answer: Callable[[Scope, Receive], Awaitable[Answer]],
    refused: Callable[[ThingsteadError | Refusal], Refused],
    crashed: Callable[[], Refused],
    failed: str,
) -> AsgiApp:
    """The app of a port; `answer` raises ThingsteadError, Refusal or Disconnected, `failed` is logged for the rest."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        mark = (CORRELATOR, correlator(scope, entropy))
        try:
            gate.enter(scope)
            said: Answer | Refused = await answer(scope, receive)
        except Disconnected:
            return
        except (ThingsteadError, Refusal) as error:
            said = refused(error if isinstance(error, Refusal) else gate.refused(scope, error))
        except Exception:
            _log.exception(failed, path=scope.get("path"))
            said = crashed()
        await send_answer(send, said.status, said.body, headers=(mark, *said.headers))

    return serve


def header(scope: Scope, name: bytes) -> bytes:
    """The first header of that (lower-case) name, b"" if there is none."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key == name), b"")


def correlator(scope: Scope, entropy: Entropy) -> bytes:
    """The caller's `Fiware-Correlator`, or a new UUID."""
    return ngsi.correlator(header(scope, CORRELATOR)) or ngsi.new_correlator(entropy.token(16))
