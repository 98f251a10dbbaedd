"""Promise: webhooks over `/v1`, as Para's clients make them: subscribe, receive, trigger; and what `/metrics` says."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from support.client import Client
from support.receiver import Receiver
from support.server import Server
from thingstead.model import webhooks as rules


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Client]]:
    settings = {"para.webhooks_enabled": "true", "para.outbound_allow": "127.0.0.0/8"}
    with Server(tmp_path_factory.mktemp("webhooks"), settings) as server:
        yield server, Client(server.http, server.root)


def test_subscribe_receive_and_stop(served: tuple[Server, Client]) -> None:
    server, client = served
    with Receiver() as receiver:
        body = {"update": True, "targetUrl": receiver.url, "secret": "s", "typeFilter": "user", "urlEncoded": False}
        made = client.send("POST", "/v1/webhooks", body)
        assert made.status_code == 201
        shown = made.json()
        flags = {name: shown[name] for name in ("active", "tooManyFailures", "update", "create")}
        assert flags == {"active": True, "tooManyFailures": False, "update": True, "create": False}
        assert (shown["plural"], shown["secret"], shown["targetUrl"]) == ("webhooks", "s", receiver.url)
        path = f"/v1/webhooks/{shown['id']}"
        assert client.send("GET", path).json() == shown
        patched = client.send("PATCH", path, {**shown, "typeFilter": "*", "create": True, "createAll": True})
        assert patched.status_code == 200
        assert client.send("POST", "/v1/cat", {"id": "c1", "name": "Tom"}).status_code == 201
        assert client.send("PATCH", "/v1/cat/c1", {"name": "Tim"}).status_code == 200
        assert client.send("POST", "/v1/_batch", [{"type": "cat", "id": "c2"}, {"type": "cat"}]).status_code == 200
        calls = [call for call in receiver.wait(4) if call.event["items"][0]["type"] == "cat"]
        assert [call.headers["x-para-event"] for call in calls] == ["create", "update", "createAll"]
        assert [call.event["items"][0]["name"] for call in calls[:2]] == ["Tom", "Tim"]
        assert all(call.headers["x-webhook-signature"] == rules.signature(call.body, "s") for call in calls)
        assert client.send("DELETE", path).status_code == 200
        assert client.send("POST", "/v1/cat", {"name": "later"}).status_code == 201
        deadline = time.monotonic() + 10
        text = ""
        while not re.search(r'^thingstead_queue_waiting\{queue="webhooks"\} 0.0$', text, re.MULTILINE):
            assert time.monotonic() < deadline, "the queue does not get empty"
            text = urlopen(f"{server.http}/metrics", timeout=10).read().decode()
        delivered = re.search(r"^thingstead_webhooks_delivered_total (\d+)", text, re.MULTILINE)
        assert delivered is not None
        assert int(delivered[1]) >= 4
        assert len(receiver.calls) == 4


def test_custom_events(served: tuple[Server, Client]) -> None:
    _, client = served
    with Receiver() as receiver:
        assert client.send("POST", "/v1/webhooks", {"targetUrl": receiver.url, "customEvents": ["post.like"]}).json()[
            "active"
        ]
        body = {"triggeredEvent": "post.like", "customPayload": {"by": "ann"}}
        made = client.send("POST", "/v1/webhooks", body)
        assert made.status_code == 201
        assert made.json()["id"] == "triggered:post.like"
        [call] = receiver.wait(1)
        assert call.event["items"] == [{"by": "ann"}]
        assert client.send("GET", "/v1/webhooks/triggered:post.like").status_code == 404
        assert client.send("POST", "/v1/webhooks", {"triggeredEvent": ""}).status_code == 400  # no trigger: no target


BAD = [
    ({}, 400),
    ({"create": True}, 400),
    ({"targetUrl": None}, 400),
    ({"targetUrl": "nonsense"}, 400),
    ({"targetUrl": ["http://x"]}, 400),
    ({"targetUrl": "http://user:secretword@t.example/"}, 400),
    ({"targetUrl": "http://t.example/#f"}, 400),
    ({"targetUrl": "http://t.example/", "customEvents": {"a": 1}, "create": "maybe", "secret": 5}, 201),
    ({"targetUrl": "http://t.example/", "repeatedDeliveryAttempts": "x" * 99, "typeFilter": []}, 201),
    ({"targetUrl": "http://t.example/", "repeatedDeliveryAttempts": 1e300}, 201),
    ({"triggeredEvent": {"a": 1}}, 400),
    ({"triggeredEvent": "a\r\nb"}, 400),
    ({"triggeredEvent": 7}, 400),
]


def test_bad_input_is_told_and_changes_nothing(served: tuple[Server, Client]) -> None:
    _, client = served
    before = client.send("GET", "/v1/webhooks?limit=1").json()["totalHits"]
    for body, status in BAD:
        answer = client.send("POST", "/v1/webhooks", body)
        assert answer.status_code == status, (body, answer.text)
        if status == 400:
            assert answer.json()["code"] == 400
            assert "secretword" not in answer.text
    made = sum(status == 201 for _, status in BAD)
    assert client.send("GET", "/v1/webhooks?limit=1").json()["totalHits"] == before + made


def test_secrets_are_not_found_by_search(served: tuple[Server, Client]) -> None:
    _, client = served
    body = {"id": "hidden", "targetUrl": "http://t.example/", "secret": "findmeplease"}
    assert client.send("POST", "/v1/webhooks", body).status_code == 201
    for query in ("q=findmeplease", "q=secret:findmeplease", "q=secret:*"):
        assert client.send("GET", f"/v1/webhooks?{query}").json()["totalHits"] == 0
    assert client.send("GET", "/v1/webhooks?q=id:hidden").json()["totalHits"] == 1


def test_the_server_ends_quickly_while_a_receiver_hangs(tmp_path: Path) -> None:
    hanging = threading.Event()

    def hang(_: object) -> int:
        hanging.wait(20)
        return 200

    settings = {"para.webhooks_enabled": "true", "para.outbound_allow": "127.0.0.0/8"}
    with Receiver(answer=hang) as receiver, Server(tmp_path, settings) as server:
        client = Client(server.http, server.root)
        body = {"targetUrl": receiver.url, "create": True, "typeFilter": "cat"}
        assert client.send("POST", "/v1/webhooks", body).status_code == 201
        assert client.send("POST", "/v1/cat", {"id": "c"}).status_code == 201
        receiver.wait(1)
        assert server.stop() == 0
        hanging.set()
        server.restart()
        assert [call.event["items"][0]["id"] for call in receiver.wait(2)] == ["c", "c"]
