"""Promise: `/iot` and `/v2` are open where doors.md 28 says so and nowhere else; tenants never meet."""

import base64
from pathlib import Path
from typing import Any

from support.agent_doors import TENANT, open_doors
from support.aio import run
from support.backend import ROOT_SECRET

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
