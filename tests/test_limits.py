"""Promise: every limit of docs/reference/limits.md holds, at the limit and one beyond it, at every door that it names.

Each row drives one limit at one door of a real server and says what the limit lets through and what the next gets. The
page and the rows name the same limits. Each row of rates comes from an address of its own, behind a trusted proxy.
"""

import base64
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from support.client import Client, Reply
from support.members import Member
from support.server import Server
from support.sign import Signer
from thingstead.transports.mqtt.codec import encode
from thingstead.transports.mqtt.packets import Connect, Pingreq, Pingresp, Publish

PAGE: Final = Path(__file__).parent.parent / "docs/reference/limits.md"
SECONDS: Final = 10
JSON: Final = {"Content-Type": "application/json"}
FIWARE: Final = {"fiware-service": "para", "fiware-servicepath": "/", **JSON}
SETTINGS: Final = {
    "trusted_proxies": "127.0.0.1",
    "limits.sign_in": "3",
    "limits.refused": "3",
    "limits.guest": "3",
    "chain.max_body": "4096",
    "hypermedia.write": "auth",
    "hypermedia.read": "auth",
    "agent.access": "auth",
    "context.access": "auth",
    "mqtt.max_packet": "2048",
    "http.max_frame": "2048",
    "http.head_timeout": "1",
    "http.idle_timeout": "1",
}
TIGHT: Final = {
    "trusted_proxies": "127.0.0.1",
    "limits.app": "12",
    "limits.user": "5",
    "limits.thing": "5",
    "limits.address": "40",
}
ELSEWHERE: Final = {  # what bounds sockets is driven where sockets can be counted
    "connections": "transports/test_http_guard.py::test_connections",
    "connections of an address": "transports/test_http_guard.py::test_connections_of_an_address",
    "slow reader": "transports/test_http_guard.py::test_who_does_not_read_its_answer_is_cut_off",
    "MQTT connections": "transports/test_mqtt_limits.py::test_connections",
    "MQTT connections of an address": "transports/test_mqtt_limits.py::test_connections_of_an_address",
    "MQTT connects": "transports/test_mqtt_limits.py::test_connects",
    "MQTT failures": "transports/test_mqtt_limits.py::test_failures",
    "MQTT publishes": "transports/test_mqtt_limits.py::test_publishes",
}
_addresses = count(1)
_driven: set[str] = set()
_Test = TypeVar("_Test", bound=Callable[..., None])


def drives(*limits: str) -> Callable[[_Test], _Test]:
    """Says which rows of the page a test drives at the limit and one beyond."""
    _driven.update(limits)
    return lambda test: test


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("limits"), SETTINGS) as running:
        known = {"apikey": "known", "resource": "/iot/json", "entity_type": "T"}
        group = {"services": [known, {**known, "apikey": "closed", "autoprovision": False}]}
        assert Client(running.agent, running.root).send("POST", "/iot/services", group, **FIWARE).status_code == 200
        yield running


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("tight"), TIGHT) as running:
        yield running


@pytest.fixture(scope="module")
def shop(tight: Server) -> Client:
    """An app at the tight server, whose requests count from 0."""
    made = Client(tight.http, tight.root).send("GET", "/v1/_setup/shop").json()
    return Client(tight.http, Signer(made["accessKey"], made["secretKey"]))


def address() -> str:
    """One that nobody had before, of an IPv6 network that nobody had."""
    return f"2001:db8:{next(_addresses):x}::1"


# --- rates: the n-th is answered as ever, the next 429 with Retry-After, in the door's own shape

Shape = Callable[[Any], bool]


def para(body: Any) -> bool:
    return body["code"] == 429 and "try again" in body["message"]


REFUSALS: Final[dict[str, tuple[str, str, str, dict[str, str], Shape]]] = {
    "objects": ("http", "GET", "/v1/dogs", {}, para),
    "hypermedia": ("http", "GET", "/sites/", {}, lambda body: body["errors"][0]["code"] == "too_many_requests"),
    "kits": ("http", "GET", "/kits", {}, para),
    "things": ("http", "GET", "/things/x/shadow", {}, lambda body: body["code"] == "429" or body["code"] == 429),
    "agent": ("agent", "GET", "/iot/devices", FIWARE, lambda body: body["name"] == "LIMIT_REACHED"),
    "context": ("context", "GET", "/v2/entities", {}, lambda body: body["error"] == "TooManyRequests"),
}


@pytest.mark.parametrize("door", REFUSALS)
def test_refusals(server: Server, door: str) -> None:
    port, method, path, headers, shape = REFUSALS[door]
    client, here = Client(server.ready[port]), address()
    sent = {**headers, "X-Forwarded-For": here}
    for _ in range(3):
        assert client.send(method, path, **sent).status_code == 401
    limited(client.send(method, path, **sent), shape)
    assert client.send(method, path, **{**sent, "X-Forwarded-For": address()}).status_code == 401
    # whoever proves who they are is not kept out by who does not, but passwords are not even looked at
    signed = Client(server.ready[port], server.root)
    assert signed.send(method, path, **sent).status_code in (200, 404)
    key = base64.b64encode(f"{server.root.access_key}:{server.root.secret}".encode()).decode()
    limited(client.send(method, path, **sent, Authorization=f"Basic {key}"), shape)


@drives("refused stream")
def test_refused_handshakes(server: Server) -> None:
    here, url = address(), server.http.replace("http", "ws") + "/ws/site-1"
    statuses: list[int] = []
    for _ in range(4):
        with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers={"X-Forwarded-For": here}):
            pass
        statuses.append(refused.value.response.status_code)
    assert statuses == [401, 401, 401, 429]
    assert int(refused.value.response.headers["retry-after"]) >= 1


@drives("sign-in")
def test_sign_ins(server: Server) -> None:
    client, here = Client(server.http), address()
    body = {"appid": "nobody", "provider": "password", "token": "a@b.co::password"}
    for _ in range(3):
        assert client.send("POST", "/jwt_auth", body, X_Forwarded_For=here).status_code == 400
    limited(client.send("POST", "/jwt_auth", body, X_Forwarded_For=here), para)
    limited(client.send("GET", "/jwt_auth", X_Forwarded_For=here.replace("::1", "::2")), para)  # the same /64
    assert client.send("POST", "/jwt_auth", body, X_Forwarded_For=address()).status_code == 400


@pytest.mark.parametrize("path", ["/password_auth", "/facebook_auth", "/ldap_auth", "/saml_auth"])
def test_sign_ins_on_the_web(server: Server, path: str) -> None:
    client, here = Client(server.http), address()
    for _ in range(3):
        assert client.send("GET", path, X_Forwarded_For=here).status_code != 429
    limited(client.send("GET", path, X_Forwarded_For=here), para)
    page = client.send("POST", path, X_Forwarded_For=here, Accept="text/html,*/*;q=0.8")  # a browser gets a page
    assert (page.status_code, page.headers["content-type"]) == (429, "text/html; charset=utf-8")
    assert int(page.headers["retry-after"]) >= 1
    assert "Too many requests" in page.text
    limited(client.send("POST", "/jwt_auth", {"appid": "nobody"}, X_Forwarded_For=here), para)  # they count together
    assert client.send("GET", path, X_Forwarded_For=address()).status_code != 429


@drives("refused south")
@pytest.mark.parametrize("wrong", ["k=guess&i=d", "k=closed&i=nobody"])
def test_guesses_of_devices_and_apikeys(server: Server, wrong: str) -> None:
    client, here = Client(server.south), address()

    def measure(who: str, at: str) -> Reply:
        return client.send("POST", f"/iot/json?{who}", b'{"t":1}', **{**JSON, "X-Forwarded-For": at})

    assert measure("k=known&i=d", here).status_code == 200
    for _ in range(3):
        assert measure(wrong, here).status_code == 404
    limited(measure(wrong, here), lambda body: body["name"] == "LIMIT_REACHED")
    assert measure("k=known&i=d", here).status_code == 429  # nothing is heard that may be the next guess
    assert measure("k=known&i=d", address()).status_code == 200


@drives("guest")
def test_guests(server: Server) -> None:
    client, here = Client(server.http), address()
    made = Client(server.http, server.root).send("GET", "/v1/_setup/open").json()
    Client(server.http, Signer(made["accessKey"], made["secretKey"])).send(
        "PUT", "/v1/_permissions/*/cat", ["GET", "?"]
    )

    def ask(at: str) -> Reply:
        return client.send("GET", "/v1/cat", Authorization="Anonymous app:open", X_Forwarded_For=at)

    for _ in range(3):
        assert ask(here).status_code == 200
    limited(ask(here), para)
    assert ask(address()).status_code == 200


@drives("app")
def test_apps(tight: Server, shop: Client) -> None:
    made = Client(tight.http, tight.root).send("GET", "/v1/_setup/busy").json()
    busy = Client(tight.http, Signer(made["accessKey"], made["secretKey"]))
    for _ in range(12):
        assert busy.send("GET", "/v1/dogs", X_Forwarded_For=address()).status_code == 200
    limited(busy.send("GET", "/v1/dogs", X_Forwarded_For=address()), para)  # from wherever it asks
    assert shop.send("GET", "/v1/dogs", X_Forwarded_For=address()).status_code == 200


@drives("user")
def test_users(tight: Server, shop: Client) -> None:
    ann, bob = (Member(tight.http, shop, name) for name in ("ann", "bob"))
    for _ in range(5):
        assert ann.send("GET", "/v1/_me").status_code == 200
    limited(ann.send("GET", "/v1/_me"), para)
    assert bob.send("GET", "/v1/_me").status_code == 200


@drives("thing")
def test_things(tight: Server, shop: Client) -> None:
    made = shop.send("POST", "/v1/things", {"name": "lamp"}).json()
    key = f"{made['deviceDetails']['thingName']}:{made['deviceDetails']['secret']}"
    sent = {"Authorization": "Basic " + base64.b64encode(key.encode()).decode()}
    path = f"/v1/things/{made['id']}"
    for _ in range(5):
        assert Client(tight.http).send("GET", path, X_Forwarded_For=address(), **sent).status_code == 200
    limited(Client(tight.http).send("GET", path, X_Forwarded_For=address(), **sent), para)


@drives("address")
def test_requests_of_an_address(tight: Server) -> None:
    client, here = Client(tight.http), address()
    for _ in range(40):
        assert client.send("GET", "/v1", X_Forwarded_For=here).status_code == 200
    limited(client.send("GET", "/v1", X_Forwarded_For=here), para)
    assert client.send("GET", "/v1", X_Forwarded_For=address()).status_code == 200


def limited(reply: Reply, shape: Shape) -> None:
    assert reply.status_code == 429, reply.text
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert shape(reply.json()), reply.text


# --- sizes

PORTS: Final = ("http", "agent", "south", "context")
MIB: Final = 1 << 20
Send = Callable[[Server, int], int]


def padded(text: str, size: int) -> bytes:
    """A JSON object of exactly so many bytes."""
    body = text.replace("PAD", "x" * (size - len(text) + 3))
    assert len(body) == size
    return body.encode()


def posted(port: str, path: str, text: str, **headers: str) -> Send:
    def send(server: Server, size: int) -> int:
        client = Client(server.ready[port], server.root)
        return client.send("POST", path, padded(text, size), **headers).status_code

    return send


def nested(port: str, path: str, around: str, **headers: str) -> Send:
    """`around` holds DEEP, which is a value of so many levels."""

    def send(server: Server, depth: int) -> int:
        body = around.replace("DEEP", "[" * depth + "]" * depth).encode()
        return Client(server.ready[port], server.root).send("POST", path, body, **headers).status_code

    return send


def counted(port: str, path: str, around: str, item: str, **headers: str) -> Send:
    """`around` holds MANY, which is so many items."""

    def send(server: Server, items: int) -> int:
        body = around.replace("MANY", ",".join([item] * items)).encode()
        return Client(server.ready[port], server.root).send("POST", path, body, **headers).status_code

    return send


def digits(port: str, path: str, around: str, **headers: str) -> Send:
    def send(server: Server, length: int) -> int:
        body = around.replace("NUMBER", "1" * length).encode()
        return Client(server.ready[port], server.root).send("POST", path, body, **headers).status_code

    return send


def path_of(port: str) -> Send:
    def send(server: Server, size: int) -> int:
        return Client(server.ready[port]).send("GET", "/" + "x" * (size - 1)).status_code

    return send


def head_of(port: str) -> Send:
    """A request whose head has so many bytes, as the listener counts: in several reads."""

    def send(server: Server, size: int) -> int:
        start, end = b"GET / HTTP/1.1\r\nhost: a\r\nx-pad: ", b"\r\n\r\n"
        with plain(server.ready[port]) as wire:
            wire.sendall(start)
            time.sleep(0.02)  # so that the head comes in more than one read; any number of them will do
            wire.sendall(b"x" * (size - len(start) - len(end)) + end)
            return int(wire.recv(65_536).split()[1])

    return send


def plain(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname
    return socket.create_connection((parts.hostname, parts.port or 0), SECONDS)


AGENT: Final = '{"services":[{"apikey":"K","resource":"/iot/json","entity_type":"T","static_attributes":[DEEP]}]}'
ENTITY: Final = '{"id":"E","type":"T","a":{"value":DEEP,"type":"T"}}'
GUESSER: Final = {**JSON, "X-Forwarded-For": "192.0.2.8"}
SIZES: Final[dict[str, tuple[Send, int, set[int], set[int]]]] = {
    # limit: how it is sent, the limit, what one at the limit gets, what one beyond it gets
    "body /v1": (posted("http", "/v1/dogs", '{"name":"PAD"}'), MIB, {201}, {400}),
    "body /v1/_emails": (posted("http", "/v1/_emails", '{"message":"PAD"}'), MIB, {400}, {413}),
    "body /jwt_auth": (posted("http", "/jwt_auth", '{"appid":"PAD"}', X_Forwarded_For="192.0.2.7"), MIB, {400}, {400}),
    "body hypermedia": (posted("http", "/sites/create", '{"name":"PAD"}'), 4096, {201}, {413}),
    "body things": (posted("http", "/things/none/shadow", '{"state":{"a":"PAD"}}'), MIB, {404}, {413}),
    "body agent": (posted("agent", "/iot/services", '{"services":"PAD"}', **FIWARE), MIB, {400}, {413}),
    "body south": (
        posted("south", "/iot/json?k=none&i=d", '{"t":"PAD"}', **GUESSER),
        MIB,
        {404},
        {413},
    ),
    "body context": (posted("context", "/v2/entities", '{"id":"PAD"}', **JSON), MIB, {400}, {413}),
    "depth /v1": (nested("http", "/v1/dogs", '{"name":"a","deep":DEEP}'), 63, {201}, {400}),
    "depth hypermedia": (nested("http", "/sites/create", '{"name":"deep","more":DEEP}'), 63, {201}, {400}),
    "depth agent": (nested("agent", "/iot/services", '{"services":DEEP}', **FIWARE), 63, {400}, {400}),
    "depth context": (nested("context", "/v2/entities?options=upsert", ENTITY, **JSON), 62, {204}, {400}),
    "members /v1": (counted("http", "/v1/dogs", '{"name":"a","many":[MANY]}', "1"), 10_000, {201}, {400}),
    "members agent": (counted("agent", "/iot/services", '{"services":[MANY]}', "1", **FIWARE), 10_000, {400}, {400}),
    "members context": (
        counted("context", "/v2/entities?options=upsert", ENTITY.replace("DEEP", "[MANY]"), "1", **JSON),
        10_000,
        {204},
        {400},
    ),
    "members south": (counted("south", "/iot/json?k=known&i=d", "[MANY]", "{}", **JSON), 1000, {200}, {413}),
    "digits /v1": (digits("http", "/v1/dogs", '{"name":"a","n":NUMBER}'), 100, {201}, {400}),
    "digits hypermedia": (digits("http", "/sites/create", '{"name":"n","n":NUMBER}'), 100, {201}, {400}),
    "digits agent": (digits("agent", "/iot/services", '{"services":[NUMBER]}', **FIWARE), 100, {400}, {400}),
    "digits context": (
        digits("context", "/v2/entities?options=upsert", ENTITY.replace("DEEP", "NUMBER"), **JSON),
        100,
        {204},
        {400},
    ),
    **{f"URI {port}": (path_of(port), 32_768, {404, 401, 400}, {400}) for port in PORTS},
    **{f"head {port}": (head_of(port), 65_536, {200, 404, 401, 400}, {400}) for port in PORTS},
}
SAYS: Final = {  # where one at the limit and one beyond it have the same status, only the second says this
    "depth agent": "64 levels",
    "members agent": "10000 members",
    "digits agent": "100 digits",
}


@pytest.mark.parametrize("limit", SIZES)
def test_sizes(server: Server, limit: str) -> None:
    send, most, within, beyond = SIZES[limit]
    assert send(server, most) in within
    assert send(server, most + 1) in beyond


@pytest.mark.parametrize("limit", SAYS)
def test_shapes_that_are_refused_say_why(server: Server, limit: str) -> None:
    kind = limit.split()[0]
    depth, members, number = (SIZES[limit][1] + beyond for beyond in (0, 0, 0))
    bodies = {
        "depth": lambda n: '{"services":' + "[" * n + "]" * n + "}",
        "members": lambda n: '{"services":[' + ",".join(["1"] * n) + "]}",
        "digits": lambda n: '{"services":[' + "1" * n + "]}",
    }
    most = {"depth": depth, "members": members, "digits": number}[kind]
    client = Client(server.agent, server.root)
    at, beyond = (client.send("POST", "/iot/services", bodies[kind](n).encode(), **FIWARE) for n in (most, most + 1))
    assert SAYS[limit] not in at.text
    assert SAYS[limit] in beyond.text


BOMBS: Final = {
    "objects": ("http", "/v1/dogs", {}),
    "hypermedia": ("http", "/sites/create", {}),
    "things": ("http", "/things/none/shadow", {}),
    "agent": ("agent", "/iot/devices", FIWARE),
    "south": ("south", "/iot/json?k=none&i=d", {**JSON, "X-Forwarded-For": "192.0.2.9"}),
    "context": ("context", "/v2/entities", JSON),
}


@pytest.mark.parametrize("door", BOMBS)
@pytest.mark.parametrize("depth", [900, 100_000])
def test_depth_bombs_are_refused_politely(server: Server, door: str, depth: int) -> None:
    port, path, headers = BOMBS[door]
    size = min(depth, 2000 if door == "hypermedia" else depth)
    body = b'{"a":' + b"[" * size + b"]" * size + b"}"
    assert 400 <= Client(server.ready[port], server.root).send("POST", path, body, **headers).status_code < 500


# --- connections: slow ones, WebSockets


@drives("slow head")
def test_a_head_that_does_not_come(server: Server) -> None:
    for start in (b"", b"GET / HTTP/1.1\r\nhost: a\r\n"):
        for port in PORTS:
            with plain(server.ready[port]) as wire:
                wire.sendall(start)
                wire.settimeout(SECONDS)
                answer = wire.recv(4096)
                assert answer.startswith(b"HTTP/1.1 408 "), (port, answer)
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 408


POSTED: Final = {
    "http": "/v1/dogs",
    "agent": "/iot/services",
    "south": "/iot/json?k=a&i=b",
    "context": "/v2/entities",
}


@drives("slow body")
def test_a_body_that_does_not_come(server: Server) -> None:
    for port in ("http", "agent", "south", "context"):
        with plain(server.ready[port]) as wire:
            wire.sendall(
                f"POST {POSTED[port]} HTTP/1.1\r\nhost: a\r\nfiware-service: a\r\nfiware-servicepath: /\r\n"
                f"x-forwarded-for: {address()}\r\ncontent-length: 9\r\n\r\n{{".encode()
            )
            wire.settimeout(SECONDS)
            try:
                assert wire.recv(4096) == b""  # cut, not answered
            except ConnectionError:
                pass


@drives("WebSocket message")
def test_frames(server: Server) -> None:
    url, hello = server.http.replace("http", "ws") + "/mqtt", encode(Connect("frames", keep_alive=60), 4)
    for size, code in ((2048, None), (2049, 1009)):
        with connect(url, subprotocols=[Subprotocol("mqtt")], compression=None) as wire:
            payload = b"x" * (size - len(hello) - len(encode(Publish("t", b""), 4)) - 1)
            wire.send(hello + encode(Publish("t", payload), 4))
            if code is None:
                assert wire.recv(SECONDS)[:1] == b"\x20"  # CONNACK
                continue
            with pytest.raises(ConnectionClosed) as closed:
                wire.recv(SECONDS)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code


@drives("MQTT packet")
@pytest.mark.parametrize("level", [4, 5])
def test_packets(server: Server, level: int) -> None:
    for size, fits in ((2048, True), (2049, False)):
        with plain(server.mqtt) as wire:
            wire.settimeout(SECONDS)
            wire.sendall(encode(Connect("packets", level=level), level))
            assert wire.recv(SECONDS * 100)[:1] == b"\x20"  # CONNACK
            head = len(encode(Publish("/json/key/device/attrs", b"x" * 1000), level)) - 1000
            packet = encode(Publish("/json/key/device/attrs", b"x" * (size - head)), level)
            assert len(packet) == size
            wire.sendall(packet + encode(Pingreq(), level))
            answer = wire.recv(1000)
            if fits:
                assert answer == encode(Pingresp(), level)
            else:
                assert (answer[:1], answer[2:3]) == ((b"", b"") if level == 4 else (b"\xe0", b"\x95"))  # DISCONNECT


def test_the_page_names_what_is_driven() -> None:
    named = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.M)
    assert len(named) == len(set(named))
    refusals = {f"refused {door}" for door in REFUSALS}
    assert set(named) == {*SIZES, *refusals, *_driven, *ELSEWHERE}


@pytest.mark.parametrize("limit", ELSEWHERE)
def test_what_is_driven_elsewhere_is(limit: str) -> None:
    file, _, name = ELSEWHERE[limit].partition("::")
    assert f"def {name}(" in (Path(__file__).parent / file).read_text()
