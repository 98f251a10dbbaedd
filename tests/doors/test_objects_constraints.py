"""Promise: what an app demands of its objects is demanded by every write, with Para's messages (objects.md 11)."""

import asyncio
import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.aio import run
from support.backend import open_backend, owner
from support.client import Client, Reply
from support.listening import Listening, listening
from support.sign import Signer
from thingstead.core.objects import Draft
from thingstead.doors import hypermedia, objects
from thingstead.model.errors import ConstraintViolation, InvalidInput
from thingstead.transports.http import AsgiApp, Receive, Scope, Send


def both_doors(backend: Any) -> AsgiApp:
    """`/v1` and hypermedia behind one listener."""
    v1, hal = objects.app(backend), hypermedia.app(backend)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        inner = v1 if scope.get("path", "").startswith("/v1") else hal
        await inner(scope, receive, send)

    return app


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), both_doors) as opened:
        yield opened


def client_of(door: Listening, app: str) -> Client:
    _, secret = door.run(door.backend.tenants.create(app))
    return Client(door.url, Signer(f"app:{app}", secret))


@pytest.fixture(scope="module")
def app(door: Listening) -> Client:
    return client_of(door, "myapp")


def check(reply: Reply, status: int, body: Any) -> None:
    assert (reply.status_code, reply.json()) == (status, body)


MIN = {"min": {"value": 4, "message": "messages.min"}}
REQUIRED = {"required": {"message": "messages.required"}}


def test_the_endpoints(door: Listening) -> None:
    app = client_of(door, "endpoints")
    everything = app.send("GET", "/v1/_constraints").json()
    assert {"address", "app", "user", "vote", "webhook"} <= everything.keys()
    check(app.send("GET", "/v1/_constraints/app"), 200, {"app": {"id": REQUIRED}})
    check(app.send("GET", "/v1/_constraints/apps"), 200, {"app": {"id": REQUIRED}})
    check(app.send("GET", "/v1/_constraints/kitten"), 200, {})
    check(app.send("PUT", "/v1/_constraints/kitten/paws/min", {"value": 4}), 200, {"kitten": {"paws": MIN}})
    assert app.send("GET", "/v1/_types").json()["kittens"] == "kitten"
    check(app.send("PUT", "/v1/_constraints/Kittens/paws/min", b""), 200, {})  # another type; and no payload
    check(app.send("PUT", "/v1/_constraints/kittens/paws/required", b""), 200, {"kitten": {"paws": MIN | REQUIRED}})
    check(
        app.send("PUT", "/v1/_constraints/kittens/my%20%2F%C3%A4/required"),
        200,
        {"kitten": {"paws": MIN | REQUIRED, "my /ä": REQUIRED}},
    )
    assert app.send("GET", "/v1/_constraints").json()["kitten"]["my /ä"] == REQUIRED
    assert app.send("GET", "/v1/_me").json()["validationConstraints"]["kitten"]["paws"] == MIN | REQUIRED
    before = door.totals()
    for name, payload in (("present", {}), ("min", {}), ("size", {"min": 1}), ("max", {"value": None})):
        reply = app.send("PUT", f"/v1/_constraints/kitten/paws/{name}", payload)
        check(reply, 200, {"kitten": {"paws": MIN | REQUIRED, "my /ä": REQUIRED}})
    check(
        app.send("DELETE", "/v1/_constraints/kitten/paws/max"),
        200,
        {"kitten": {"paws": MIN | REQUIRED, "my /ä": REQUIRED}},
    )
    check(app.send("DELETE", "/v1/_constraints/dog/paws/max"), 200, {})
    assert door.totals() == before
    check(
        app.send("DELETE", "/v1/_constraints/kitten/my%20%2F%C3%A4/required"), 200, {"kitten": {"paws": MIN | REQUIRED}}
    )
    check(app.send("DELETE", "/v1/_constraints/kitten/paws/required"), 200, {"kitten": {"paws": MIN}})
    check(app.send("DELETE", "/v1/_constraints/kitten/paws/min"), 200, {})
    assert "kitten" not in app.send("GET", "/v1/_constraints").json()
    check(
        app.send("DELETE", "/v1/_constraints/user/email/email"),
        200,
        {"user": app.send("GET", "/v1/_constraints/user").json()["user"]},
    )


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("PUT", "/v1/_constraints/cat/a/min", b"{", 400, ""),
    ("PUT", "/v1/_constraints/cat/a/min", b"[1]", 400, "a JSON object is expected"),
    ("PUT", "/v1/_constraints/cat/a/required", b"nonsense", 400, ""),
    ("PUT", "/v1/_constraints/cat/a/pattern", {"value": "(?=x)"}, 400, "'a': the pattern cannot be used"),
    ("PUT", "/v1/_constraints/cat/a/pattern", {"value": "x" * 600}, 400, "'a': the pattern cannot be used"),
    ("PUT", "/v1/_constraints/cat/a", {}, 404, "Not Found"),
    ("POST", "/v1/_constraints", {}, 405, ""),
    ("PUT", "/v1/_constraints", {}, 405, ""),
    ("GET", "/v1/_constraints/cat/a", None, 404, "Not Found"),
    ("GET", "/v1/_constraints/cat/a/min", None, 405, ""),
    ("DELETE", "/v1/_constraints/cat/a/min/x", None, 404, "Not Found"),
    ("PATCH", "/v1/app/refused", {"validationConstraints": {"cat": {"a": {"pattern": {"value": "("}}}}}, 400, "'a'"),
]


def test_refused(door: Listening) -> None:
    app = client_of(door, "refused")
    before = door.totals()
    for method, path, body, status, message in REFUSED:
        reply = app.send(method, path, body)
        assert reply.status_code == status, (path, reply.content)
        assert list(reply.json()) == ["code", "message"]
        assert message in reply.json()["message"]
    unsigned = Client(door.url)
    for method, path in (("GET", "/v1/_constraints"), ("PUT", "/v1/_constraints/cat/a/required")):
        assert unsigned.send(method, path).status_code == 401
    assert door.totals() == before
    thing = app.send("PUT", "/v1/things/t1", {"name": "Kit"}).json()
    credentials = f"refused-t1:{thing['deviceDetails']['secret']}".encode()
    basic = {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}
    assert unsigned.send("GET", "/v1/_me", **basic).json()["id"] == "t1"
    for method, path in (("GET", ""), ("GET", "/cat"), ("PUT", "/cat/a/required"), ("DELETE", "/cat/a/required")):
        assert unsigned.send(method, f"/v1/_constraints{path}", **basic).status_code == 403


def test_one_app_does_not_bind_another(door: Listening) -> None:
    one, two = client_of(door, "one"), client_of(door, "two")
    assert one.send("PUT", "/v1/_constraints/pet/paws/required").status_code == 200
    assert one.send("POST", "/v1/pets", {"a": 1}).status_code == 400
    assert two.send("POST", "/v1/pets", {"a": 1}).status_code == 201
    check(two.send("GET", "/v1/_constraints/pet"), 200, {})


def refused(reply: Reply, message: str) -> None:
    check(reply, 400, {"code": 400, "message": message})


def test_every_write_is_checked(door: Listening, app: Client) -> None:
    for field, name, payload in (
        ("paws", "required", {}),
        ("paws", "max", {"value": 1000}),
        ("email", "email", {}),
        ("name", "size", {"min": 2, "max": 40}),
    ):
        assert app.send("PUT", f"/v1/_constraints/cat/{field}/{name}", payload).status_code == 200
    before = door.totals()
    both = "paws is required.. email is not a valid email."
    refused(app.send("POST", "/v1/cats", {"email": "x"}), both)
    refused(app.send("PUT", "/v1/cat/tom", {"email": "x"}), both)
    refused(app.send("PUT", "/v1/cat/tom", {"name": "F"}), "paws is required.. name must be between 2 and 40.")
    refused(app.send("POST", "/v1/Cat", {"paws": 2000}), "paws must be a number smaller than 1,000.")
    refused(app.send("POST", "/v1/cats", {"properties": {"paws": 2000}}), "paws must be a number smaller than 1,000.")
    assert door.totals() == before
    assert app.send("PUT", "/v1/cat/tom", {"paws": 4, "name": "Tom"}).status_code == 200
    before = door.totals()
    refused(app.send("PATCH", "/v1/cat/tom", {"paws": None}), "paws is required.")
    refused(app.send("PATCH", "/v1/dog/tom", {"name": "T"}), "name must be between 2 and 40.")
    refused(app.send("PATCH", "/v1/cat/tom", {"properties": {}}), "paws is required.")
    assert door.totals() == before
    assert app.send("PATCH", "/v1/cat/tom", {"email": "a@b.cd"}).json()["paws"] == 4
    reply = app.send("POST", "/v1/_batch", [{"type": "cat", "id": "c1"}, {"type": "cat", "id": "c2", "paws": 3}])
    assert [made["id"] for made in reply.json()] == ["c2"]
    assert reply.headers["X-Thingstead-Skipped-Reasons"] == "c1=constraint_violation"
    reply = app.send("PATCH", "/v1/_batch", [{"id": "c2", "paws": "x"}, {"id": "tom", "paws": 5}])
    assert [made["id"] for made in reply.json()] == ["tom"]
    assert app.send("GET", "/v1/cat/c2").json()["paws"] == 3
    assert app.send("DELETE", "/v1/cat/c2").status_code == 200


def test_core_types_are_bound_by_both(app: Client) -> None:
    assert app.send("PUT", "/v1/_constraints/address/phone/required").status_code == 200
    refused(app.send("POST", "/v1/addresses", {"address": "x"}), "phone is required.")  # the app's own come first
    refused(
        app.send("POST", "/v1/addresses", {"phone": "1", "address": "abc", "country": "X", "latlng": "1,2"}),
        "'country' size must be between 2 and 255",
    )
    body = {"phone": "1", "address": "abc", "country": "US", "latlng": "1,2"}
    assert app.send("PUT", "/v1/address/a1", body).status_code == 200
    refused(app.send("PATCH", "/v1/address/a1", {"phone": " "}), "phone is required.")


def test_hypermedia_is_bound_too(door: Listening) -> None:
    root = Client(door.url, door.root)
    assert root.send("PUT", "/v1/_constraints/site/name/size", {"min": 3, "max": 9}).status_code == 200
    before = door.totals()
    reply = root.send("POST", "/sites/create", {"name": "B"}, Content_Type="application/json")
    assert reply.status_code == 400, reply.content
    assert "name must be between 3 and 9." in reply.text
    assert door.totals() == before
    assert root.send("POST", "/sites/create", {"name": "Bog"}, Content_Type="application/json").status_code == 201
    assert root.send("DELETE", "/v1/_constraints/site/name/size").json() == {}


def test_a_patched_app_keeps_of_constraints_what_is_one(app: Client) -> None:
    given = {"Bird": {"wings": {"max": {"value": "2", "x": 1}, "nope": {}}, "beak": {"nope": {}}}}
    before = app.send("GET", "/v1/app/myapp").json()["validationConstraints"]
    reply = app.send("PATCH", "/v1/app/myapp", {"validationConstraints": given})
    assert reply.json()["validationConstraints"] == {
        "bird": {"wings": {"max": {"value": 2, "message": "messages.max"}}}
    }
    refused(app.send("POST", "/v1/birds", {"type": "bird", "wings": 3}), "wings must be a number smaller than 2.")
    assert app.send("POST", "/v1/birds", {"type": "bird", "wings": 2}).status_code == 201
    assert app.send("PATCH", "/v1/app/myapp", {"validationConstraints": before}).status_code == 200


def test_a_hostile_pattern_and_a_hostile_text_hold_nobody_up(door: Listening) -> None:
    app = client_of(door, "hostile")
    for field, pattern in (("a", "(a+)+$"), ("b", r"^(([a-z])+.)+[A-Z]([a-z])+$"), ("c", "(.*a){20}(.{0,500}b)")):
        assert app.send("PUT", f"/v1/_constraints/evil/{field}/pattern", {"value": pattern}).status_code == 200
    text = "a" * 300_000
    begun = time.perf_counter()
    reply = app.send("POST", "/v1/evils", {"type": "evil", "a": text + "!", "b": text, "c": text})
    assert time.perf_counter() - begun < 5
    assert reply.status_code == 400
    assert reply.json()["message"].count("doesn't match the pattern") == 3


def test_batch_updates_are_not_validated_where_the_setting_says_so(tmp_path: Path) -> None:
    with listening(tmp_path, objects.app, validate_batch_updates=False) as door:
        app = client_of(door, "myapp")
        assert app.send("PUT", "/v1/_constraints/cat/paws/max", {"value": 4}).status_code == 200
        assert app.send("PUT", "/v1/cat/tom", {"paws": 4}).status_code == 200
        assert app.send("PATCH", "/v1/_batch", [{"id": "tom", "paws": 5}]).json()[0]["paws"] == 5
        assert app.send("POST", "/v1/_batch", [{"type": "cat", "paws": 5}]).json() == []
        refused(app.send("PATCH", "/v1/cat/tom", {"a": 1}), "paws must be a number smaller than 4.")


def test_twenty_constraints_of_one_tick_lose_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            tenants = backend.tenants
            await asyncio.gather(*(tenants.add_constraint("para", "cat", f"f{n}", "required", {}) for n in range(20)))
            kept = (await tenants.get("para")).constraints["cat"]
            assert kept.keys() == {f"f{n}" for n in range(20)}
            await asyncio.gather(*(tenants.remove_constraint("para", "cat", f"f{n}", "required") for n in range(20)))
            assert not (await tenants.get("para")).constraints

    run(work())


def test_an_embedding_program_asks_what_is_wrong(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            me = owner("para")
            made = await backend.objects.create("para", Draft(type="cat", body={"name": "Tom"}), me)
            assert await backend.objects.validate_object("para", made.object) == []
            await backend.tenants.add_constraint("para", "cat", "paws", "required", {})
            assert await backend.objects.validate_object("para", made.object) == ["paws is required."]
            with pytest.raises(ConstraintViolation) as refused:
                await backend.objects.patch("para", made.object.id, {"a": 1}, me)
            assert refused.value.field == "paws"

    run(work())


def test_a_refused_thing_leaves_no_credentials(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path) as backend:
            await backend.tenants.add_constraint("para", "thing", "room", "required", {})
            undone: list[object] = []
            broker = backend.things._kind.broker("Local")
            deprovision = broker.deprovision

            async def watched(metadata: Any) -> None:
                undone.append(metadata)
                await deprovision(metadata)

            broker.deprovision = watched  # type: ignore[method-assign]
            draft = Draft(type="thing", body={"name": "Kit"}, credentials=True)
            with pytest.raises(InvalidInput, match="room is required"):
                await backend.objects.create("para", draft, owner("para"))
            assert len(undone) == 1
            assert await backend.objects.count("para", type="thing") == 0

    run(work())
