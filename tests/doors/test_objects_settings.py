"""Promise: an app's settings keep their values and types, are its own, and none is lost (objects.md 9)."""

import asyncio
import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.aio import run
from support.backend import open_backend
from support.client import Client, Reply
from support.listening import Listening, listening
from support.sign import Signer
from thingstead.core.tenants import App
from thingstead.doors import objects
from thingstead.model.errors import InvalidInput, TooLarge
from thingstead.model.values import Json


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), objects.app) as opened:
        yield opened


def client_of(door: Listening, app: str) -> Client:
    _, secret = door.run(door.backend.tenants.create(app))
    return Client(door.url, Signer(f"app:{app}", secret))


def read(app: Client, path: str = "/v1/_settings") -> Any:
    reply = app.send("GET", path)
    assert reply.status_code == 200
    assert reply.headers["Cache-Control"] == "no-store"
    return reply.json()


def empty(reply: Reply) -> None:
    assert (reply.status_code, reply.content) == (200, b"")


def test_the_endpoints(door: Listening) -> None:
    app, other = client_of(door, "endpoints"), client_of(door, "other")
    assert app.send("GET", "/v1/_settings").content == b"{}"
    values = {"one": 1, "true": True, "no": False, "text": "string", "blank": " ", "f": 1.5, "l": [1], "o": {"a": None}}
    for key, value in values.items():
        empty(app.send("PUT", f"/v1/_settings/{key}", {"value": value, "more": 1}))
        assert read(app, f"/v1/_settings/{key}") == {"value": value}
    assert read(app) == values == read(app, "/v1/_settings/%20")
    assert read(other) == {}
    before = door.totals()
    empty(app.send("PUT", "/v1/_settings/one", {"value": None}))
    empty(app.send("PUT", "/v1/_settings/one", {"value": 1}))
    empty(app.send("DELETE", "/v1/_settings/nothing"))
    assert app.send("GET", "/v1/_settings/nothing").content == b"{}"
    assert door.totals() == before
    empty(app.send("DELETE", "/v1/_settings/one"))
    assert read(app) == {key: value for key, value in values.items() if key != "one"}
    empty(app.send("PUT", "/v1/_settings/a%2Fb%20%C3%A4", {"value": 2}))
    assert read(app, "/v1/_settings/a%2Fb%20%C3%A4") == {"value": 2}
    empty(app.send("PUT", "/v1/_settings", {"only": 1, "gone": None}))
    assert read(app) == {"only": 1}
    empty(app.send("PUT", "/v1/_settings", {}))
    assert read(app) == {}


def test_settings_are_shown_nowhere_else(door: Listening) -> None:
    app = client_of(door, "hidden")
    empty(app.send("PUT", "/v1/_settings/key", {"value": "hushhush"}))
    root = Client(door.url, door.root)
    for client, path in ((app, "/v1/_me"), (app, "/v1/app/hidden?select=settings,id"), (root, "/v1/search?q=hushhush")):
        reply = client.send("GET", path)
        assert reply.status_code == 200
        assert "hushhush" not in reply.text.partition('"items"')[2] + reply.text.partition('"id"')[2]
    assert root.send("GET", "/v1/search?q=hushhush").json()["totalHits"] == 0


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("PUT", "/v1/_settings/a", {"valu": 1}, 400, "'value' is missing"),
    ("PUT", "/v1/_settings/a", {}, 400, "'value' is missing"),
    ("PUT", "/v1/_settings/a", b"", 400, "Missing request body."),
    ("PUT", "/v1/_settings/a", b"[1]", 400, "a JSON object is expected"),
    ("PUT", "/v1/_settings/a", b'"text"', 400, "a JSON object is expected"),
    ("PUT", "/v1/_settings/a", b"{", 400, ""),
    ("PUT", "/v1/_settings/%20", {"value": 1}, 400, "key"),
    ("PUT", "/v1/_settings", b"", 400, "Missing request body."),
    ("PUT", "/v1/_settings", b"[]", 400, "a JSON object is expected"),
    ("PUT", "/v1/_settings", {" ": 1}, 400, "key"),
    ("PUT", "/v1/_settings/b", {"value": "x" * 1_048_500}, 400, "over 1024 KB"),
    ("POST", "/v1/_settings", {"a": 1}, 405, ""),
    ("DELETE", "/v1/_settings", None, 405, ""),
    ("PATCH", "/v1/_settings/a", {"value": 1}, 405, ""),
    ("GET", "/v1/_settings/a/b", None, 404, ""),
]


def test_refused(door: Listening) -> None:
    app = client_of(door, "refused")
    empty(app.send("PUT", "/v1/_settings/kept", {"value": 1}))
    before = door.totals()
    for method, path, body, status, message in REFUSED:
        reply = app.send(method, path, body)
        assert reply.status_code == status, (path, reply.content)
        assert list(reply.json()) == ["code", "message"]
        assert message in reply.json()["message"]
    unsigned = Client(door.url)
    for method, path in (("GET", "/v1/_settings"), ("PUT", "/v1/_settings"), ("DELETE", "/v1/_settings/kept")):
        assert unsigned.send(method, path, {"a": 1}).status_code == 401
        assert unsigned.send(method, path, {"a": 1}, Authorization="Anonymous app:refused").status_code == 403
    assert door.totals() == before
    thing = app.send("PUT", "/v1/things/t1", {"name": "Kit"}).json()
    credentials = f"refused-t1:{thing['deviceDetails']['secret']}".encode()
    basic = {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}
    for method, path in (("GET", ""), ("GET", "/kept"), ("PUT", ""), ("PUT", "/kept"), ("DELETE", "/kept")):
        reply = unsigned.send(method, f"/v1/_settings{path}", {"value": 2}, **basic)
        assert (reply.status_code, reply.json()["code"]) == (403, 403)
    assert read(app) == {"kept": 1}


def test_concurrent_writes_of_two_keys_lose_neither(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            tenants = backend.tenants
            await tenants.create("myapp")
            await asyncio.gather(*(tenants.put_setting("myapp", f"k{n}", n) for n in range(20)))
            assert (await tenants.get("myapp")).settings == {f"k{n}": n for n in range(20)}
            await asyncio.gather(
                *(tenants.delete_setting("myapp", f"k{n}") for n in range(10)),
                *(tenants.add_constraint("myapp", "cat", f"f{n}", "required", {}) for n in range(5)),
                tenants.new_keys("myapp"),
            )
            app = await tenants.get("myapp")
            assert app.settings == {f"k{n}": n for n in range(10, 20)}
            assert len(app.constraints["cat"]) == 5
            with pytest.raises(InvalidInput):
                await tenants.put_setting("myapp", " ", 1)
            with pytest.raises(TooLarge):
                await tenants.put_setting("myapp", "big", "x" * 2_000_000)
        async with open_backend(tmp_path) as backend:
            assert (await backend.tenants.get("myapp")).settings == {f"k{n}": n for n in range(10, 20)}

    run(work())


def test_listeners_hear_of_one_key_at_a_time(door: Listening, caplog: pytest.LogCaptureFixture) -> None:
    app = client_of(door, "heard")
    tenants = door.backend.tenants
    heard: list[tuple[str, str, Json]] = []

    def fails(app: App, key: str, value: Json) -> None:
        raise RuntimeError("a plug-in's own fault")

    def added(app: App, key: str, value: Json) -> None:
        assert app.settings[key] == value  # stored already
        heard.append((app.identifier, key, value))

    def gone(app: App, key: str) -> None:
        assert key not in app.settings
        heard.append((app.identifier, key, None))

    tenants.on_setting_added += [fails, added]
    tenants.on_setting_removed.append(gone)
    try:
        empty(app.send("PUT", "/v1/_settings", {"a": 1, "b": 2}))
        empty(app.send("PUT", "/v1/_settings/b", {"value": 3}))
        empty(app.send("DELETE", "/v1/_settings/none"))
        empty(app.send("PUT", "/v1/_settings", {"b": 4}))
        assert app.send("PATCH", "/v1/app/heard", {"settings": {"c": 5, "d": None}}).status_code == 200
        assert app.send("PATCH", "/v1/app/heard", {"name": "Heard"}).status_code == 200
        empty(app.send("PUT", "/v1/_settings", {}))
    finally:
        tenants.on_setting_added.clear()
        tenants.on_setting_removed.clear()
    assert [(key, value) for _, key, value in heard] == [
        ("a", 1),
        ("b", 2),
        ("b", 3),
        ("a", None),
        ("b", 4),
        ("b", None),
        ("c", 5),
        ("c", None),
    ]
    assert {identifier for identifier, _, _ in heard} == {"heard"}
    assert re.search(r"the listener .*fails.* failed", caplog.text)


def test_types_are_counted_by_their_singular(door: Listening) -> None:
    app = client_of(door, "counted")
    assert app.send("POST", "/v1/_batch", [{"type": "sensor_x", "a": n} for n in range(3)]).status_code == 200
    assert app.send("POST", "/v1/_batch", [{"type": "cat", "indexed": n > 0} for n in range(3)]).status_code == 200
    assert app.send("POST", "/v1/tags", {"tag": "t"}).status_code == 201
    plain, counted = app.send("GET", "/v1/_types").json(), app.send("GET", "/v1/_types?count=true").json()
    assert list(counted) == list(plain.values())
    assert (counted["cat"], counted["tag"], counted["user"]) == (2, 1, 0)
    assert app.send("GET", "/v1/_types?count").json() == counted
