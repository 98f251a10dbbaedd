"""The shadow's rules hold for any sequence of updates: against plain JSON merge patches, and for leaves and times."""

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import shadow as rules
from thingstead.model.paths import join, split
from thingstead.model.shadow import Leaf, Shadow

KEYS = st.sampled_from(["a", "b", "c", "a.b", "x\\y", "é"])
SCALARS = st.one_of(st.integers(-5, 5), st.booleans(), st.sampled_from(["s", ""]), st.floats(-1, 1))
LEAVES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2))
VALUES = st.recursive(
    st.one_of(LEAVES, st.none()), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
PATCHES = st.dictionaries(KEYS, VALUES, max_size=4)


def plain_merge(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """things.md 7.3, step 3, written down as simply as can be."""
    out = dict(document)
    for key, value in patch.items():
        if isinstance(value, dict):
            below = out.get(key)
            out[key] = plain_merge(below if isinstance(below, dict) else {}, value)
            if not out[key]:
                del out[key]
        elif value is None:
            out.pop(key, None)
        else:
            out[key] = value
    return out


def report(shadow: Shadow, patch: dict[str, Any], at: int) -> list[tuple[str, Any]]:
    pairs = rules.merge_reported(shadow, patch, at)
    for path, value in pairs:
        if value is not None and path not in shadow.leaves:
            shadow.leaves[path] = Leaf(len(shadow.leaves) + 1, path, at)
    return pairs


def fresh() -> Shadow:
    return Shadow(desired={}, reported={}, desired_at={}, leaves={}, attributes={})


@given(st.lists(PATCHES, max_size=6))
def test_merging_is_a_merge_patch(patches: list[dict[str, Any]]) -> None:
    shadow = fresh()
    reported: dict[str, Any] = {}
    for at, patch in enumerate(patches, 1):
        before = deepcopy(patch)
        report(shadow, patch, at)
        rules.merge_desired(shadow, patch, at)
        assert patch == before, "a report is not changed by being applied"
        reported = plain_merge(reported, patch)
        assert shadow.reported == reported
        assert shadow.desired == reported
        assert rules.delta(shadow) == {}
        assert rules.device_state(shadow) == reported


@given(st.lists(PATCHES, max_size=6))
def test_readings_tell_the_whole_story(patches: list[dict[str, Any]]) -> None:
    """Replaying the readings of all reports gives the leaves of the document."""
    shadow = fresh()
    known: dict[str, Any] = {}
    for at, patch in enumerate(patches, 1):
        for path, value in report(shadow, patch, at):
            if value is None:
                known.pop(path, None)
            else:
                known[path] = value
        assert known == dict(rules.walk(shadow.reported))


@given(st.lists(PATCHES, max_size=5))
def test_desired_times_are_those_of_the_desired_leaves(patches: list[dict[str, Any]]) -> None:
    shadow = fresh()
    for at, patch in enumerate(patches, 1):
        rules.merge_desired(shadow, patch, at)
        assert set(shadow.desired_at) == {path for path, _ in rules.walk(shadow.desired)}


@given(PATCHES, PATCHES)
def test_delta_applied_to_reported_gives_what_is_desired(desired: dict[str, Any], reported: dict[str, Any]) -> None:
    shadow = fresh()
    rules.merge_desired(shadow, desired, 1)
    report(shadow, reported, 1)
    closed = plain_merge(shadow.reported, rules.delta(shadow))
    for path, value in rules.walk(shadow.desired):
        assert rules.lookup(closed, path) == value


@given(st.lists(st.tuples(PATCHES, st.integers(1, 9)), max_size=6))
def test_a_leaf_never_goes_back_in_time(reports: list[tuple[dict[str, Any], int]]) -> None:
    """In whatever order reports arrive, no leaf's state time decreases, and a leaf that is kept keeps its value."""
    shadow = fresh()
    for patch, at in reports:
        before = {path: leaf.state_at for path, leaf in shadow.leaves.items()}
        values = dict(rules.walk(shadow.reported))
        report(shadow, patch, at)
        for path, state_at in before.items():
            assert shadow.leaves[path].state_at >= state_at
            if state_at > at:
                assert dict(rules.walk(shadow.reported)).get(path) == values.get(path)


@given(st.lists(PATCHES, max_size=4))
def test_a_shadow_survives_its_encoding(patches: list[dict[str, Any]]) -> None:
    shadow = fresh()
    for at, patch in enumerate(patches, 1):
        report(shadow, patch, at)
        rules.merge_desired(shadow, patch, at)
    assert rules.decode(rules.encode(shadow)) == shadow


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=4))
def test_paths_split_as_they_were_joined(keys: list[str]) -> None:
    path = ""
    for key in keys:
        path = join(path, key)
    assert split(path) == keys
