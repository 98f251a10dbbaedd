"""How far readings are merged when a test reads them back: every history test of a door runs at every stage.

A test takes the fixture `stage` and writes inside `with here.written(stage):` (`Listening`, and what wraps one). What
the stages mean to a store is the conformance suite's; here they show that no door's answer depends on them.
"""

from typing import Literal

from thingstead.ports.store import Store

Stage = Literal["unmerged", "half", "merged"]
STAGES: tuple[Stage, ...] = ("unmerged", "half", "merged")


async def begin(store: Store, stage: Stage) -> int:
    """Call before the writes; returns what `reach` wants to know."""
    if stage == "half":
        await store.merge()
    return await store.readings.head()


async def reach(store: Store, stage: Stage, begun: int) -> None:
    """Bring what was written since to the stage: none of it merged, the earlier half, or all."""
    if stage == "merged":
        await store.merge()
    elif stage == "half":
        half = (await store.readings.head() - begun) // 2
        assert await store.merge(half) == half
