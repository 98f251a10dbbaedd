"""Fixtures and the order of the tests: pure ones first, those that kill servers last."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.environment import CountingIds, ManualClock
from support.keycloak import Keycloak
from support.samba import Samba
from support.server import Server
from support.slapd import Slapd
from support.stages import STAGES, Stage

COMMANDS = {"keycloak": ("java", "mvn"), "samba": ("samba", "samba-tool"), "slapd": ("slapd", "ldapadd")}
"""What the fixtures of real servers need."""
SLOW = ("keycloak", "samba")
ORDER = ("model", "ports", "engines", "core", "transports", "doors", "server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By folder from the lowest floor up, then the tests of no floor, then `slow`, then `faults`."""
    here = Path(__file__).parent
    for item in items:
        asked = getattr(item, "fixturenames", ())
        for fixture in (name for name in COMMANDS if name in asked):
            item.add_marker(pytest.mark.servers(*COMMANDS[fixture]))
            if fixture in SLOW:
                item.add_marker(pytest.mark.slow)
        if "keycloak" in asked:
            # The first of them starts it, and on a new machine fetches it.
            item.add_marker(pytest.mark.timeout(600))

    def rank(item: pytest.Item) -> tuple[bool, bool, int]:
        floor = item.path.relative_to(here).parts[0]
        return (
            item.get_closest_marker("faults") is not None,
            item.get_closest_marker("slow") is not None,
            ORDER.index(floor) if floor in ORDER else len(ORDER),
        )

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Parameters of tests were read when they were imported; servers would call them unknown settings."""
    for name in [name for name in os.environ if name.startswith("THINGSTEAD_")]:
        del os.environ[name]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.servers("mosquitto")` needs that command: in CI it must be there, elsewhere the test is skipped."""
    for marker in item.iter_markers("servers"):
        for command in marker.args:
            if shutil.which(command) is None:
                why = f"{command} is not installed"
                if os.environ.get("CI") == "true":
                    pytest.fail(why)
                pytest.skip(why)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ids() -> CountingIds:
    return CountingIds()


@pytest.fixture(scope="module", params=STAGES)
def stage(request: pytest.FixtureRequest) -> Stage:
    """For tests that read histories: each runs at every stage. See `support.stages`."""
    return request.param


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    """A real Keycloak without realms but its own; make one a test file. Tests that ask for it are `slow`."""
    with Keycloak(tmp_path_factory.mktemp("keycloak")) as started:
        yield started


@pytest.fixture(scope="session")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A real OpenLDAP with nobody in it; tests add people of names of their own."""
    started = Slapd(tmp_path_factory.mktemp("slapd") / "ldap")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    """A real Active Directory. Tests that ask for it are `slow`: the clean machine has none."""
    started = Samba(tmp_path_factory.mktemp("samba"))
    yield started
    started.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A fresh server with default settings; for others, use `Server` itself."""
    with Server(tmp_path) as started:
        yield started
