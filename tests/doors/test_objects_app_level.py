"""Banner, health, the table of options and CORS of `/v1` (objects.md 9, 14, 19; A20)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from paraclient import ParaClient

from support.aio import run, until
from support.client import Client
from support.listening import Listening, listening
from support.server import Server
from thingstead.core.backend import Backend
from thingstead.doors import objects
from thingstead.engines.inprocess import InProcessCache
from thingstead.model.settings import DEFAULTS
from thingstead.ports.store import Batch, Remove
from thingstead.server.main_port import main_port
from thingstead.server.ops import ops
from thingstead.server.settings import keys
from thingstead.transports.http import AsgiApp
from thingstead.transports.mqtt.contract import Stats


def both(backend: Backend) -> AsgiApp:
    return main_port({"v1": objects.app(backend)}, ops(backend, Stats, {}))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), both) as opened:
        yield opened


def get(door: Listening, path: str, **headers: str) -> requests.Response:
    return requests.get(door.url + path, headers=headers, timeout=10)


# --- A20


def test_paras_own_client_sees_types_itself_and_a_version(door: Listening) -> None:
    _, secret = door.run(door.backend.tenants.create("test"))
    client: Any = ParaClient("app:test", secret)
    client.setEndpoint(door.url)
    types = client.types()
    assert types["users"] == "user"
    assert "user" in types.values()
    assert client.me()["id"] == "app:test"
    version = client.getServerVersion()
    assert version.startswith("1")
    assert version != "unknown"


# --- banner


def test_the_banner_has_a_version_unless_it_is_switched_off(tmp_path: Path, door: Listening) -> None:
    assert list(get(door, "/v1").json()) == ["info", "version"]
    assert get(door, "/v1/").status_code == 401
    with listening(tmp_path, objects.app, print_version=False) as silent:
        assert list(get(silent, "/v1").json()) == ["info"]
        assert list(Client(silent.url, silent.root).send("GET", "/v1/").json()) == ["info"]


# --- health


def test_healthy_as_soon_as_it_answers(door: Listening) -> None:
    assert get(door, "/v1/_health").content == b'{"message":"healthy"}'
    health = get(door, "/health")
    assert health.status_code == 200
    assert health.json()["message"] == "healthy"
    assert health.json()["parts"] == {"store": "healthy", "search": "healthy"}
    assert abs(health.json()["checked"] - door.backend.clock.now() / 1000) < 60_000


def test_what_the_last_check_found_is_told_until_the_next(tmp_path: Path) -> None:
    with listening(tmp_path, both) as door:
        backend = door.backend
        root = door.run(backend.store.objects.get("para", "app:para"))
        assert root is not None
        removal = Remove("para", "app:para", expect=root.rev)
        committed = door.run(backend.store.commit(Batch(changes=(removal,))))
        assert committed.changes
        assert get(door, "/v1/_health").status_code == 200  # never looked at for a request
        assert not door.run(backend.health.check())
        unhealthy = get(door, "/v1/_health")
        assert (unhealthy.status_code, unhealthy.content) == (500, b'{"code":500,"message":"unhealthy"}')
        told = get(door, "/health")
        assert told.status_code == 503
        assert told.json()["message"] == "unhealthy"
        assert told.json()["parts"]["store"] == "unhealthy"


def test_a_cache_that_is_on_is_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Healthy while what is put into it can be read again."""
    with listening(tmp_path, both, cache_enabled=True) as door:
        parts = {"store": "healthy", "search": "healthy", "cache": "healthy"}
        assert get(door, "/health").json()["parts"] == parts

        async def lost(*_: object) -> None:
            return None

        monkeypatch.setattr(InProcessCache, "get", lost)
        monkeypatch.setattr(InProcessCache, "put", lost)
        assert not door.run(door.backend.health.check())
        assert get(door, "/health").json()["parts"] == {**parts, "cache": "unhealthy"}


def test_checks_can_be_switched_off(tmp_path: Path) -> None:
    with listening(tmp_path, both, health_check_enabled=False) as door:
        assert get(door, "/v1/_health").status_code == 200
        assert get(door, "/health").json() == {"message": "healthy", "parts": {}}
        assert door.backend.health.checked == 0


def test_it_is_checked_again_by_the_clock(tmp_path: Path) -> None:
    with Server(tmp_path, {"para.health.check_interval": "1"}) as server:

        def checked() -> int:
            return requests.get(server.http + "/health", timeout=10).json()["checked"]

        first = checked()

        async def again() -> bool:
            return checked() > first

        assert run(until(again, seconds=15, pause=0.1))


# --- options


def test_the_options_are_the_settings(door: Listening) -> None:
    answer = get(door, "/v1/_config/options")
    assert answer.headers["Content-Type"] == "application/json"
    grouped = answer.json()
    assert grouped == get(door, "/v1/_config/options?format=json&groupby=category").json()
    flat = {key: option for group in grouped.values() for key, option in group.items()}
    assert set(flat) == {key.name for key in keys().values() if key.field}
    assert set(flat["para.max_pages"]) == {"description", "defaultValue", "type", "tags"}
    assert flat["para.max_pages"]["defaultValue"] == "1000"
    assert flat["para.max_pages"]["type"] == "Integer"
    assert flat["para.cors_enabled"]["defaultValue"] == "true"
    assert flat["para.cors_enabled"]["type"] == "Boolean"
    assert flat["para.app_name"]["type"] == "String"
    assert list(get(door, "/v1/_config/options?groupby=none").json()) == sorted(flat)


def test_options_for_people_and_for_a_configuration_file(door: Listening) -> None:
    markdown = get(door, "/v1/_config/options?format=markdown")
    assert markdown.headers["Content-Type"].startswith("text/markdown")
    hocon = get(door, "/v1/_config/options?format=hocon")
    assert hocon.headers["Content-Type"].startswith("text/plain")
    for key in (key for key in keys().values() if key.field):
        assert f"| `{key.name}` |" in markdown.text
        assert f"\n# {key.name} = {json.dumps(key.default)}\n" in hocon.text
    assert all(line.startswith("#") or not line for line in hocon.text.splitlines())


def test_options_never_show_what_is_set(door: Listening) -> None:
    """The listener's root secret is a setting."""
    assert door.backend.settings.root_secret_override != DEFAULTS.root_secret_override
    for query in ("", "?format=markdown", "?format=hocon"):
        assert door.backend.settings.root_secret_override not in get(door, "/v1/_config/options" + query).text


def test_options_refuse_what_they_do_not_know(door: Listening) -> None:
    refused = get(door, "/v1/_config/options?format=xml")
    assert (refused.status_code, refused.json()["message"]) == (400, "format is json, markdown or hocon")
    assert requests.post(door.url + "/v1/_config/options", timeout=10).status_code == 405
    assert requests.head(door.url + "/v1/_config/options", timeout=10).status_code == 200


# --- CORS

PREFLIGHT = {"Origin": "https://x.org", "Access-Control-Request-Method": "PATCH"}


def test_a_preflight_needs_no_credentials(door: Listening) -> None:
    for path in ("/v1", "/v1/", "/v1/notes/1", "/v1/_batch"):
        answer = requests.options(door.url + path, headers=PREFLIGHT, timeout=10)
        assert (answer.status_code, answer.content) == (200, b"")
        fields = answer.headers
        assert fields["Access-Control-Allow-Origin"] == "*"
        assert set(fields["Access-Control-Allow-Methods"].split(",")) == {
            *("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS")
        }
        allowed = {name.lower() for name in fields["Access-Control-Allow-Headers"].split(",")}
        assert {"origin", "accept", "x-requested-with", "content-type", "x-amz-credential", "x-amz-date",
                "authorization"} <= allowed  # fmt: skip
        assert fields["Access-Control-Max-Age"] == "1800"
        assert "Access-Control-Allow-Credentials" not in fields


def test_errors_can_be_read_by_other_sites_too(door: Listening) -> None:
    for path, status in (("/v1", 200), ("/v1/notes", 401), ("/v1/_health", 200), ("/v1/_config/options?format=x", 400)):
        answer = get(door, path, Origin="https://x.org")
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        exposed = set(answer.headers["Access-Control-Expose-Headers"].split(","))
        assert {"Cache-Control", "Content-Length", "Content-Type", "Date", "ETag", "Expires"} <= exposed
        assert answer.headers["Vary"] == "Origin"


def test_cors_can_be_switched_off(tmp_path: Path) -> None:
    with listening(tmp_path, objects.app, cors_enabled=False) as door:
        preflight = requests.options(door.url + "/v1/notes", headers=PREFLIGHT, timeout=10)
        assert preflight.status_code == 401
        answer = get(door, "/v1", Origin="https://x.org")
        for fields in (preflight.headers, answer.headers):
            assert not [name for name in fields if name.lower().startswith("access-control-")]
