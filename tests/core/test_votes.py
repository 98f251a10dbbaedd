"""Promise: an object's count and the votes of its voters change together, and voters who come at once all count."""

import asyncio
from pathlib import Path

import pytest

from support.aio import run
from support.backend import open_backend, owner, totals
from support.environment import ManualClock
from thingstead.core.backend import Backend
from thingstead.core.objects import Draft
from thingstead.model.errors import Conflict, NotFound
from thingstead.model.events import Event, ObjectChanged, everything
from thingstead.model.principals import Principal
from thingstead.model.votes import Ballot

APP = "para"
ME = owner(APP)


async def post(backend: Backend, id: str = "p1", **body: str) -> None:
    await backend.objects.create(APP, Draft(type="post", id=id, body={"name": id, **body}), ME)


async def cast(backend: Backend, voter: str, way: str, id: str = "p1", locked: int = 30, expires: int = 3600) -> bool:
    return await backend.votes.vote(APP, id, Ballot(voter, way == "up", locked, expires), ME)


async def standing(backend: Backend, id: str = "p1") -> tuple[int, int]:
    """The count on the object, and what the vote objects add up to."""
    votes = await backend.objects.list(APP, type="vote", parent=id)
    return (await backend.objects.get(APP, id)).votes, sum(1 if v.own["value"] == "up" else -1 for v in votes)


def test_the_reference_sequence(tmp_path: Path) -> None:
    async def work() -> None:
        clock = ManualClock()
        async with open_backend(tmp_path, clock=clock) as backend:
            await post(backend)
            for way, counted, votes in (
                ("up", True, 1),
                ("up", False, 1),
                ("down", True, 0),
                ("down", True, -1),
                ("down", False, -1),
            ):
                clock.advance(1)
                assert await cast(backend, "u1", way) is counted
                assert await standing(backend) == (votes, votes)
            vote = (await backend.objects.get(APP, "vote:u1:p1")).wire()
            told = {"creatorid": "u1", "parentid": "p1", "value": "down", "lockedAfter": 30, "expiresAfter": 3600}
            assert told.items() <= vote.items()
            assert not {"votes", "tags"} & vote.keys()
            clock.advance(30)
            assert not await cast(backend, "u1", "up")
            clock.advance(3600)
            assert await cast(backend, "u1", "up")
            assert await standing(backend) == (0, 1)  # an expired vote counts on
            assert (await backend.objects.get(APP, "vote:u1:p1")).own["value"] == "up"
            await backend.objects.delete(APP, "vote:u1:p1", ME)
            assert await standing(backend) == (0, 0)

    run(work())


@pytest.mark.parametrize("voter", ["", " ", "p1", "maker"])
def test_refused_votes_change_nothing(tmp_path: Path, voter: str) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await post(backend, creatorid="maker")
            before = await totals(backend)
            assert not await cast(backend, voter, "up")
            with pytest.raises(NotFound):
                await cast(backend, "u1", "up", "nowhere")
            assert await totals(backend) == before

    run(work())


def test_two_hundred_voters_at_once_and_a_writer_beside_them(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await post(backend)
            votes = asyncio.gather(*(cast(backend, f"u{n}", "up") for n in range(200)))
            for n in range(20):
                await backend.objects.patch(APP, "p1", {f"k{n}": n}, ME)
            assert all(await votes)
            assert await standing(backend) == (200, 200)
            assert (await backend.objects.get(APP, "p1")).custom == {f"k{n}": n for n in range(20)}

    run(work(), 60)


def test_one_voter_many_times_at_once_counts_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await post(backend)
            counted = await asyncio.gather(*(cast(backend, "u1", "up") for _ in range(20)))
            assert counted.count(True) == 1
            assert await standing(backend) == (1, 1)

    run(work())


def test_votes_and_patches_of_one_object_at_once_lose_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await post(backend)
            await asyncio.gather(
                *(cast(backend, f"u{n}", "up") for n in range(20)),
                *(backend.objects.patch(APP, "p1", {f"k{n}": n}, ME) for n in range(20)),
            )
            assert await standing(backend) == (20, 20)
            assert (await backend.objects.get(APP, "p1")).custom == {f"k{n}": n for n in range(20)}

    run(work())


def test_a_vote_moves_updated_and_the_version_and_is_heard(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await backend.objects.create(APP, Draft(type="post", id="p1", body={"name": "p", "version": 3}), ME)
            heard: list[Event] = []
            backend.hub.tap([everything(APP)], heard.append)
            assert await cast(backend, "u1", "up")
            obj = await backend.objects.get(APP, "p1")
            assert (obj.version, obj.updated is not None) == (4, True)
            assert {(e.type, e.op) for e in heard if isinstance(e, ObjectChanged)} == {
                ("post", "update"),
                ("vote", "create"),
            }

    run(work())


def test_a_users_request_may_name_another_voter(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await post(backend)
            actor = Principal("user", APP, "someone")
            assert await backend.votes.vote(APP, "p1", Ballot("u1", True, 30, 60), actor)
            assert (await backend.objects.get(APP, "vote:u1:p1")).creatorid == "u1"
            assert not await backend.votes.vote(APP, "p1", Ballot("u1", True, 30, 60), actor)

    run(work())


def test_two_votes_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await post(backend, "p")
            await post(backend, "u:p")
            assert await cast(backend, "v:u", "up", "p")
            before = await totals(backend)
            with pytest.raises(Conflict):
                await cast(backend, "v", "up", "u:p")
            assert await totals(backend) == before

    run(work())


def test_things_are_voted_for_and_keep_what_they_are(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            thing = Draft(type="thing", body={"name": "kit", "kitId": "k1"}, credentials=True)
            id = (await backend.objects.create(APP, thing, ME)).object.id
            private = (await backend.objects.get(APP, id)).hidden
            assert await cast(backend, "u1", "down", id)
            obj = await backend.objects.get(APP, id)
            assert (obj.votes, obj.hidden) == (-1, private)

    run(work())
