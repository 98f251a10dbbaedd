"""Users and apps over MQTT: they connect with what HTTP takes, reach the topics of things that they may read and desire
where they may write, and lose that at once when their rights end (things.md 6.4; doors.md 26; identity.md 10)."""

import base64
import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.backend import ROOT_SECRET, owner
from support.devices import Device, Refused, Site, site
from support.people import granted, sign_in
from thingstead.core.objects import Draft
from thingstead.model.audit import trail_of
from thingstead.model.tokens import issue

BAD, NOT_AUTHORIZED = 0x86, 0x87
ANY = ["*"]


class Garden(NamedTuple):
    """An app, and a thing of it."""

    here: Site
    auth: tuple[str, str]
    thing: str
    details: dict[str, Any]

    @property
    def name(self) -> str:
        return f"garden-{self.thing}"

    @property
    def shadow(self) -> str:
        return f"$aws/things/{self.name}/shadow"

    def device(self, **more: Any) -> Device:
        return Device(self.here.tls, self.details, five=True, **more)

    def user(self, name: str, groups: str = "users", thing: list[str] | None = None) -> tuple[str, str]:
        """A person with grants; its id and its token."""
        run, backend = self.here.inner.run, self.here.backend
        found = run(sign_in(backend, "garden", name, groups))
        if thing is not None:
            run(granted(backend, "garden", found.user.id, thing=thing))
        return found.user.id, found.token

    def with_token(self, token: str, **more: Any) -> Device:
        given: dict[str, Any] = {"client_id": "p", "five": True, **more}
        client = Device(self.here.plain, username="Bearer", password=token, **given)
        client.name = self.name
        return client

    def as_app(self, **more: Any) -> Device:
        key, secret = self.auth
        given: dict[str, Any] = {"client_id": "a", "five": True, **more}
        client = Device(self.here.plain, username=key, password=secret, **given)
        client.name = self.name
        return client

    def deny(self, client: Device, topic: str, payload: Any = b"") -> None:
        with pytest.raises(Refused) as caught:
            client.publish(topic, payload)
        assert caught.value.code == NOT_AUTHORIZED, topic

    def deny_filter(self, client: Device, pattern: str) -> None:
        with pytest.raises(Refused) as caught:
            client.subscribe(pattern)
        assert caught.value.code == NOT_AUTHORIZED, pattern

    def state(self) -> Any:
        answer = self.here.call("GET", f"/v1/things/{self.thing}/shadow", auth=self.auth)
        return answer.json().get("state", {})


@pytest.fixture
def garden(tmp_path: Path) -> Generator[Garden]:
    with site(tmp_path) as here:
        keys = here.call("GET", "/v1/_setup/garden").json()
        auth = (keys["accessKey"], keys["secretKey"])
        made = here.call("POST", "/v1/things", {"name": "x"}, auth=auth).json()
        yield Garden(here, auth, made["id"], made["deviceDetails"])


def desires(**state: Any) -> dict[str, Any]:
    return {"state": {"desired": state}}


WAYS: list[dict[str, Any]] = [
    {"five": False},
    {"five": True},
    {"five": False, "websocket": True},
    {"five": True, "websocket": True},
    {"five": False, "tls": True},
    {"five": True, "tls": True},
]


def over(garden: Garden, way: dict[str, Any], username: str, password: str) -> Device:
    more, port = dict(way), garden.here.plain
    if more.pop("tls", False):
        more["ca"], port = garden.details["caCert"], garden.here.tls
    elif more.get("websocket"):
        port = int(garden.here.url.rsplit(":", 1)[1])
    client = Device(port, client_id="w", username=username, password=password, **more)
    client.name = garden.name
    return client


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_desired_reaches_the_device(garden: Garden, way: dict[str, Any]) -> None:
    """A user with the right to, and the app, by every listener and both versions."""
    _, token = garden.user("jane", thing=ANY)
    with garden.device() as device:
        device.subscribe(f"{garden.shadow}/update/delta")
        for n, who in enumerate((("Bearer", token), garden.auth)):
            with over(garden, way, *who) as client:
                client.subscribe(f"{garden.shadow}/update/accepted", f"{garden.shadow}/get/+")
                client.ask("update", desires(lamp=n))
                topic, answer = client.next()
                assert (topic, answer["state"]) == ("update/accepted", {"desired": {"lamp": n}})
                assert device.next()[1]["state"] == {"lamp": n}
                client.ask("get", {"clientToken": "t"})
                topic, answer = client.next()
                assert topic == "get/accepted"
                assert (answer["state"]["desired"], answer["clientToken"]) == ({"lamp": n}, "t")


def test_what_a_device_says_is_heard(garden: Garden) -> None:
    _, token = garden.user("jane", thing=ANY)
    with garden.device() as device, garden.with_token(token) as client, garden.as_app() as app:
        for each in (client, app):
            each.subscribe(f"{garden.shadow}/#", f"things/{garden.name}/#")
        device.publish(f"things/{garden.name}/data", {"t": 1})
        for each in (client, app):
            got = sorted(each.next()[0] for _ in range(2))
            assert got == [f"things/{garden.name}/data", "update/documents"]


def test_reported_is_the_devices(garden: Garden) -> None:
    """Refused on `rejected`, in AWS's shape, and nothing changes; deleting takes HTTP."""
    _, token = garden.user("jane", thing=ANY)
    connects = (
        lambda: garden.with_token(token),
        garden.as_app,
        lambda: garden.with_token(token, client_id="q", five=False),
    )
    for connect in connects:
        with connect() as client:
            client.subscribe(f"{garden.shadow}/update/rejected")
            for reported in ({"a": 1}, None):
                before = garden.here.totals()
                body = {"state": {"reported": reported, "desired": {"a": 2}}, "clientToken": "t"}
                client.ask("update", body)
                topic, answer = client.next()
                assert (topic, answer["code"], answer["clientToken"]) == ("update/rejected", 403, "t")
                assert "reported" in answer["message"]
                assert garden.here.totals() == before
                assert garden.state() == {}
            client.ask("update", b"{")
            assert client.next()[1]["code"] == 400
    with garden.with_token(token) as client, garden.as_app() as app:
        garden.deny(client, f"{garden.shadow}/delete")
        garden.deny(app, f"{garden.shadow}/delete")


def test_rights_are_those_of_v1(garden: Garden) -> None:
    """Who may only read does not write, who may only write hears nothing, who has no grant reaches nothing."""
    _, reader = garden.user("reader", thing=["GET"])
    _, writer = garden.user("writer", thing=["POST"])
    _, stranger = garden.user("stranger")
    with garden.with_token(reader) as client:
        client.subscribe(f"{garden.shadow}/get/#", f"{garden.shadow}/+/rejected")
        client.ask("get")
        assert client.next() == ("get", b"")  # requests are messages of the thing's topics, too
        assert client.next()[0] == "get/rejected"
        garden.deny(client, f"{garden.shadow}/update", desires(a=1))
    with garden.with_token(writer) as client:
        garden.deny_filter(client, f"{garden.shadow}/#")
        garden.deny(client, f"{garden.shadow}/get")
        client.ask("update", desires(a=1))
    assert garden.state()["desired"] == {"a": 1}
    with garden.with_token(stranger) as client:
        garden.deny_filter(client, f"{garden.shadow}/#")
        garden.deny_filter(client, f"things/{garden.name}/#")
        for verb in ("get", "update"):
            garden.deny(client, f"{garden.shadow}/{verb}", desires(a=2))
    assert garden.state()["desired"] == {"a": 1}


def test_what_nobody_gets(garden: Garden) -> None:
    _, token = garden.user("admin", groups="admins")
    for client in (garden.with_token(token), garden.as_app()):
        with client:
            for topic in (
                f"{garden.shadow}/update/accepted",
                f"{garden.shadow}/update/delta",
                f"{garden.shadow}/name/n/update",
                f"things/{garden.name}/data",
                f"things/{garden.name}/x",
                "/json/key/dev/attrs",
                "$SYS/x",
                "anything",
                "$aws/things/garden-none/shadow/get",
            ):
                garden.deny(client, topic, desires(a=1))
            for pattern in (
                "#",
                "$aws/#",
                "$aws/things/#",
                "$aws/things/+/shadow/#",
                "$aws/+/" + garden.name + "/shadow/#",
                f"+/{garden.name}/#",
                "things/+/data",
                "things/#",
                f"$aws/things/{garden.name}/#",
                "$aws/things/garden-none/shadow/#",
                "/key/dev/cmd",
                "$SYS/#",
            ):
                garden.deny_filter(client, pattern)
            client.subscribe(f"$aws/things/{garden.name}/shadow/+/accepted", f"things/{garden.name}/data/+")
    assert garden.state() == {}


def test_an_old_client_that_may_not_is_disconnected(garden: Garden) -> None:
    _, token = garden.user("stranger")
    with garden.with_token(token, five=False) as client:
        with pytest.raises(Refused):
            client.subscribe(f"{garden.shadow}/#")
        with pytest.raises(Refused):
            client.publish(f"{garden.shadow}/get")
        client.closed()


def test_own_things_only(garden: Garden) -> None:
    """Under `OWN` a user reaches what it made, and its children, as at REST."""
    here = garden.here
    here.inner.run(granted(here.backend, "garden", "*", thing=["*", "OWN"]))
    id, token = garden.user("jane")
    made = here.call("POST", "/v1/things", {"name": "mine", "creatorid": id}, auth=garden.auth).json()["id"]
    with garden.with_token(token) as client:
        garden.deny_filter(client, f"{garden.shadow}/#")
        garden.deny(client, f"{garden.shadow}/update", desires(a=1))
        client.subscribe(f"$aws/things/garden-{made}/shadow/update/+")
        client.publish(f"$aws/things/garden-{made}/shadow/update", desires(a=1))
        topics = {client.next()[0].rsplit("/", 1)[1] for _ in range(3)}
        assert topics == {"accepted", "documents", "delta"}
        # another owner: the subscription ends at once
        body = {"name": "mine", "creatorid": "somebody"}
        assert here.call("PUT", f"/v1/things/{made}", body, auth=garden.auth).json()["creatorid"] == "somebody"
        assert client.closed() == NOT_AUTHORIZED


def test_names_are_looked_up(garden: Garden) -> None:
    """`farm-x-1` may be `x-1` of farm or `1` of farm-x; it is whose it is, and no other app reaches it."""
    here = garden.here
    keys = {}
    for app in ("farm", "farm-x"):
        made = here.call("GET", f"/v1/_setup/{app}").json()
        keys[app] = (made["accessKey"], made["secretKey"])
    draft = Draft(type="thing", body={"name": "t"}, id="x-1")
    here.inner.run(here.backend.objects.create("farm", draft, owner("farm")))
    topic = "$aws/things/farm-x-1/shadow"
    with Device(here.plain, client_id="a", username=keys["farm"][0], password=keys["farm"][1], five=True) as client:
        client.subscribe(f"{topic}/#")
        client.publish(f"{topic}/update", desires(a=1))
    with Device(here.plain, client_id="a", username=keys["farm-x"][0], password=keys["farm-x"][1], five=True) as client:
        garden.deny_filter(client, f"{topic}/#")
        garden.deny(client, f"{topic}/update", desires(a=2))
        garden.deny(client, f"{garden.shadow}/update", desires(a=2))
    root = ("app:para", ROOT_SECRET)
    own = here.thing()["deviceDetails"]["thingName"]
    with Device(here.plain, client_id="a", username=root[0], password=root[1], five=True) as client:
        client.subscribe(f"$aws/things/{own}/shadow/#")
        client.publish(f"$aws/things/{own}/shadow/update", desires(a=1))
        garden.deny(client, f"{topic}/update", desires(a=2))


def test_a_super_token(garden: Garden) -> None:
    now = int(time.time())
    claims: dict[str, Any] = {"appid": garden.auth[0], "iat": now, "exp": now + 600}
    token = issue(claims, garden.auth[1])
    with garden.with_token(token) as client:
        client.ask("update", desires(a=1))
    for wrong in (
        issue({**claims, "exp": now - 600}, garden.auth[1]),
        issue(claims, "another secret of forty characters, or so"),
        "garbage",
        "",
        base64.b64encode(b"x").decode(),
    ):
        with pytest.raises(Refused) as caught:
            garden.with_token(wrong)
        assert caught.value.code == BAD, wrong


def test_a_will_needs_the_right(garden: Garden) -> None:
    _, reader = garden.user("reader", thing=["GET"])
    id, writer = garden.user("writer", thing=["GET", "POST"])
    will: dict[str, Any] = {"will": f"{garden.shadow}/update", "payload": desires(lamp="off")}
    for more in (will, {"will": "anything"}):
        with pytest.raises(Refused) as caught:
            garden.with_token(reader, **more)
        assert caught.value.code == NOT_AUTHORIZED
    with garden.device() as device:
        device.subscribe(f"{garden.shadow}/update/delta")
        client = garden.with_token(writer, **will)
        garden.with_token(writer).close()  # takes the session over: the will is published
        assert device.next()[1]["state"] == {"lamp": "off"}
        client.close()
        client = garden.with_token(writer, **{**will, "payload": desires(lamp="revoked")})
        garden.here.inner.run(garden.here.backend.users.replace_token_secret("garden", id))
        assert client.closed() == NOT_AUTHORIZED
        assert garden.state()["desired"] == {"lamp": "off"}  # the right to the will had ended
        client.close()


def test_a_grant_that_ends(garden: Garden) -> None:
    """Whoever subscribed is closed at once and hears nothing more; whoever may still stays and misses nothing."""
    here = garden.here
    id, token = garden.user("jane", thing=ANY)
    _, other = garden.user("joe", thing=ANY)
    with garden.device() as device, garden.with_token(token) as jane, garden.with_token(other) as joe:
        for client in (jane, joe):
            client.subscribe(f"{garden.shadow}/update/documents")
        here.inner.run(here.backend.tenants.revoke("garden", id))
        device.ask("update", {"state": {"reported": {"a": 1}}})
        assert joe.next()[0] == "update/documents"
        assert jane.closed() == NOT_AUTHORIZED
        assert jane.received.empty()
        assert joe.connected
    with garden.with_token(token) as jane:
        garden.deny_filter(jane, f"{garden.shadow}/#")


def test_a_right_to_write_that_ends(garden: Garden) -> None:
    """No answer is remembered: the next message is refused, the connection goes on."""
    here = garden.here
    id, token = garden.user("jane", thing=ANY)
    with garden.with_token(token) as jane:
        jane.ask("update", desires(a=1))
        here.inner.run(granted(here.backend, "garden", id, thing=["GET"]))
        garden.deny(jane, f"{garden.shadow}/update", desires(a=2))
        assert jane.connected
    assert garden.state()["desired"] == {"a": 1}


@pytest.mark.parametrize("end", ["secret", "inactive", "deleted"])
def test_an_app_that_ends(garden: Garden, end: str) -> None:
    """Its own sessions close and those of its users: their tokens are signed with its secret."""
    here = garden.here
    _, token = garden.user("jane", thing=ANY)
    with garden.as_app() as app, garden.with_token(token) as jane:
        match end:
            case "secret":
                assert here.call("POST", "/v1/_newkeys", auth=garden.auth).status_code == 200
            case "inactive":
                assert here.call("PATCH", "/v1/apps/app:garden", {"active": False}).status_code == 200
            case _:
                assert here.call("DELETE", "/v1/apps/app:garden").status_code == 200
        assert app.closed() == NOT_AUTHORIZED
        assert jane.closed() == NOT_AUTHORIZED
    for connect in (garden.as_app, lambda: garden.with_token(token)):
        with pytest.raises(Refused) as caught:
            connect()
        assert caught.value.code in (BAD, NOT_AUTHORIZED)


def test_users_that_end(garden: Garden) -> None:
    here = garden.here
    for n, change in enumerate(({"active": False}, None)):
        id, token = garden.user(f"u{n}", thing=ANY)
        with garden.with_token(token) as client:
            client.subscribe(f"{garden.shadow}/#")
            method = "DELETE" if change is None else "PATCH"
            assert here.call(method, f"/v1/users/{id}", change, auth=garden.auth).status_code == 200
            assert client.closed() == NOT_AUTHORIZED
    id, token = garden.user("boss", groups="admins")
    with garden.with_token(token) as client:
        client.subscribe(f"{garden.shadow}/#")
        body = here.call("GET", f"/v1/users/{id}", auth=garden.auth).json()
        body = {**body, "active": True, "groups": "users"}
        assert here.call("PUT", f"/v1/users/{id}", body, auth=garden.auth).json()["groups"] == "users"
        assert client.closed() == NOT_AUTHORIZED


def test_a_deleted_thing(garden: Garden) -> None:
    _, token = garden.user("jane", thing=ANY)
    with garden.with_token(token) as client, garden.with_token(token, client_id="q") as idle:
        client.subscribe(f"{garden.shadow}/#")
        assert garden.here.call("DELETE", f"/v1/things/{garden.thing}", auth=garden.auth).status_code == 200
        assert client.closed() == NOT_AUTHORIZED
        garden.deny(idle, f"{garden.shadow}/get")


def test_a_session_that_comes_back(garden: Garden) -> None:
    """What it subscribed to is asked about again; what it may not see any more is gone, with what waited."""
    here = garden.here
    id, token = garden.user("jane", thing=ANY)
    more: dict[str, Any] = {"clean": False, "expiry": 600}
    with garden.with_token(token, **more) as client:
        client.subscribe(f"{garden.shadow}/update/documents")
    with garden.device() as device:
        device.ask("update", {"state": {"reported": {"a": 1}}})
        with garden.with_token(token, **more) as client:
            assert client.next()[1]["current"]["state"] == {"reported": {"a": 1}}
        device.ask("update", {"state": {"reported": {"a": 2}}})
        here.inner.run(here.backend.tenants.revoke("garden", id))
        with garden.with_token(token, **more) as client:
            here.inner.run(granted(here.backend, "garden", id, thing=["GET"]))
            device.ask("update", {"state": {"reported": {"a": 3}}})
            client.subscribe(f"{garden.shadow}/update/accepted")
            client.ask("get")
            device.ask("update", {"state": {"reported": {"a": 4}}})
            assert client.next()[0] == "update/accepted"


def test_messages_keep_their_order(garden: Garden) -> None:
    """Many in one read, of which each asks for rights: all are served, in order."""
    _, token = garden.user("jane", thing=ANY)
    with garden.with_token(token) as client:
        client.subscribe(f"{garden.shadow}/update/accepted")
        for n in range(250):
            client._client.publish(f"{garden.shadow}/update", json.dumps(desires(n=n)), 1)
        assert [client.next()[1]["state"]["desired"]["n"] for _ in range(250)] == list(range(250))


def test_what_is_sent_before_the_end_counts(garden: Garden) -> None:
    _, token = garden.user("jane", thing=ANY)
    with garden.device() as device:
        device.subscribe(f"{garden.shadow}/update/delta")
        client = garden.with_token(token)
        client._client.publish(f"{garden.shadow}/update", json.dumps(desires(last=1)), 0)
        client.close()
        assert device.next()[1]["state"] == {"last": 1}


def test_refused_connects_are_told(garden: Garden) -> None:
    """Ids in the trail of the app, equal ones counted once; no secret, and no user name that may be one."""
    here = garden.here
    cases: list[dict[str, Any]] = [
        {"username": garden.auth[0], "password": "wrong secret"},
        {"username": garden.auth[0], "password": "wrong secret"},
        {"username": garden.name, "password": "wrong secret"},
        {"username": "an-apikey", "password": "wrong secret"},
        {"username": "Bearer", "password": "garbage token"},
    ]
    told: list[tuple[str, str, dict[str, str]]] = []
    note = here.backend.audit.note

    def noted(event: str, app: str, actor: str, **details: str) -> None:
        told.append((event, app, details | {"actor": actor}))
        note(event, app, actor, **details)

    here.backend.audit.note = noted  # type: ignore[method-assign]
    for case in cases:
        with pytest.raises(Refused):
            Device(here.plain, client_id="x", five=True, **case)
    assert [(event, app) for event, app, _ in told] == [
        ("refused", "garden"),
        ("refused", "garden"),
        ("refused", "garden"),
        ("refused", ""),
        ("refused", ""),
    ]
    text = repr(told)
    assert "wrong secret" not in text
    assert "an-apikey" not in text
    assert "garbage" not in text
    assert [details["actor"] for _, _, details in told][:3] == [garden.auth[0], garden.auth[0], garden.name]

    async def written() -> int:
        await here.backend.audit.write()
        return await here.backend.store.objects.count(trail_of("garden"))

    rows = here.inner.run(written())
    assert rows >= 2
    with pytest.raises(Refused):
        Device(here.plain, client_id="x", five=True, username=garden.auth[0], password="wrong secret")
    assert here.inner.run(written()) == rows
