"""Health: whether each part that a request needs does its work (objects.md 14). Checked now and then, not per request.

Promises: `check` never raises and takes a bounded time; what `healthy` says is what the last check found. A part is
whoever has a probe: a call that does a small piece of the part's work, and raises or returns False if it cannot.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from thingstead.ports.environment import Clock

Probe: TypeAlias = Callable[[], Awaitable[bool]]

PROBE_SECONDS: Final = 10.0

log = logging.getLogger(__name__)


class Health:
    """See the module's docstring."""

    def __init__(
        self, probes: Mapping[str, Probe], clock: Clock, *, enabled: bool = True, seconds: float = PROBE_SECONDS
    ) -> None:
        """`seconds` is how long a probe may take. Where it is not `enabled` nothing is checked, and all is well."""
        self._probes = probes
        self._clock = clock
        self._enabled = enabled
        self._seconds = seconds
        self._parts: Mapping[str, bool] = {}
        self._checked = 0

    @property
    def healthy(self) -> bool:
        """Every part worked when it was looked at; False before the first check."""
        return not self._enabled or (bool(self._parts) and all(self._parts.values()))

    @property
    def parts(self) -> Mapping[str, bool]:
        """Each part and whether it worked; empty before the first check."""
        return MappingProxyType(self._parts)

    @property
    def checked(self) -> int:
        """When the last check ended, microseconds since the epoch; 0: never."""
        return self._checked

    async def check(self) -> bool:
        """Look at every part; what came of it stands in `healthy` and `parts`. A part that turns bad is logged."""
        if self._enabled:
            found = await asyncio.gather(*(self._look(name, probe) for name, probe in self._probes.items()))
            self._parts = dict(zip(self._probes, found, strict=True))
            self._checked = self._clock.now()
        return self.healthy

    async def _look(self, name: str, probe: Probe) -> bool:
        why = "its probe found nothing"
        good = False
        try:
            async with asyncio.timeout(self._seconds):
                good = await probe()
        except TimeoutError:
            why = f"no answer in {self._seconds:g} s"
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        before = self._parts.get(name, True)
        if before and not good:
            log.warning("unhealthy part=%s: %s", name, why)
        elif good and not before:
            log.warning("healthy again part=%s", name)
        return good
