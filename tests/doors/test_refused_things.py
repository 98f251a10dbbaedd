"""Refused input over HTTP: a clear error of the 400s, never a 500; journal, readings and objects stay as they were."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from support.devices import Site, site


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    with site(Path(tmp_path_factory.mktemp("refused"))) as started:
        yield started


@pytest.fixture(scope="module")
def thing(here: Site) -> dict[str, Any]:
    """A thing with a little state and history."""
    made = here.thing(kitId="001")
    here.call("POST", f"/v1/things/{made['id']}/shadow", {"state": {"reported": {"a": 1}}})
    return made


def nested(levels: int, opening: str = '{"k":', closing: str = "}") -> bytes:
    return (opening * levels + "1" + closing * levels).encode()


BODIES: list[tuple[bytes, int]] = [
    (b"", 400),
    (b" ", 400),
    (b"{", 400),
    (b"null", 400),
    (b"[]", 400),
    (b"1", 400),
    (b'"x"', 400),
    (b"\x00", 400),
    (b"\xff\xfe", 415),
    (b'{"state":{"reported":{"a":"\xff"}}}', 415),
    (b'{"state":{"reported":{"a":"\\ud800"}}}', 400),
    (b"{}", 400),
    (b'{"state":null}', 400),
    (b'{"state":1}', 400),
    (b'{"state":{"desired":"x"}}', 400),
    (b'{"state":{"reported":[1]}}', 400),
    (b'{"state":{"reported":{"a":NaN}}}', 400),
    (b'{"state":{"reported":{"a":1e400}}}', 400),
    (b'{"state":{"reported":{"":1}}}', 400),
    (b'{"state":{"desired":{"a":[{"":1}]}}}', 400),
    (b'{"state":{"reported":{"a\\u0000":1}}}', 400),
    (b'{"state":{"reported":' + nested(7) + b"}}", 400),
    (b'{"state":{"desired":' + nested(900) + b"}}", 400),
    (b'{"state":{"reported":{"a":' + nested(900, "[", "]") + b"}}}", 400),
    (nested(100_000, "[", "]"), 400),
    (b'{"state":{},"version":"1"}', 400),
    (b'{"state":{},"version":99}', 409),
    (b'{"state":{},"version":1e30}', 400),
    (b'{"state":{},"version":99999999999999999999}', 400),
    (b'{"state":{},"clientToken":{}}', 400),
    (b'{"state":{},"clientToken":"' + b"x" * 65 + b'"}', 400),
    (b'{"state":{"reported":{"a":"' + b"x" * 9000 + b'"}}}', 413),
    (b'{"state":{"reported":{"a":"' + b"x" * 2_000_000 + b'"}}}', 413),
]


@pytest.mark.parametrize("path", ["/v1/things/{id}/shadow", "/things/{name}/shadow"])
def test_shadow_documents(here: Site, thing: dict[str, Any], path: str) -> None:
    before = here.totals()
    where = path.format(id=thing["id"], name=thing["deviceDetails"]["thingName"])
    for body, status in BODIES:
        answer = here.call("POST", where, body, auth=here.keys)
        if len(body) > 1_048_576:
            status = answer.status_code if answer.status_code in (400, 413) else status
        assert answer.status_code == status, (body[:60], answer.text)
        assert answer.json()["code"] == status
        assert answer.json()["message"]
    assert here.totals() == before
    assert here.call("GET", where).json()["version"] == 1


CREDENTIALS = [b"{", b"[]", b"1", b"\xff", {"csr": 1}, {"csr": "x"}, {"csr": "x" * 100_000}, {"csr": ["x"]}]


@pytest.mark.parametrize("body", CREDENTIALS)
def test_credentials(here: Site, thing: dict[str, Any], body: object) -> None:
    before = here.totals()
    answer = here.call("POST", f"/v1/things/{thing['id']}/credentials", body)
    assert answer.status_code == 400
    assert here.totals() == before
    shown = here.call("GET", f"/v1/things/{thing['id']}/connection").json()
    assert shown["clientCertId"] == thing["deviceDetails"]["clientCertId"]


def test_credentials_with_an_overlap_are_not_supported(here: Site, thing: dict[str, Any]) -> None:
    answer = here.call("POST", f"/v1/things/{thing['id']}/credentials", {"overlapSeconds": 60})
    assert answer.status_code == 501


THINGS: list[Any] = [
    b"",
    b"{",
    [],
    {},
    {"name": ""},
    {"name": "  "},
    {"name": 5},
    {"name": None},
    {"name": "x", "serviceBroker": "Mosquitto"},
    {"name": "x", "serviceBroker": 1},
    {"name": "x", "deviceState": 1},
    {"name": "x", "deviceState": []},
    {"name": "x", "deviceState": {"": 1}},
    {"name": "x", "deviceState": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}},
    {"name": "x", "deviceState": {"a": "x" * 9000}},
    {"name": "x", "csr": "nonsense"},
]


@pytest.mark.parametrize("body", THINGS, ids=lambda body: str(body)[:40])
def test_things(here: Site, body: Any) -> None:
    before = here.totals()
    answer = here.call("POST", "/v1/things", body)
    assert answer.status_code in (400, 413), answer.text
    assert answer.json()["message"]
    assert here.totals() == before


def test_a_taken_kit_id(here: Site, thing: dict[str, Any]) -> None:
    before = here.totals()
    assert here.call("POST", "/v1/things", {"name": "x", "kitId": "001"}).status_code == 409
    assert here.totals() == before


PATHS = [
    ("GET", "/v1/things/{id}/sensors/x", 404),
    ("GET", "/v1/things/0/sensors", 404),
    ("GET", "/v1/things/0/readings", 404),
    ("GET", "/v1/things/0/connection", 404),
    ("POST", "/v1/things/0/credentials", 404),
    ("GET", "/v1/things/other:{id}/sensors", 404),
    ("GET", "/v1/things/:{id}/sensors", 404),
    ("GET", "/v1/things/para:/sensors", 404),
    ("GET", "/v1/things/%00/sensors", 404),
    ("POST", "/v1/things/{id}/sensors", 405),
    ("DELETE", "/v1/things/{id}/readings", 405),
    ("GET", "/v1/things/{id}/credentials", 405),
    ("GET", "/things/%00/shadow", 404),
    ("GET", "/things/+/shadow", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), PATHS)
def test_paths(here: Site, thing: dict[str, Any], method: str, path: str, status: int) -> None:
    before = here.totals()
    answer = here.call(method, path.format(id=thing["id"]), auth=here.keys)
    if answer.status_code != status:
        assert (path, answer.status_code) == ("/v1/things/%00/sensors", 400), answer.text
    assert here.totals() == before
