"""Who may connect over MQTT, and that a device reaches its own topics only (things.md 6.3, 6.4; doors.md 26, 31)."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from support.backend import owner
from support.devices import Device, Refused, Site, site

BAD, NOT_AUTHORIZED, CLIENT_ID, TOO_MANY = 0x86, 0x87, 0x85, 0x9F


@pytest.fixture
def here(tmp_path: Path) -> Generator[Site]:
    with site(tmp_path) as started:
        yield started


@pytest.fixture
def details(here: Site) -> dict[str, Any]:
    return here.thing()["deviceDetails"]


def refused(port: int, details: dict[str, Any] | None = None, **more: Any) -> int:
    with pytest.raises(Refused) as caught:
        Device(port, details, **more)
    return caught.value.code


def test_a_certificate(here: Site, details: dict[str, Any]) -> None:
    """The client id is the thing's name or empty, and what else is said does not matter: AWS SDKs send user names."""
    name = details["thingName"]
    for more in (
        {},
        {"client_id": ""},
        {"username": "?SDK=Python&Version=1.6.2"},
        {"username": "another", "password": "wrong"},
        {"five": True},
        {"five": True, "client_id": "", "username": "?SDK=IoTDeviceSDK/Python&Platform=Linux"},
    ):
        with Device(here.tls, details, **more) as device:
            device.publish(f"things/{name}/data", {"a": 1})
    assert refused(here.tls, details, client_id="another", five=True) == CLIENT_ID
    assert refused(here.tls, details, client_id="another") == CLIENT_ID


def test_a_secret(here: Site, details: dict[str, Any]) -> None:
    """Without a certificate: cloud id and secret, over TLS or plain; any client id."""
    name, secret = details["thingName"], details["secret"]
    for port, more in ((here.tls, {"ca": details["caCert"]}), (here.plain, {})):
        for five in (False, True):
            with Device(port, client_id="x", username=name, password=secret, five=five, **more) as device:
                device.publish(f"things/{name}/data", {"a": 1})
    assert refused(here.plain, username=name, password=secret + "x", five=True) == BAD
    assert refused(here.plain, username=name, password="x", five=True) == BAD
    assert refused(here.plain, username="para-0", password=secret, five=True) == BAD
    assert refused(here.plain, username=name, password=secret + "x") in (BAD, NOT_AUTHORIZED)


def test_another_things_secret(here: Site, details: dict[str, Any]) -> None:
    other = here.thing()["deviceDetails"]
    assert refused(here.plain, username=details["thingName"], password=other["secret"], five=True) == BAD


def test_who_guesses_is_refused_unheard(tmp_path: Path) -> None:
    """Wrong secrets of things, apps and users, and wrong tokens, count together, ten in a minute (things.md 6.3); the
    right one is not listened to then. An apikey alone proves nothing that could be guessed: it is let in whether there
    is a group of it or not."""
    with site(tmp_path) as here:
        details = here.thing()["deviceDetails"]
        name, secret = details["thingName"], details["secret"]
        guesses = (
            (name, "wrong"),
            ("app:para", "wrong"),
            ("para/jane@x.example", "wrong"),
            ("Bearer", "x.y.z"),
            ("no-such-thing", secret),
        )
        with Device(here.plain, client_id="key", username="unknown-apikey", five=True):
            for username, password in guesses * 2:
                assert refused(here.plain, username=username, password=password, five=True) == BAD
        assert refused(here.plain, username=name, password=secret, five=True) == TOO_MANY


@pytest.mark.parametrize("username", ["things", "kit", "devices", "json", "ul", "+", "a/b", "#", "?SDK=Python"])
def test_user_names_that_are_no_apikey(here: Site, username: str) -> None:
    assert refused(here.plain, username=username, five=True) == BAD


def test_an_apikey_reaches_the_agents_topics_only(here: Site, details: dict[str, Any]) -> None:
    with Device(here.plain, username="key", five=True) as device:
        device.publish("/json/key/dev/attrs", {"a": 1})
        device.subscribe("/key/dev/cmd")
        for topic in ("/json/other/dev/attrs", f"things/{details['thingName']}/data", "anything"):
            with pytest.raises(Refused) as caught:
                device.publish(topic, {"a": 1})
            assert caught.value.code == NOT_AUTHORIZED
        for pattern in ("#", "/+/+/cmd", "/other/dev/cmd", f"things/{details['thingName']}/#"):
            with pytest.raises(Refused):
                device.subscribe(pattern)


def test_nobody_on_loopback_reaches_the_agents_topics_only(here: Site, details: dict[str, Any]) -> None:
    with Device(here.plain, five=True) as device:
        device.publish("/json/key/dev/attrs", {"a": 1})
        device.publish("/key/dev/attrs/t", b"1")
        device.subscribe("/key/dev/cmd")
        name = details["thingName"]
        for topic in (f"things/{name}/data", f"$aws/things/{name}/shadow/update", f"/things/{name}/attrs", "x"):
            with pytest.raises(Refused) as caught:
                device.publish(topic, {"a": 1})
            assert caught.value.code == NOT_AUTHORIZED
        for pattern in ("#", "/#", "/+/+/cmd", "$aws/#", "$SYS/#", f"things/{name}/#"):
            with pytest.raises(Refused):
                device.subscribe(pattern)


PUBLISH = (
    "$aws/things/{other}/shadow/update",
    "$aws/things/{other}/shadow/get",
    "things/{other}/data",
    "things/{other}/anything",
    "$aws/things/{own}/shadow/update/accepted",
    "$aws/things/{own}/shadow/update/delta",
    "$aws/things/{own}/shadow/update/documents",
    "$aws/things/{own}/shadow/get/rejected",
    "$aws/things/{own}/shadow/name/n/update",
    "/json/key/dev/attrs",
    "$SYS/broker",
    "anything",
)
SUBSCRIBE = (
    "#",
    "+/#",
    "$aws/#",
    "$aws/things/+/#",
    "$aws/things/+/shadow/update/delta",
    "$aws/things/{other}/shadow/#",
    "things/#",
    "things/+/data",
    "things/{other}/#",
    "$share/g/things/{own}/#",
    "/+/+/cmd",
)


def test_a_device_reaches_its_own_topics_only(here: Site, details: dict[str, Any]) -> None:
    """MQTT 5: refused with 0x87, and the connection goes on; nothing is stored."""
    other = here.thing()
    names = {"own": details["thingName"], "other": other["deviceDetails"]["thingName"]}
    before = here.totals()
    with Device(here.tls, details, five=True) as device:
        for topic in PUBLISH:
            with pytest.raises(Refused) as caught:
                device.publish(topic.format(**names), {"state": {"reported": {"spoofed": 1}}, "spoofed": 1})
            assert caught.value.code == NOT_AUTHORIZED, topic
        for pattern in SUBSCRIBE:
            with pytest.raises(Refused):
                device.subscribe(pattern.format(**names))
        assert here.totals() == before
        assert here.call("GET", f"/v1/things/{other['id']}/shadow").status_code == 404
        device.publish(f"things/{device.name}/data", {"a": 1})


def test_an_old_client_is_disconnected(here: Site, details: dict[str, Any]) -> None:
    """MQTT 3.1.1 knows no other no, as at AWS."""
    other = here.thing()["deviceDetails"]["thingName"]
    with Device(here.tls, details) as device:
        with pytest.raises(Refused):
            device.publish(f"things/{other}/data", {"a": 1})
        device.closed()


def test_a_will_needs_the_right_to_publish_it(here: Site, details: dict[str, Any]) -> None:
    other = here.thing()["deviceDetails"]["thingName"]
    assert refused(here.tls, details, will=f"things/{other}/data", five=True) == NOT_AUTHORIZED
    with Device(here.tls, details, will=f"things/{details['thingName']}/gone", five=True):
        pass


def test_another_device_hears_nothing(here: Site, details: dict[str, Any]) -> None:
    other = here.thing()["deviceDetails"]
    with Device(here.tls, details) as device, Device(here.tls, other) as listener:
        listener.subscribe(f"$aws/things/{listener.name}/shadow/#", f"things/{listener.name}/#")
        device.ask("update", {"state": {"reported": {"a": 1}, "desired": {"a": 2}}})
        device.publish(f"things/{device.name}/data", {"a": 1})
        listener.publish(f"things/{listener.name}/mine", {"own": 1})
        assert listener.received.get(timeout=10) == (f"things/{listener.name}/mine", {"own": 1})
        assert listener.received.empty()


def test_a_rotated_credential_closes_its_session_at_once(here: Site) -> None:
    thing = here.thing()
    old = thing["deviceDetails"]
    with (
        Device(here.tls, old, five=True) as device,
        Device(here.plain, username=old["thingName"], password=old["secret"], five=True) as second,
    ):
        answer = here.call("POST", f"/v1/things/{thing['id']}/credentials")
        assert answer.status_code == 201, answer.text
        for one in (device, second):
            assert one.closed() == NOT_AUTHORIZED
    fresh = answer.json()
    assert refused(here.tls, old, five=True) in (BAD, NOT_AUTHORIZED)
    assert refused(here.plain, username=old["thingName"], password=old["secret"], five=True) == BAD
    with Device(here.tls, fresh) as device:
        device.publish(f"things/{device.name}/data", {"a": 1})
    with Device(here.plain, username=fresh["thingName"], password=fresh["secret"]):
        pass


def test_deleting_a_thing_closes_its_session_at_once(here: Site) -> None:
    thing = here.thing()
    details = thing["deviceDetails"]
    with Device(here.tls, details, five=True) as device:
        assert here.call("DELETE", f"/v1/things/{thing['id']}").status_code == 200
        assert device.closed() == NOT_AUTHORIZED
    assert refused(here.tls, details, five=True) in (BAD, NOT_AUTHORIZED)
    assert refused(here.plain, username=details["thingName"], password=details["secret"], five=True) == BAD


def test_a_certificate_of_another_authority_does_not_connect(here: Site, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with site(other) as foreign:
        stolen = {**foreign.thing()["deviceDetails"], "caCert": here.thing()["deviceDetails"]["caCert"]}
    with pytest.raises((OSError, Refused)):
        Device(here.tls, stolen)


def test_an_inactive_app_is_refused(here: Site) -> None:
    keys = here.call("GET", "/v1/_setup/garden").json()
    auth = (keys["accessKey"], keys["secretKey"])
    made = here.call("POST", "/v1/things", {"name": "x"}, auth=auth).json()
    details = made["deviceDetails"]
    assert details["thingName"] == f"garden-{made['id']}"
    with Device(here.tls, details) as device:
        device.publish(f"things/{device.name}/data", {"a": 1})
    assert here.call("PATCH", "/v1/apps/app:garden", {"active": False}).status_code == 200
    assert refused(here.tls, details, five=True) == NOT_AUTHORIZED
    assert refused(here.plain, username=details["thingName"], password=details["secret"], five=True) == NOT_AUTHORIZED


def test_the_sessions_of_an_app_can_be_closed(here: Site, details: dict[str, Any]) -> None:
    from thingstead.doors.things import close_sessions

    async def close(app: str) -> int:
        return close_sessions(here.broker, app)

    with Device(here.tls, details, five=True) as device:
        assert here.inner.run(close("garden")) == 0
        assert device.connected
        assert here.inner.run(close("para")) == 1
        assert device.closed() == NOT_AUTHORIZED


def test_credentials_that_end_during_a_connect_do_not_get_in(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rotation falls between the look-up of the certificate and the open connection."""
    thing = here.thing()
    identity = here.backend.identity
    look_up = identity.device
    rotated: list[Any] = []

    async def slow(**given: Any) -> Any:
        principal = await look_up(**given)
        if not rotated:
            rotated.append(await here.backend.things.credentials("para", thing["id"], owner("para")))
        return principal

    monkeypatch.setattr(identity, "device", slow)
    assert refused(here.tls, thing["deviceDetails"], five=True) == BAD
    assert len(rotated) == 1


def test_a_device_of_the_agent_with_credentials(here: Site) -> None:
    """A thing that is also a device of the agent reaches its own agent topics, and no other device's."""
    item = {"device_id": "dev", "apikey": "key", "transport": "MQTT"}
    agents = here.backend.agents
    here.inner.run(agents.add_devices("para", "para", "/", [item], owner("para")))
    device = here.inner.run(agents.device("para", "/", "dev"))
    details = here.call("POST", f"/v1/things/{device.thing}/credentials").json()
    with Device(here.tls, details, five=True) as client:
        client.publish("/json/key/dev/attrs", {"a": 1})
        client.subscribe("/key/dev/cmd")
        for topic in ("/json/key/other/attrs", "/json/other/dev/attrs"):
            with pytest.raises(Refused):
                client.publish(topic, {"a": 1})
        with pytest.raises(Refused):
            client.subscribe("/key/+/cmd")


def test_a_user_connects_until_its_tokens_end_and_reaches_nothing_of_other_apps(
    here: Site, details: dict[str, Any]
) -> None:
    """Its token is the password of the user name `Bearer`; or its app and address, and its password (doors.md 29)."""
    backend = here.backend

    async def user() -> tuple[str, str]:
        app, _ = await backend.tenants.create("people")
        await backend.tenants.put_setting("people", "security.allow_unverified_emails", True)
        app = await backend.tenants.get("people")
        signed_in = await backend.signin.with_token(app, "password", "jane@x.example::a good password")
        return signed_in.user.id, signed_in.token

    id, token = here.inner.run(user())
    password = "a good password"
    with (
        Device(here.plain, client_id="a", username="bearer", password=token, five=True) as by_token,
        Device(here.plain, client_id="b", username="people/jane@x.example", password=password, five=True) as named,
    ):
        for device in (by_token, named):
            with pytest.raises(Refused):
                device.subscribe(f"things/{details['thingName']}/#")
        here.inner.run(backend.users.replace_token_secret("people", id))
        assert by_token.closed() == NOT_AUTHORIZED
        assert named.closed() == NOT_AUTHORIZED
    assert refused(here.plain, client_id="a", username="Bearer", password=token, five=True) == BAD
    assert refused(here.plain, client_id="a", username="Bearer", password="x", five=True) == BAD
    assert refused(here.plain, client_id="a", username="people/jane@x.example", password="wrong", five=True) == BAD
    assert refused(here.plain, client_id="a", username="people/", password="wrong", five=True) == BAD
