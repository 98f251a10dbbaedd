"""Generated ids are those of objects.md 2.2: one number a call, never twice, in order, whatever the clock does."""

from thingstead.model.ids import EPOCH_MS
from thingstead.server.environment import NodeIds


class Steps:
    """A clock that shows one time after the other, then stays at the last; in milliseconds."""

    def __init__(self, *times: int) -> None:
        self._times = list(times)

    def now(self) -> int:
        """Microseconds."""
        return (self._times.pop(0) if len(self._times) > 1 else self._times[0]) * 1000


def parts(id: int) -> tuple[int, int, int]:
    """(ms, node, sequence)"""
    return (id >> 22) + EPOCH_MS, id >> 12 & 0x3FF, id & 0xFFF


def test_an_id_is_time_node_and_sequence() -> None:
    ids = NodeIds(Steps(1_700_000_000_000, 1_700_000_000_000, 1_700_000_000_001), 7)
    assert [parts(ids.next()) for _ in range(3)] == [
        (1_700_000_000_000, 7, 0),
        (1_700_000_000_000, 7, 1),
        (1_700_000_000_001, 7, 0),
    ]
    assert parts(NodeIds(Steps(1_700_000_000_000), 1023).next()) == (1_700_000_000_000, 1023, 0)


def test_ids_only_grow_when_a_millisecond_is_full_or_the_clock_steps_back() -> None:
    ids = NodeIds(Steps(1_700_000_000_000), 1)
    made = [ids.next() for _ in range(10_000)]
    assert made == sorted(set(made))
    back = NodeIds(Steps(1_700_000_000_005, 1_700_000_000_001, 1_600_000_000_000, 1_700_000_000_006), 1)
    made = [back.next() for _ in range(4)]
    assert made == sorted(set(made))
    assert all(0 < id < 2**63 for id in made)
