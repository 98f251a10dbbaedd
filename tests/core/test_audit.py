"""Promise: what matters to an app's security is told in lines that nobody can forge and in objects that the app can
read and nobody can write; a flood costs a bounded number of either (docs/explanation/audit.md)."""

import logging
from collections.abc import Generator
from pathlib import Path

import pytest

from support.aio import run
from support.backend import open_built, owner
from support.client import Client
from support.environment import ManualClock
from support.listening import Listening, listening
from support.people import person
from thingstead.core.audit import LOGGER, OF_APP
from thingstead.core.objects import Draft
from thingstead.doors import objects
from thingstead.model import audit as rules
from thingstead.model.errors import InvalidInput
from thingstead.model.values import parse_object

TRAIL = rules.trail_of("para")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger=LOGGER)
    return caplog


def test_equal_events_of_a_minute_are_one(tmp_path: Path, lines: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with open_built(tmp_path, clock=clock) as built:
            audit, store = built.backend.audit, built.backend.store
            for n in range(500):
                audit.note(
                    "refused", "para", "mallory", rule="r", resource="GET /v1/dogs", address=f"192.0.2.{n % 250}"
                )
            await audit.write()
            assert await store.objects.count(TRAIL) == 1
            assert len(lines.messages) == 1
            clock.advance(61)
            await audit.write()
            assert await store.objects.count(TRAIL) == 1
            assert lines.messages[1].endswith('count="500"')
            shown = parse_object((await store.objects.scan(TRAIL))[0].public)
            expected = {
                "type": "audit",
                "appid": "para",
                "event": "refused",
                "actor": "mallory",
                "count": 500,
                "rule": "r",
            }
            assert shown.items() >= expected.items()

    run(main())


def test_a_flood_of_different_events_is_bounded(tmp_path: Path, lines: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with open_built(tmp_path, clock=ManualClock()) as built:
            audit, store = built.backend.audit, built.backend.store
            for n in range(5_000):
                audit.note("refused", "para", f"actor-{n}", rule="r")
                audit.note("refused", f"no-such-app-{n}", "x")
            audit.note("keys_changed", "para", "app:para")  # what an app does itself is never lost in it
            await audit.write()
            assert await store.objects.count(TRAIL) == OF_APP + 2
            assert len(lines.messages) <= 1_010

    run(main())


def test_the_trail_is_bounded_by_number_and_age(tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with open_built(tmp_path, clock=clock, audit_max_entries=10, audit_max_days=1) as built:
            audit, store, search = built.backend.audit, built.backend.store, built.backend.search
            for n in range(25):
                audit.note("keys_changed", "para", f"a{n}")
            await audit.write()
            kept = [parse_object(row.public)["actor"] for row in await store.objects.scan(TRAIL)]
            assert kept == [f"a{n}" for n in range(15, 25)]
            clock.advance(2 * 86_400)
            audit.note("keys_changed", "para", "new")
            await audit.write()
            await audit.trim()
            assert [parse_object(row.public)["actor"] for row in await store.objects.scan(TRAIL)] == ["new"]
            assert len(await search.indexed(TRAIL, 0, 100)) <= 11

    run(main())


@pytest.mark.parametrize(
    "text", ['x" rule="none', "x\nevent=keys_changed", "x\u2028y", "\x1b[2J", "\ud800", "a" * 10_000]
)
def test_no_value_can_forge_a_line(text: str) -> None:
    line = rules.line("refused", rules.fields("para", text, {"rule": "real"}))
    assert line.isprintable()
    assert len(line) < 300
    assert line.startswith('refused app="para" actor="')
    assert line.endswith(' rule="real"')
    assert line.replace('\\"', "").count('"') == 6


def test_only_the_server_writes_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_built(tmp_path) as built:
            for id in (None, "1"):
                with pytest.raises(InvalidInput, match="server only"):
                    await built.backend.objects.create(
                        "para", Draft(type="audit", body={"event": "x"}, id=id), owner("para")
                    )

    run(main())


@pytest.fixture
def door(tmp_path: Path) -> Generator[Listening]:
    with listening(tmp_path, lambda backend: objects.app(backend)) as running:
        yield running


def test_the_app_reads_and_searches_it(door: Listening) -> None:
    client = Client(door.url, door.root)
    before = client.send("GET", "/v1/search?q=*&count").json()["totalHits"]
    assert client.send("PUT", "/v1/_settings/color", {"value": "secret-value"}).status_code == 200
    assert Client(door.url).send("GET", "/v1/dogs?accessKey=app:para").status_code in (401, 403)
    door.run(door.backend.audit.write())
    found = client.send("GET", "/v1/audit?q=event:setting_changed").json()
    assert found["totalHits"] == 1
    entry = found["items"][0]
    expected = {"actor": "app:para", "resource": "color", "count": 1, "appid": "para", "type": "audit"}
    assert entry.items() >= expected.items()
    assert "secret-value" not in str(found)
    assert client.send("GET", "/v1/audits/" + entry["id"]).json() == entry
    assert client.send("GET", "/v1/search?type=audit&q=actor:app\\:para").json()["totalHits"] >= 1
    # it is nobody's object otherwise
    assert client.send("GET", "/v1/search?q=*&count").json()["totalHits"] == before
    assert "audit" not in client.send("GET", "/v1/_types").text
    assert client.send("GET", "/v1/_id/" + entry["id"]).status_code == 404
    for method in ("PUT", "PATCH", "DELETE"):
        assert client.send(method, "/v1/audit/" + entry["id"], {"event": "x"}).status_code == 400
    assert client.send("POST", "/v1/audit", {"event": "x"}).status_code == 400
    assert client.send("POST", "/v1/_batch", [{"type": "audit", "event": "x"}]).json() == []
    assert client.send("DELETE", "/v1/_batch?ids=" + entry["id"]).status_code == 200
    assert client.send("GET", "/v1/audit/" + entry["id"]).json() == entry


def test_apps_see_their_own_and_it_goes_with_them(door: Listening) -> None:
    root = Client(door.url, door.root)
    keys = root.send("GET", "/v1/_setup/child").json()
    child = Client(door.url, type(door.root)(keys["accessKey"], keys["secretKey"]))
    assert child.send("PUT", "/v1/_settings/a", {"value": 1}).status_code == 200
    wrong = Client(door.url, type(door.root)(keys["accessKey"], "wrong"))
    assert wrong.send("GET", "/v1/dogs").status_code == 403
    door.run(door.backend.audit.write())
    events = {entry["event"] for entry in child.send("GET", "/v1/audit").json()["items"]}
    assert events == {"setting_changed", "refused"}
    assert root.send("GET", "/v1/audit?q=event:app_created").json()["items"][0]["resource"] == "app:child"
    assert root.send("DELETE", "/v1/apps/app:child").status_code == 200
    assert door.run(door.backend.store.objects.count(rules.trail_of("child"))) == 0


def test_an_app_sees_who_of_its_people_was_refused(door: Listening) -> None:
    """A user without a right, and a guest."""
    root = Client(door.url, door.root)
    keys = root.send("GET", "/v1/_setup/pets").json()
    app = Client(door.url, type(door.root)(keys["accessKey"], keys["secretKey"]))
    jane = person(door, "pets", "jane")
    assert jane.send("GET", "/v1/dogs").status_code == 403
    assert Client(door.url).send("GET", "/v1/cats", Authorization="Anonymous app:pets").status_code == 403
    door.run(door.backend.audit.write())
    found = app.send("GET", "/v1/audit?q=event:refused").json()["items"]
    told = {(entry["actor"], entry["resource"], entry["outcome"]) for entry in found}
    assert told == {(jane.id, "GET /v1/dogs", "forbidden"), ("guest", "GET /v1/cats", "forbidden")}
