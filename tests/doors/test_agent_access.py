"""Promise: `/iot` and `/v2` are open where doors.md 28 says so and nowhere else; tenants never meet."""

import base64
from pathlib import Path
from typing import Any

from support.agent_doors import TENANT, open_doors
from support.aio import run
from support.backend import ROOT_SECRET, owner
from thingstead.core.ingest import Report
from thingstead.core.objects import Draft

GROUP: Any = {"services": [{"resource": "/iot/json", "apikey": "123456", "entity_type": "T"}]}
ENTITY: Any = {"id": "E", "type": "T"}


def basic(user: str, secret: str) -> dict[str, str]:
    """An Authorization header."""
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def test_where_access_is_by_credentials(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path, agent_access="auth", context_access="auth") as doors:
            app, secret = await doors.backend.tenants.create("smartgondor")
            _, foreign = await doors.backend.tenants.create("other")
            before = await doors.totals("smartgondor")
            cases: list[tuple[dict[str, str], int]] = [
                ({}, 401),
                (basic("app:smartgondor", "wrong"), 401),
                ({"x-auth-token": "nonsense"}, 401),
                ({"authorization": "Digest x"}, 401),
                (basic("app:other", foreign), 403),
            ]
            for headers, status in cases:
                for port, method, path, body in (
                    ("north", "GET", "/iot/services", None),
                    ("north", "POST", "/iot/services", GROUP),
                    ("context", "GET", "/v2/entities", None),
                    ("context", "POST", "/v2/entities?options=upsert", ENTITY),
                ):
                    reply = await doors.call(port, method, path, body, {**TENANT, **headers})
                    assert reply.status == status, (headers, path, reply)
                    shape = {"name", "message"} if port == "north" else {"error", "description"}
                    assert set(reply.json) == shape
                    assert ("www-authenticate" in reply.headers) is (status == 401)
            assert await doors.totals("smartgondor") == before
            own = {**TENANT, **basic("app:smartgondor", secret)}
            assert (await doors.call("north", "POST", "/iot/services", GROUP, own)).status == 200
            assert (await doors.call("north", "GET", "/iot/services", headers=own)).json["count"] == 1
            assert (await doors.call("context", "POST", "/v2/entities?options=upsert", ENTITY, own)).status == 204
            assert (await doors.call("context", "GET", "/v2/entities/E", headers=own)).status == 200
            # the south port goes by the apikey alone
            assert (await doors.measure({"a": 1})).status == 200
            assert app.identifier == "smartgondor"

    run(work())


def test_who_may_make_a_tenant(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path, agent_access="auth") as doors:
            before = await doors.totals("smartgondor")
            assert (await doors.call("north", "POST", "/iot/services", GROUP)).status == 401
            _, foreign = await doors.backend.tenants.create("other")
            before = await doors.totals("smartgondor")
            other = {**TENANT, **basic("app:other", foreign)}
            assert (await doors.call("north", "POST", "/iot/services", GROUP, other)).status == 403
            assert await doors.totals("smartgondor") == before
            root = {**TENANT, **basic("app:para", ROOT_SECRET)}
            assert (await doors.call("north", "POST", "/iot/services", GROUP, root)).status == 200
            assert (await doors.backend.tenants.get("smartgondor")).autocreated

    run(work())


def test_an_app_of_somebody_is_not_open_even_on_loopback(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            _, secret = await doors.backend.tenants.create("smartgondor")
            assert (await doors.call("north", "POST", "/iot/services", GROUP)).status == 401
            assert (await doors.call("context", "GET", "/v2/entities")).status == 401
            own = {**TENANT, **basic("app:smartgondor", secret)}
            assert (await doors.call("north", "POST", "/iot/services", GROUP, own)).status == 200

    run(work())


def test_listeners_that_are_not_bound_to_loopback_ask_for_credentials(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path, loopback=False) as doors:
            for port, path in (("north", "/iot/services"), ("context", "/v2/entities")):
                assert (await doors.call(port, "GET", path, headers=TENANT)).status == 401
            assert (await doors.call("context", "GET", "/v2/entities", headers={})).status == 401

    run(work())


def test_credentials_choose_their_app_and_a_thing_reaches_its_own_entity(tmp_path: Path) -> None:
    """doors.md 27, 29: without a tenant header the credentials' app; a thing reads and writes itself alone."""

    async def work() -> None:
        async with open_doors(tmp_path, context_access="auth") as doors:
            backend = doors.backend
            _, secret = await backend.tenants.create("smartgondor")
            made = [
                await backend.objects.create(
                    "smartgondor", Draft(type="thing", body={"name": name}, credentials=True), owner("smartgondor")
                )
                for name in ("one", "two")
            ]
            for written in made:
                await backend.ingest.report(Report(app="smartgondor", thing=written.object.id, reported={"a": 1}))
            own = basic("app:smartgondor", secret)
            assert len(await doors.entities(headers=own)) == 2
            details = made[0].once["deviceDetails"]
            assert isinstance(details, dict)
            device = basic(f"smartgondor-{made[0].object.id}", str(details["secret"]))
            mine, other = (f"Thing:{written.object.id}" for written in made)
            assert (await doors.call("context", "GET", f"/v2/entities/{mine}", headers=device)).json["id"] == mine
            body: Any = {"id": mine, "type": "Thing", "a": {"value": 2}}
            reply = await doors.call("context", "POST", "/v2/entities?options=upsert", body, device)
            assert reply.status == 204
            assert (await doors.entity(mine, own))["a"]["value"] == 2
            for method, path, sent in (
                ("GET", f"/v2/entities/{other}", None),
                ("GET", "/v2/entities/none", None),
                ("GET", "/v2/entities", None),
                ("POST", "/v2/entities?options=upsert", {**body, "id": other}),
                ("POST", "/v2/entities?options=upsert", {**body, "id": "new"}),
            ):
                before = await doors.totals("smartgondor")
                assert (await doors.call("context", method, path, sent, device)).status == 403, path
                assert await doors.totals("smartgondor") == before

    run(work())
