"""Promise: a message in the river's queue becomes its write, once it is durable, or is dropped and counted; never lost,
never for ever.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from support.aio import run, until
from support.backend import open_backend, owner
from support.receiver import Receiver
from thingstead.core.backend import Backend
from thingstead.core.objects import Draft
from thingstead.model.values import parse_object
from thingstead.ports.queue import Message
from thingstead.server.settings import load

APP = "shop"
ME = owner(APP)
ON: dict[str, Any] = {"queue_link_enabled": True, "outbound_allow": "127.0.0.0/8"}


async def send(backend: Backend, **members: Any) -> None:
    """A message, handled."""
    await backend.river.push(json.dumps({"appid": APP, "type": "cat", **members}))
    await handled(backend)


async def handled(backend: Backend) -> None:
    async def empty() -> bool:
        return (await backend.river.count()).waiting == 0

    await until(empty, 15)


async def shown(backend: Backend, id: str) -> dict[str, Any] | None:
    row = await backend.store.objects.get(APP, id)
    return None if row is None else parse_object(row.public)


def test_messages_become_writes(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await backend.tenants.ensure(APP)
            await send(backend, id="a", properties={"x": 1, "y": 2}, name="A")
            first = await shown(backend, "a")
            assert first is not None
            assert (first["name"], first["x"], first["y"], first["type"]) == ("A", 1, 2, "cat")
            await send(backend, id="a", y=None, z=3, timestamp=5)
            merged = await shown(backend, "a")
            assert merged is not None
            assert (merged["x"], merged.get("y"), merged["z"], merged["name"]) == (1, None, 3, "A")
            assert merged["timestamp"] == first["timestamp"]
            assert merged["updated"]
            await send(backend, id="a", w=1, _create=True)
            again = await shown(backend, "a")
            assert again is not None
            assert ("x" in again, again["w"], "_create" in again) == (False, 1, False)
            await send(backend, id="a", _delete="true")
            assert await shown(backend, "a") is None
            await send(backend, id="a", _delete=True)
            before = await backend.store.objects.count(APP)
            await send(backend, id=None, n=1)
            await send(backend, n=1, type="sysprop")
            assert await backend.store.objects.count(APP) == before + 2
            assert (await backend.tenants.get(APP)).datatypes == {"cats": "cat"}
            stats = backend.river.stats
            assert (stats.handled, stats.dropped) == (7, 0)

    run(work())


def test_what_cannot_be_done_is_dropped(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await backend.tenants.ensure(APP)
            for draft in (
                Draft(type="webhook", body={"targetUrl": "https://t.example"}, id="w"),
                Draft(type="cat", body={"version": 3}, id="locked"),
            ):
                await backend.objects.create(APP, draft, ME)
            before = [await shown(backend, id) for id in ("w", "locked")]
            bodies: list[bytes] = [
                b"",
                b"null",
                b"[]",
                b"{",
                b"\xff\xfe",
                b'{"appid":"shop"}',
                b'{"appid":"nobody","type":"cat"}',
                b'{"appid":"shop","type":"user","id":"u"}',
                b'{"appid":"shop","type":"cat","id":"w","name":"mine"}',
                b'{"appid":"shop","type":"cat","id":"w","_delete":true}',
                b'{"appid":"shop","type":"cat","id":"w","_create":true}',
                b'{"appid":"shop","type":"cat","id":"locked","version":1}',
                b'{"appid":"para","type":"cat","id":"app:shop","_delete":true}',
                b'{"appid":"shop","type":"indexpayload","id":"strange"}',
                b'{"appid":"shop","type":"webhookpayload","targetUrl":"ftp://x","event":"e","payload":"{}"}',
            ]
            await backend.store.queue.push([Message(backend.river.name, body) for body in bodies])
            await handled(backend)
            assert backend.river.stats.dropped == len(bodies)
            assert [await shown(backend, id) for id in ("w", "locked")] == before
            assert (await backend.tenants.get(APP)).active
            await send(backend, id="alive")
            assert await shown(backend, "alive") is not None

    run(work())


def test_a_delivery_of_another_node_is_made(tmp_path: Path) -> None:
    async def work(receiver: Receiver) -> None:
        async with open_backend(tmp_path, **ON) as backend:
            await backend.tenants.ensure(APP)
            await send(
                backend,
                id="w",
                type="webhookpayload",
                targetUrl=receiver.url,
                urlEncoded=False,
                repeatedDeliveryAttempts=2,
                event="create",
                payload='{"items":[]}',
                signature="c2ln",
            )

            async def twice() -> bool:
                return len(receiver.calls) == 2

            await until(twice)
            for call in receiver.calls:
                assert call.body == b'{"items":[]}'
                assert call.headers["x-webhook-signature"] == "c2ln"
                assert call.headers["x-para-event"] == "create"

    with Receiver() as receiver:
        run(work(receiver))


def test_index_work(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, river_max_indexing_retries=1, **ON) as backend:
            await backend.tenants.ensure(APP)
            for id in ("a", "b"):
                await send(backend, id=id)
            last = await backend.store.journal.last()
            public = await shown(backend, "a")
            await send(backend, type="indexpayload", id="index_all_op", payload=["a", "a"])
            await send(backend, type="indexpayload", id="rebuild_index_op", payload=APP)
            lines = await backend.store.journal.read(last, 100)
            assert [line.id for line in lines] == ["a", "a", "b"]
            assert await shown(backend, "a") == public
            for op in ("unindex_all_op", "create_index_op", "delete_index_op"):
                await send(backend, type="indexpayload", id=op, payload=["a"])
            await send(backend, type="indexpayload", id="index_all_op", payload=["gone"])
            assert backend.river.stats.dropped == 1
            assert (await backend.river.count()).dead == 1

    run(work())


def test_the_queue_for_programs_that_embed_this(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_backend(tmp_path, default_queue_name="mine") as backend:  # nothing polls
            assert backend.river.name == "mine"
            assert await backend.river.pull() == ""
            for text in ("one", "zwö"):
                await backend.river.push(text)
            assert [await backend.river.pull() for _ in range(3)] == ["one", "zwö", ""]
        async with open_backend(tmp_path, default_queue_name="mine") as backend:
            assert await backend.river.pull() == ""

    run(work())


def test_settings_of_queue_and_river_have_their_keys() -> None:
    found = load(
        [
            "para.webhooks_enabled=true",
            "para.max_failed_webhook_attempts=3",
            "para.queue_link_enabled=true",
            "para.default_queue_name=q",
            "para.queue.polling_sleep_seconds=5",
            "para.queue.polling_interval_seconds=2",
            "para.river.max_indexing_retries=1",
            "para.outbound_allow=127.0.0.0/8",
            "webhooks.max_attempts=2",
        ],
        None,
        pytest.fail,
    ).settings
    assert (found.webhooks_enabled, found.max_failed_webhook_attempts, found.queue_link_enabled) == (True, 3, True)
    assert (found.default_queue_name, found.queue_polling_sleep, found.queue_polling_interval) == ("q", 5, 2)
    assert (found.river_max_indexing_retries, found.outbound_allow) == (1, "127.0.0.0/8")
    assert found.webhooks_max_attempts == 2
