"""Promise: what becomes of a vote follows from the saved one, the time and the direction alone (objects.md 8)."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import votes
from thingstead.model.errors import ConstraintViolation
from thingstead.model.objects import Object, draft
from thingstead.model.values import JsonObject

NOW = 1_700_000_000_000
Way = Literal["up", "down"]


def saved(way: str, at: int = NOW, locked: int = 30, expires: int = 3600) -> Object:
    """A vote object."""
    body: JsonObject = {"value": way, "lockedAfter": locked, "expiresAfter": expires}
    return draft("app", "vote", "vote:u:p", body, now_ms=at, docid=1)


@pytest.mark.parametrize(
    ("before", "way", "after_ms", "decision"),
    [
        (None, "up", 0, "save"),
        (None, "down", 0, "save"),
        (saved("up"), "up", 0, "refuse"),
        (saved("down"), "down", 0, "refuse"),
        (saved("up"), "down", 0, "undo"),
        (saved("down"), "up", 29_999, "undo"),
        (saved("down"), "up", 30_000, "refuse"),
        (saved("up"), "down", 3_599_999, "refuse"),
        (saved("up"), "down", 3_600_000, "save"),
        (saved("up"), "up", 3_600_000, "save"),
        (saved("up", expires=0), "up", 10**12, "refuse"),
        (saved("up", expires=0), "down", 10**12, "refuse"),
        (saved("up", locked=0), "down", 0, "refuse"),
        (saved("up", locked=7200), "down", 3_600_000, "save"),
        (saved("sideways"), "down", 0, "refuse"),
        (saved("sideways"), "up", 0, "undo"),
    ],
)
def test_the_rule(before: Object | None, way: Way, after_ms: int, decision: str) -> None:
    assert votes.decide(before, way == "up", NOW + after_ms) == decision


def test_the_reference_sequence() -> None:
    kept: Object | None = None
    count = 0
    told: list[tuple[bool, int]] = []
    for way in ("up", "up", "down", "down", "down"):
        match votes.decide(kept, way == "up", NOW):
            case "save":
                kept, count = saved(way), count + (1 if way == "up" else -1)
                told.append((True, count))
            case "undo":
                kept, count = None, count + (1 if way == "up" else -1)
                told.append((True, count))
            case "refuse":
                told.append((False, count))
    assert told == [(True, 1), (False, 1), (True, 0), (True, -1), (False, -1)]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=30),
    st.integers(0, 30),
    st.sampled_from([0, 10, 35]),
)
def test_the_saved_vote_and_the_count_agree_while_votes_do_not_expire(
    steps: list[tuple[bool, int]], locked: int, expires: int
) -> None:
    """Between two expirations the count moves by what the saved vote says, and back when it is undone."""
    kept: Object | None = None
    now, count, base = NOW, 0, 0
    for up, seconds in steps:
        now += seconds * 1000
        decision = votes.decide(kept, up, now)
        if decision != "refuse":
            count += 1 if up else -1
        if decision == "save":
            base = count - (1 if up else -1)
            kept = saved("up" if up else "down", now, locked, expires)
        elif decision == "undo":
            kept = None
            assert count == base
        if kept is not None:
            assert count == base + (1 if kept.own["value"] == "up" else -1)


@pytest.mark.parametrize(
    ("voter", "allowed"), [("u1", True), ("", False), (" ", False), ("p1", False), ("maker", False), ("P1", True)]
)
def test_who_may_vote(voter: str, allowed: bool) -> None:
    post = draft("app", "post", "p1", {"creatorid": "maker"}, now_ms=NOW, docid=1)
    assert votes.may_vote(voter, post) is allowed
    for kind in ("vote", "app"):
        assert not votes.may_vote(voter, draft("app", kind, "p1", {}, now_ms=NOW, docid=1))


BALLOTS: list[tuple[JsonObject, tuple[str, bool, int, int]]] = [
    ({"_voteup": "u"}, ("u", True, 30, 60)),
    ({"_votedown": "u"}, ("u", False, 30, 60)),
    ({"_voteup": "u", "_votedown": "v", "name": "ignored"}, ("u", True, 30, 60)),
    ({"_voteup": None, "_votedown": "v"}, ("v", False, 30, 60)),
    ({"_voteup": None}, ("", False, 30, 60)),
    ({"_voteup": 17}, ("17", True, 30, 60)),
    ({"_voteup": "u", "_vote_locked_after": 5, "_vote_expires_after": 0}, ("u", True, 5, 0)),
    ({"_voteup": "u", "_vote_locked_after": "5", "_vote_expires_after": 7.0}, ("u", True, 5, 7)),
    ({"_voteup": "u", "_vote_locked_after": None}, ("u", True, 30, 60)),
]


@pytest.mark.parametrize(("body", "cast"), BALLOTS)
def test_ballots(body: JsonObject, cast: tuple[str, bool, int, int]) -> None:
    assert votes.is_ballot(body)
    assert votes.ballot(body, locked_after=30, expires_after=60) == votes.Ballot(*cast)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"_voteup": ["u"]}, "_voteup"),
        ({"_votedown": {"id": "u"}}, "_votedown"),
        ({"_voteup": True}, "_voteup"),
        ({"_voteup": 1.5}, "_voteup"),
        ({"_voteup": "u", "_vote_locked_after": -1}, "_vote_locked_after"),
        ({"_voteup": "u", "_vote_locked_after": 1.5}, "_vote_locked_after"),
        ({"_voteup": "u", "_vote_locked_after": True}, "_vote_locked_after"),
        ({"_voteup": "u", "_vote_expires_after": "soon"}, "_vote_expires_after"),
        ({"_voteup": "u", "_vote_expires_after": "-1"}, "_vote_expires_after"),
        ({"_voteup": "u", "_vote_expires_after": []}, "_vote_expires_after"),
        ({"_voteup": "u", "_vote_expires_after": 10**30}, "_vote_expires_after"),
    ],
)
def test_a_wrong_ballot_names_the_field(body: JsonObject, field: str) -> None:
    with pytest.raises(ConstraintViolation) as refused:
        votes.ballot(body, locked_after=30, expires_after=60)
    assert refused.value.field == field


def test_a_vote_object_has_neither_tags_nor_votes() -> None:
    body: JsonObject = {"value": "up", "lockedAfter": 1, "expiresAfter": 2, "tags": ["a"], "votes": 7}
    wire = draft("app", "vote", "vote:u:p", body, now_ms=NOW, docid=1).wire()
    assert not {"tags", "votes"} & wire.keys()
    assert {"value": "up", "lockedAfter": 1, "expiresAfter": 2}.items() <= wire.items()
