"""Promise: every write that a webhook listens to arrives there: signed, in order, at least once, whatever the receiver
does; and a receiver that does not answer is nobody else's trouble.
"""

import asyncio
import base64
import hashlib
import hmac
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support import backend as support
from support.aio import run, until
from support.backend import owner
from support.environment import ManualClock
from support.receiver import Call, Receiver
from thingstead.core.backend import Backend
from thingstead.core.ingest import Report
from thingstead.core.objects import Draft
from thingstead.model import webhooks as rules
from thingstead.model.errors import ConstraintViolation
from thingstead.model.values import JsonObject, parse_object
from thingstead.model.votes import Ballot

APP = "shop"
ME = owner(APP)
ON: dict[str, Any] = {"webhooks_enabled": True, "outbound_allow": "127.0.0.0/8"}
ALL: JsonObject = dict.fromkeys(rules.EVENTS, True)


@asynccontextmanager
async def open_backend(directory: Path, **more: Any) -> AsyncIterator[Backend]:
    """A backend with an app of its own: in the root app, registering a type is an event as well."""
    async with support.open_backend(directory, **more) as backend:
        await backend.tenants.ensure(APP)
        yield backend


async def hook(backend: Backend, url: str, body: JsonObject, *, app: str = APP) -> str:
    """A webhook as POST makes it."""
    draft = Draft(type="webhook", body={"targetUrl": url, "secret": "s", **body}, posted=True)
    return (await backend.objects.create(app, draft, owner(app))).object.id


async def make(backend: Backend, id: str | None = None, type: str = "cat", **body: Any) -> str:
    draft = Draft(type=type, body=body if id is None else {"id": id, **body})
    return (await backend.objects.create(APP, draft, ME)).object.id


async def arrived(receiver: Receiver, count: int) -> list[Call]:
    async def there() -> bool:
        return len(receiver.calls) >= count

    await until(there, 15)
    return list(receiver.calls)


async def settled(backend: Backend) -> None:
    """Nothing waits to be sent."""

    async def empty() -> bool:
        return (await backend.webhooks.count()).waiting == 0

    await until(empty, 15)


def told(receiver: Receiver) -> list[tuple[str, list[str]]]:
    """(event, ids of the items) in the order of arrival."""
    return [(event["event"], [item["id"] for item in event["items"]]) for event in receiver.events]


def test_each_write_raises_its_event_in_order(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await make(backend, "before")
            await hook(backend, receiver.url, ALL)
            await make(backend, "a", name="A")
            await backend.objects.overwrite(APP, Draft(type="cat", body={"name": "B"}, id="a"), ME)
            await backend.objects.patch(APP, "a", {"name": "C"}, ME)
            drafts = [Draft(type="cat", body={"id": id}) for id in ("b", "c")]
            drafts.append(Draft(type="tag", body={"tag": "t"}))
            await backend.objects.create_many(APP, drafts, ME)
            await backend.objects.patch_many(APP, [("b", {"x": 1}), ("c", {"x": 1}), ("gone", {"x": 1})], ME)
            await backend.objects.delete(APP, "a", ME)
            await backend.objects.delete(APP, "a", ME)
            await backend.objects.delete_many(APP, ["b", "c", "gone"], ME)
            await settled(backend)
            assert told(receiver) == [
                ("create", ["a"]),
                ("create", ["a"]),
                ("update", ["a"]),
                ("createAll", ["b", "c", "tag:t"]),
                ("updateAll", ["b", "c"]),
                ("delete", ["a"]),
                ("deleteAll", ["b", "c"]),
            ]
            events = receiver.events
            assert [event["items"][0]["name"] for event in events[:3]] == ["A", "B", "C"]
            assert {event["appid"] for event in events} == {APP}
            assert all(isinstance(event["timestamp"], int) for event in events)

    with Receiver() as receiver:
        run(work(receiver))


def test_the_request_is_exactly_what_receivers_know(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            secret = "geheim ü"
            for encoded in (True, False):
                receiver.calls.clear()
                id = await hook(
                    backend, receiver.url + "?x=1", {"create": True, "secret": secret, "urlEncoded": encoded}
                )
                await make(backend, "a", name="Füchse & Hühner +%")
                [call] = await arrived(receiver, 1)
                assert call.path == "/hook?x=1"
                assert call.headers["user-agent"].startswith("Para Webhook Dispacher 1.")
                assert call.headers["x-para-event"] == "create"
                kind = "application/x-www-form-urlencoded" if encoded else "application/json"
                assert call.headers["content-type"] == kind
                assert call.body.startswith(b"payload=%7B%22appid%22") is encoded
                expected = base64.b64encode(hmac.new(secret.encode(), call.payload, hashlib.sha256).digest()).decode()
                assert call.headers["x-webhook-signature"] == expected
                assert call.event["items"][0] == parse_object(await backend.objects.public(APP, "a"))
                await backend.objects.delete(APP, id, ME)

    with Receiver() as receiver:
        run(work(receiver))


def test_the_apps_own_secret_signs_where_it_is_asked_for(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await hook(backend, receiver.url, {"create": True, "secret": "{{secretKey}}"})
            await make(backend)
            [call] = await arrived(receiver, 1)
            secret = (await backend.tenants.get(APP)).secret
            assert call.headers["x-webhook-signature"] == rules.signature(call.payload, secret)

    with Receiver() as receiver:
        run(work(receiver))


POSTED: list[tuple[JsonObject, JsonObject]] = [
    ({}, {"active": False, "urlEncoded": True, "tooManyFailures": False, "customEvents": [], "create": False}),
    ({"update": True}, {"active": True, "update": True, "typeFilter": None}),
    ({"report": True}, {"active": True}),
    ({"customEvents": ["x"]}, {"active": True, "customEvents": ["x"]}),
    ({"update": True, "active": False}, {"active": False}),
    ({"update": "true", "urlEncoded": "false"}, {"active": True, "update": True, "urlEncoded": False}),
    ({"repeatedDeliveryAttempts": -7}, {"repeatedDeliveryAttempts": 7}),
    ({"repeatedDeliveryAttempts": 1000}, {"repeatedDeliveryAttempts": 100}),
    ({"secret": "mine"}, {"secret": "mine"}),
]


def test_what_a_post_makes_of_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            for body, expected in POSTED:
                draft = Draft(type="webhook", body={"targetUrl": "https://t.example/h", **body}, posted=True)
                made = await backend.objects.create(APP, draft, ME)
                shown = parse_object(made.public)
                assert {name: shown.get(name) for name in expected} == expected, body
                if "secret" not in body:
                    assert len(base64.b64decode(str(shown["secret"]), validate=True)) == 32
                put = await backend.objects.overwrite(APP, Draft(type="webhook", body=draft.body, id="p"), ME)
                assert put.object.own.get("secret") == body.get("secret")
                assert put.object.own["active"] is (body.get("active") is True)

    run(work())


def test_a_bad_target_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            targets: list[Any] = ["", "nonsense", "ftp://x/y", "http://u:p@x/", "http://x/#y", 5]
            for url in targets:
                for op in (backend.objects.create, backend.objects.overwrite):
                    draft = Draft(type="webhook", body={"id": "w", "targetUrl": url}, id="w", posted=True)
                    with pytest.raises(ConstraintViolation) as caught:
                        await op(APP, draft, ME)
                    assert caught.value.field == "targetUrl"
            await backend.objects.create(APP, Draft(type="webhook", body={"id": "w", "targetUrl": "http://x"}), ME)
            for url in targets:
                with pytest.raises(ConstraintViolation):
                    await backend.objects.patch(APP, "w", {"targetUrl": url}, ME)

    run(work())


def test_an_empty_secret_in_a_patch_keeps_the_secret_and_nobody_finds_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            id = await hook(backend, "https://t.example/h", {"create": True, "secret": "verysecretword"})
            patched = await backend.objects.patch(APP, id, {"secret": "", "name": "N"}, ME)
            assert patched.object.own["secret"] == "verysecretword"
            assert "secret" not in patched.object.searchable()

    run(work())


def test_filters_and_changes_of_webhooks_count_from_their_answer_on(tmp_path: Path) -> None:
    async def work(one: Receiver, two: Receiver, three: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            cats = await hook(backend, one.url, {"create": True, "createAll": True, "typeFilter": "CAT"})
            await hook(backend, two.url, {"create": True, "typeFilter": "*", "propertyFilter": "tags:red|blue"})
            await hook(backend, three.url, {"create": True, "active": False})
            await make(backend, "a", tags=["red"])
            await make(backend, "b", type="dog", tags=["blue"])
            await make(backend, "c", tags=["green"])
            for order in (("dog", "cat"), ("cat", "dog")):
                drafts = [Draft(type=kind, body={"id": f"{order[0]}-{kind}"}) for kind in order]
                await backend.objects.create_many(APP, drafts, ME)
            await backend.objects.patch(APP, cats, {"typeFilter": "dog"}, ME)
            await make(backend, "d")
            await make(backend, "e", type="dog")
            await settled(backend)
            await backend.objects.delete(APP, cats, ME)
            await make(backend, "f", type="dog")
            again = await hook(backend, one.url, {"create": True})
            await make(backend, "g", type="dog")
            await settled(backend)
            await backend.objects.patch(APP, again, {"active": False}, ME)
            await make(backend, "h")
            await settled(backend)
            assert not three.calls
            assert told(two) == [("create", ["a"]), ("create", ["b"])]
            assert [ids for _, ids in told(one)] == [["a"], ["c"], ["cat-cat", "cat-dog"], ["e"], ["g"]]

    with Receiver() as one, Receiver() as two, Receiver() as three:
        run(work(one, two, three))


def test_links_and_votes_are_writes_too(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            for id in ("a", "b", "c"):
                await make(backend, id)
            await hook(backend, receiver.url, ALL)
            links = [await backend.links.link(APP, "a", other, ME) for other in ("b", "c")]
            await backend.links.unlink(APP, "a", "cat", "b", ME)
            await backend.links.link(APP, "a", "b", ME)
            await backend.links.unlink_all(APP, "a", ME)
            for vote in (Ballot("ann", True, 30, 100), Ballot("ann", False, 30, 100)):
                assert await backend.votes.vote(APP, "a", vote, ME)
            await settled(backend)
            events = [(name, sorted(ids)) for name, ids in told(receiver)]
            assert events == [
                ("create", [links[0]]),
                ("create", [links[1]]),
                ("delete", [links[0]]),
                ("create", [links[0]]),
                ("deleteAll", sorted(links)),
                ("update", ["a"]),
                ("create", ["vote:ann:a"]),
                ("update", ["a"]),
                ("delete", ["vote:ann:a"]),
            ]

    with Receiver() as receiver:
        run(work(receiver))


def test_what_goes_with_another_object_is_told_too(tmp_path: Path) -> None:
    """Sensors and metadata of a deleted thing, one `deleteAll` for each type; the mirror of a link that is replaced."""

    async def work(receiver: Receiver, sensors: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            thing = await make(backend, type="thing", name="T")
            await backend.ingest.report(Report(app=APP, thing=thing, reported={"a": 1, "b": 2}))
            found = [obj.id for obj in await backend.objects.list(APP, type="sensor", parent=thing)]
            notes = [await make(backend, f"m{n}", "metadata", parentid=found[n]) for n in (0, 1)]
            alone = await make(backend, type="thing", name="U")
            await hook(backend, receiver.url, {"delete": True, "deleteAll": True})
            await hook(backend, sensors.url, {"deleteAll": True, "typeFilter": "metadata"})
            for id in (thing, alone):
                assert await backend.objects.delete(APP, id, ME)
            await settled(backend)
            assert [(event, sorted(ids)) for event, ids in told(receiver)] == [
                ("delete", [thing]),
                ("deleteAll", sorted(found)),
                ("deleteAll", sorted(notes)),
                ("delete", [alone]),
            ]
            assert [(event, sorted(ids)) for event, ids in told(sensors)] == [("deleteAll", notes)]
            assert receiver.events[1]["items"][0]["parentid"] == thing

    async def mirrors(receiver: Receiver) -> None:
        async with open_backend(tmp_path / "mirror", **ON) as backend:
            for id in ("a", "b"):
                await make(backend, id)
            mirrored = await backend.links.link(APP, "b", "a", ME)
            await hook(backend, receiver.url, ALL)
            link = await backend.links.link(APP, "a", "b", ME)
            assert link != mirrored
            await settled(backend)
            assert told(receiver) == [("create", [link]), ("delete", [mirrored])]

    with Receiver() as receiver, Receiver() as sensors:
        run(work(receiver, sensors))
    with Receiver() as receiver:
        run(mirrors(receiver))


def test_webhooks_raise_no_events_and_apps_never_meet(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await backend.tenants.create("other")
            await hook(backend, receiver.url, ALL, app="other")
            id = await hook(backend, receiver.url, ALL, app="other")
            await backend.objects.patch("other", id, {"name": "N"}, owner("other"))
            await backend.objects.delete_many("other", [id], owner("other"))
            await make(backend, "mine")
            await backend.objects.create("other", Draft(type="cat", body={"id": "theirs"}), owner("other"))
            await settled(backend)
            assert told(receiver) == [("create", ["theirs"])]

    with Receiver() as receiver:
        run(work(receiver))


def test_a_new_type_is_a_create_of_the_app_in_root(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await hook(backend, receiver.url, {"create": True, "typeFilter": "app"}, app="para")
            await backend.tenants.create("other")
            await backend.objects.create("other", Draft(type="ferret", body={}), owner("other"))
            calls = await arrived(receiver, 2)
            assert told(receiver) == [("create", ["app:other"])] * 2
            assert calls[1].event["items"][0]["datatypes"] == {"ferrets": "ferret"}
            assert b"secret" not in calls[1].payload

    with Receiver() as receiver:
        run(work(receiver))


def test_settings_and_constraints_are_updates_of_the_app_in_root(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await hook(backend, receiver.url, ALL, app="para")
            await backend.tenants.put_setting(APP, "color", "crimson")
            await backend.tenants.add_constraint(APP, "cat", "name", "required", {})
            await backend.tenants.new_keys(APP)
            await settled(backend)
            assert told(receiver)[0] == ("update", ["app:shop"])
            assert [name for name, _ in told(receiver) if name == "update"] == ["update"] * 2
            assert told(receiver)[-1] == ("create", ["app:shop"])
            assert not any(b"crimson" in call.payload for call in receiver.calls), "settings are shown nowhere else"

    with Receiver() as receiver:
        run(work(receiver))


def test_a_refused_write_raises_nothing_and_a_raced_one_once(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await make(backend, "a")
            await hook(backend, receiver.url, {"update": True, "updateAll": True, "create": True})
            with pytest.raises(ConstraintViolation):
                await backend.objects.create(APP, Draft(type="address", body={}), ME)
            await asyncio.gather(*(backend.objects.patch(APP, "a", {f"k{n}": n}, ME) for n in range(20)))
            await backend.objects.patch_many(APP, [("a", {"x": n}) for n in range(3)], ME)
            await settled(backend)
            names = [event["event"] for event in receiver.events]
            assert names == ["update"] * 20 + ["updateAll"] * 3
            seen = [sum(key[0] == "k" for key in event["items"][0]) for event in receiver.events[:20]]
            assert seen == list(range(1, 21))

    with Receiver() as receiver:
        run(work(receiver))


def test_reports_of_a_commit_come_together(tmp_path: Path) -> None:
    async def work(receiver: Receiver, other: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            hall = (await backend.objects.create(APP, Draft(type="thing", body={"name": "hall"}), ME)).object.id
            shed = (await backend.objects.create(APP, Draft(type="thing", body={"name": "shed"}), ME)).object.id
            await backend.ingest.report(Report(app=APP, thing=hall, reported={"temp": 1}))
            await hook(backend, receiver.url, {"report": True})
            await hook(backend, other.url, {"report": True, "typeFilter": "thing", "propertyFilter": "name:shed"})
            reports = [
                Report(app=APP, thing=hall, reported={"temp": 2.5, "room": {"floor": 3}}, time=1_700_000_000_123_456),
                Report(app=APP, thing=shed, reported={"door": "open"}),
                Report(app=APP, thing=hall, reported={"temp": None}),
                Report(app=APP, thing=hall, desired={"temp": 5}),
            ]
            outcomes = await backend.ingest.accept(reports)
            await settled(backend)
            [event] = receiver.events
            assert (event["event"], event["appid"]) == ("report", APP)
            assert event["items"] == [
                {
                    "id": hall,
                    "type": "thing",
                    "time": 1_700_000_000_123,
                    "version": outcomes[0].version,
                    "readings": {"temp": 2.5, "room.floor": 3},
                },
                {
                    "id": shed,
                    "type": "thing",
                    "time": outcomes[1].time // 1000,
                    "version": 1,
                    "readings": {"door": "open"},
                },
            ]
            assert [event["items"] for event in other.events] == [event["items"][1:]]

    with Receiver() as receiver, Receiver() as other:
        run(work(receiver, other))


def test_nothing_is_queued_where_nobody_listens(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:  # webhooks are off
            await hook(backend, "https://t.example/h", ALL)
            await make(backend)
            assert (await backend.webhooks.count()).waiting == 0
        async with open_backend(tmp_path / "on", **ON) as backend:
            await hook(backend, "https://t.example/h", {"delete": True})
            await make(backend)
            assert (await backend.webhooks.count()).waiting == 0

    run(work())


def test_custom_events(tmp_path: Path) -> None:
    async def work(one: Receiver, two: Receiver, direct: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await hook(backend, one.url, {"customEvents": ["post.like", "other"]})
            await hook(backend, two.url, {"customEvents": ["post.like"], "typeFilter": "cat"})
            body: JsonObject = {"triggeredEvent": "post.like", "customPayload": {"n": 1}}
            shown = parse_object((await backend.webhooks.trigger(APP, body)).public())
            assert shown["id"] == "triggered:post.like"
            assert [shown[name] for name in ("stored", "indexed", "cached")] == [False] * 3
            assert "customPayload" not in shown
            await backend.webhooks.trigger(APP, {"triggeredEvent": "nobody", "customPayload": 5})
            given: JsonObject = {**body, "targetUrl": direct.url, "secret": "mine", "urlEncoded": False}
            assert b"mine" not in (await backend.webhooks.trigger(APP, given)).public()
            await settled(backend)
            assert not two.calls
            assert [(event["event"], event["items"]) for event in one.events] == [("post.like", [{"n": 1}])] * 2
            [call] = direct.calls
            assert call.headers["x-webhook-signature"] == rules.signature(call.body, "mine")
            assert await backend.store.objects.get(APP, "triggered:post.like") is None
            for bad in (5, "a\nb", "x" * 256, {}):
                with pytest.raises(ConstraintViolation):
                    await backend.webhooks.trigger(APP, {"triggeredEvent": bad})
            with pytest.raises(ConstraintViolation):
                await backend.webhooks.trigger(APP, {**given, "targetUrl": "ftp://x"})

    with Receiver() as one, Receiver() as two, Receiver() as direct:
        run(work(one, two, direct))


def test_the_same_payload_as_often_as_asked_and_failures_again(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            answers = iter([200, 500, 200])
            receiver.answer = lambda _: next(answers, 200)
            await hook(backend, receiver.url, {"create": True, "repeatedDeliveryAttempts": 4})
            await make(backend, "a")
            await settled(backend)
            assert len(receiver.calls) == 5
            assert len({call.payload for call in receiver.calls}) == 1
            assert (backend.webhooks.stats.delivered, backend.webhooks.stats.failed) == (4, 1)

    with Receiver() as receiver:
        run(work(receiver))


def test_whatever_is_no_success_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken connection, a redirect (never followed), an error."""
    monkeypatch.setattr(rules, "WAITS", (0.05,))

    async def work(receiver: Receiver, elsewhere: Receiver) -> None:
        async with open_backend(tmp_path, max_failed_webhook_attempts=100, **ON) as backend:
            receiver.location = elsewhere.url
            receiver.size = 0
            await hook(backend, receiver.url, {"create": True})
            for status in (None, 301, 307, 400, 404, 500, 503):
                receiver.calls.clear()
                receiver.answer = lambda _, status=status: status if len(receiver.calls) == 1 else 204
                first, second = await make(backend), await make(backend)
                await settled(backend)
                assert [ids for _, ids in told(receiver)] == [[first], [first], [second]], status
            assert not elsewhere.calls

    with Receiver() as receiver, Receiver() as elsewhere:
        run(work(receiver, elsewhere))


def test_a_huge_answer_is_not_read(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            receiver.size = 1 << 30
            await hook(backend, receiver.url, {"create": True})
            for _ in range(3):
                await make(backend)
            await settled(backend)
            assert len(receiver.calls) == 3
            assert backend.webhooks.stats.delivered == 3

    with Receiver() as receiver:
        run(work(receiver))


def test_no_answer_in_time_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thingstead.core.outbound.SECONDS", 0.2)
    hanging = threading.Event()

    def hang(_: Call) -> int:
        return 200 if len(receiver.calls) > 1 or hanging.wait(20) else 500

    async def work() -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await hook(backend, receiver.url, {"create": True})
            await make(backend)
            await settled(backend)
            hanging.set()
            assert (backend.webhooks.stats.failed, backend.webhooks.stats.delivered) == (1, 1)

    with Receiver(answer=hang) as receiver:
        run(work())


def test_a_slow_receiver_is_nobody_elses_trouble(tmp_path: Path) -> None:
    """While one hangs, another gets its events, in order; at the end the first gets its own too."""
    hanging = threading.Event()

    def hang(_: Call) -> int:
        hanging.wait(20)
        return 200

    async def work(slow: Receiver, quick: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await hook(backend, slow.url, {"create": True, "typeFilter": "cat"})
            await hook(backend, quick.url, {"create": True, "typeFilter": "cat"})
            ids = [await make(backend) for _ in range(40)]
            await arrived(quick, 40)
            assert [sent for _, [sent] in told(quick)] == ids
            assert len(slow.calls) == 1
            hanging.set()
            await settled(backend)
            assert [sent for _, [sent] in told(slow)] == ids

    with Receiver(answer=hang) as slow, Receiver() as quick:
        run(work(slow, quick))


def test_what_waits_for_a_slow_receiver_is_bounded(tmp_path: Path) -> None:
    """What does not fit is dropped and counted, the write itself goes on; the bound outlives a restart, and once there
    is room events come again."""
    hanging = threading.Event()

    def hang(_: Call) -> int:
        hanging.wait(20)
        return 200

    async def work(slow: Receiver, quick: Receiver) -> None:
        async with open_backend(tmp_path, **ON, webhooks_max_backlog=5) as backend:
            await hook(backend, slow.url, {"create": True, "typeFilter": "cat"})
            await hook(backend, quick.url, {"create": True, "typeFilter": "cat"})
            ids: list[str] = []
            for n in range(9):
                ids.append(await make(backend))
                await arrived(quick, n + 1)
            assert backend.webhooks.dropped == 4
            assert [obj.id for obj in await backend.objects.list(APP, type="cat")] == ids
        async with open_backend(tmp_path, **ON, webhooks_max_backlog=5) as backend:
            ids.append(await make(backend))
            await arrived(quick, 10)
            assert backend.webhooks.dropped == 1, "what waited at the end of the last run counts"
            hanging.set()
            await settled(backend)
            kept = [sent for _, [sent] in told(slow)]
            assert list(dict.fromkeys(kept)) == ids[:5]
            last = await make(backend)
            await settled(backend)
            assert told(slow)[-1] == ("create", [last])

    with Receiver(answer=hang) as slow, Receiver() as quick:
        run(work(slow, quick))


def test_an_event_that_keeps_failing_steps_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "WAITS", (0.05, 0.05, 0.6))

    def choosy(call: Call) -> int:
        return 500 if call.event["items"][0]["id"] == "bad" and len(receiver.calls) < 6 else 200

    async def work() -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await hook(backend, receiver.url, {"create": True, "typeFilter": "cat"})
            for id in ("bad", "b", "c"):
                await make(backend, id)
            await settled(backend)
            assert [id for _, [id] in told(receiver)] == ["bad", "bad", "bad", "b", "c", "bad"]

    with Receiver(answer=choosy) as receiver:
        run(work())


def test_after_too_many_failures_it_is_disabled_until_it_is_set_active(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, max_failed_webhook_attempts=2, webhooks_max_attempts=1, **ON) as backend:
            id = await hook(backend, receiver.url, {"create": True, "typeFilter": "cat"})

            async def state() -> tuple[object, object]:
                own = (await backend.objects.get(APP, id)).own
                return own["active"], own["tooManyFailures"]

            for number in (1, 2):
                await make(backend)
                await arrived(receiver, number)
                await settled(backend)
                assert await state() == ((True, False) if number == 1 else (False, True))
            await make(backend)
            assert (await backend.webhooks.count()).waiting == 0
            assert len(receiver.calls) == 2
            stats = backend.webhooks.stats
            assert (stats.delivered, stats.failed, stats.given_up, stats.disabled) == (0, 2, 2, 1)
            await backend.objects.patch(APP, id, {"name": "still off"}, ME)
            assert await state() == (False, True)
            await backend.objects.patch(APP, id, {"active": True}, ME)
            assert await state() == (True, False)
            receiver.answer = lambda _: 200
            await make(backend)
            await arrived(receiver, 3)

    with Receiver(answer=lambda _: 500) as receiver:
        run(work(receiver))


def test_failures_are_forgotten_ten_minutes_after_the_last_and_not_by_a_success(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        clock = ManualClock()
        more: dict[str, Any] = {"max_failed_webhook_attempts": 3, "webhooks_max_attempts": 1, **ON}
        async with open_backend(tmp_path, clock=clock, **more) as backend:
            id = await hook(backend, receiver.url, {"create": True, "typeFilter": "cat"})

            async def event(status: int) -> bool:
                receiver.answer = lambda _: status
                await make(backend)
                await settled(backend)
                return (await backend.objects.get(APP, id)).own["active"] is True

            assert await event(500)
            clock.advance(599)
            assert await event(500)
            assert await event(200)
            clock.advance(601)
            assert await event(500)
            assert await event(500)
            assert await event(200)
            assert not await event(500)

    with Receiver() as receiver:
        run(work(receiver))


def test_private_addresses_are_refused_unless_allowed(tmp_path: Path) -> None:
    """By address and by name; refused means: no connection is made."""

    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, webhooks_enabled=True, webhooks_max_attempts=1) as backend:
            for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f.1"):
                await hook(backend, f"http://{host}:{receiver.port}/h", {"create": True, "typeFilter": "cat"})
            await make(backend)
            await settled(backend)
            assert backend.webhooks.stats.given_up == 7
            assert not receiver.calls

    with Receiver() as receiver:
        run(work(receiver))


def test_what_is_not_sent_is_sent_after_the_next_start(tmp_path: Path) -> None:
    """The receiver is down, the server ends; both come back."""

    async def before(url: str) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await hook(backend, url, {"create": True, "typeFilter": "cat"})
            for id in ("a", "b"):
                await make(backend, id)

    async def after(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON, queue_polling_interval=1) as backend:
            await arrived(receiver, 2)
            await settled(backend)
            assert [id for _, [id] in told(receiver)] == ["a", "b"]

    with Receiver() as receiver:
        pass
    run(before(receiver.url))
    with Receiver(receiver.port) as receiver:
        run(after(receiver))


def test_no_secret_is_logged_or_queued(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await hook(backend, receiver.url + "/path-token", {"create": True, "secret": "hush-hush"})
            await make(backend)
            await arrived(receiver, 1)

            async def failed() -> bool:
                return backend.webhooks.stats.failed > 0

            await until(failed)
            body = {"triggeredEvent": "x", "targetUrl": receiver.url, "secret": "hush-hush"}
            await backend.webhooks.trigger(APP, dict(body))
            for leased in await backend.store.queue.lease(rules.QUEUE, 10, 1):
                assert b"hush-hush" not in leased.body

    with Receiver(answer=lambda _: 500) as receiver:
        run(work(receiver))
    assert "answered 500" in caplog.text
    assert "hush-hush" not in caplog.text
    assert "path-token" not in caplog.text
