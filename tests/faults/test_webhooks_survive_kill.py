"""No webhook is lost: what was acknowledged to a writer arrives at the subscribed receiver at least once, whenever the
server is killed, and nothing arrives that is not stored.

The receiver is a real HTTP server in the test's process that now and then fails or is slow. After each kill the server
starts over the same data and must deliver what is left. THINGSTEAD_KILL_ROUNDS sets how often it is killed (25), half
of them as a loss of power; THINGSTEAD_KILL_SEED repeats the moments of another run.
"""

import http.client
import json
import os
import random
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.receiver import Call, Receiver
from support.server import Server, forgetful
from thingstead.model import webhooks as rules

ROUNDS = int(os.environ.get("THINGSTEAD_KILL_ROUNDS", "25"))
SEED = int(os.environ.get("THINGSTEAD_KILL_SEED") or random.SystemRandom().randrange(10**9))
WRITERS = 3
SETTINGS = {
    "para.webhooks_enabled": "true",
    "para.outbound_allow": "127.0.0.0/8",
    "para.max_failed_webhook_attempts": "1000000",
    "webhooks.max_attempts": "1000000",
    "para.queue.polling_interval_seconds": "1",
    "para.queue.polling_sleep_seconds": "1",
}

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + 15 * ROUNDS)]


def call(server: Server, method: str, path: str, body: object, connection: http.client.HTTPConnection) -> int:
    data = json.dumps(body).encode()
    headers = server.root.headers(method, server.http + path, data, {"Content-Type": "application/json"})
    connection.request(method, path, data, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


class Writer(threading.Thread):
    """Creates, changes, deletes, alone and in batches, and notes (event, id) of what was acknowledged."""

    def __init__(self, server: Server, name: str) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.prefix = name
        self.acknowledged: list[tuple[str, str]] = []
        self.refused: list[int] = []

    def run(self) -> None:
        parts = urlsplit(self.server.http)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            for number in range(1_000_000):
                self.step(connection, f"{self.prefix}-{number}")
        except (OSError, http.client.HTTPException):
            pass  # killed
        finally:
            connection.close()

    def step(self, connection: http.client.HTTPConnection, id: str) -> None:
        steps: list[tuple[str, str, object, list[tuple[str, str]]]] = [
            ("PUT", f"/v1/row/{id}", {"text": "x" * 300}, [("create", id)]),
            ("PATCH", f"/v1/row/{id}", {"text": "y"}, [("update", id)]),
            ("DELETE", f"/v1/row/{id}", {}, [("delete", id)]),
            (
                "POST",
                "/v1/_batch",
                [{"type": "row", "id": f"{id}.{n}"} for n in range(3)],
                [("createAll", f"{id}.{n}") for n in range(3)],
            ),
        ]
        for method, path, body, events in steps:
            status = call(self.server, method, path, body, connection)
            if status not in (200, 201):
                self.refused.append(status)
                raise http.client.HTTPException
            self.acknowledged += events


@pytest.mark.parametrize("power", [False, True], ids=["process killed", "power lost"])
def test_every_acknowledged_write_arrives(tmp_path: Path, power: bool) -> None:
    print(f"THINGSTEAD_KILL_SEED={SEED}")
    moments = random.Random(SEED)
    trouble = random.Random(SEED + 1)

    def answer(_: Call) -> int | None:
        roll = trouble.random()
        if roll < 0.01:
            time.sleep(0.1)
        return None if roll > 0.998 else 500 if roll > 0.996 else 200

    launcher = forgetful(tmp_path / "fault") if power else ("-m", "thingstead")
    with Receiver(answer=answer) as receiver, Server(tmp_path, SETTINGS, launcher=launcher) as server:
        parts = urlsplit(server.http)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        body = {"targetUrl": receiver.url, "secret": "s", "typeFilter": "row", "urlEncoded": False}
        body |= dict.fromkeys(rules.CHANGES, True)
        assert call(server, "POST", "/v1/webhooks", body, connection) == 201
        connection.close()
        wanted: set[tuple[str, str]] = set()
        seen: set[tuple[str, str]] = set()
        read = 0
        for round in range(-(-ROUNDS // 2)):
            writers = [Writer(server, f"r{round}w{number}") for number in range(WRITERS)]
            for writer in writers:
                writer.start()
            deadline = time.monotonic() + 20
            while not all(writer.acknowledged for writer in writers):
                assert time.monotonic() < deadline, [writer.refused for writer in writers]
                time.sleep(0.005)
            time.sleep(moments.uniform(0.1, 0.6))
            server.kill()
            for writer in writers:
                writer.join(15)
                assert not writer.is_alive()
                assert not writer.refused
                wanted |= set(writer.acknowledged)
            server.restart()
            deadline = time.monotonic() + 60
            while not wanted <= seen:
                assert time.monotonic() < deadline, f"round {round}: {sorted(wanted - seen)[:5]} did not arrive"
                calls = receiver.calls[read:]
                read += len(calls)
                for one in calls:
                    assert one.headers["x-webhook-signature"] == rules.signature(one.payload, "s")
                    event = one.event
                    seen |= {(event["event"], item["id"]) for item in event["items"]}
                time.sleep(0.02)
        assert len(wanted) >= ROUNDS // 2 * WRITERS
