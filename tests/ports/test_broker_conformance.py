"""Every service broker keeps the promises of its port, and the suite that says so catches brokers that do not."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from support.aio import run
from support.environment import ManualClock, SystemEntropy
from thingstead.conformance.broker import CHECKS, Check
from thingstead.engines.local import LocalBroker
from thingstead.model.values import JsonObject
from thingstead.ports.broker import Provisioned, ServiceBroker
from thingstead.ports.store import Key


@pytest.fixture
def broker(tmp_path: Path, clock: ManualClock) -> LocalBroker:
    return LocalBroker.open(tmp_path / "ca", clock=clock, entropy=SystemEntropy())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_local_keeps_the_promise(broker: LocalBroker, check: Check) -> None:
    run(check(broker))


class Faulty:
    """A broker that is right but for what a subclass breaks."""

    def __init__(self, right: ServiceBroker) -> None:
        self.right = right

    @property
    def name(self) -> str:
        return self.right.name

    def cloud_id(self, app: str, thing: str) -> str:
        return self.right.cloud_id(app, thing)

    async def provision(self, app: str, thing: str, name: str, *, csr: str | None = None) -> Provisioned:
        return await self.right.provision(app, thing, name, csr=csr)

    async def adopt(self, app: str, thing: str, metadata: JsonObject) -> Provisioned | None:
        return await self.right.adopt(app, thing, metadata)

    async def connection(self, metadata: JsonObject) -> JsonObject:
        return await self.right.connection(metadata)

    async def deprovision(self, metadata: JsonObject) -> None:
        await self.right.deprovision(metadata)


class KeepsTheKey(Faulty):
    """Stores the private key, as upstream did (things.md 15)."""

    async def provision(self, app: str, thing: str, name: str, *, csr: str | None = None) -> Provisioned:
        made = await self.right.provision(app, thing, name, csr=csr)
        return msgspec.structs.replace(made, metadata={**made.metadata, "key": made.details.get("privateKey", "")})


class NeverRotates(Faulty):
    """Hands out the same credentials again."""

    made: Provisioned | None = None

    async def provision(self, app: str, thing: str, name: str, *, csr: str | None = None) -> Provisioned:
        if self.made is None or csr is not None:
            self.made = await self.right.provision(app, thing, name, csr=csr)
        return self.made


class KeysOfOneApp(Faulty):
    """Its keys are unique within an app only, so that two apps could share a certificate."""

    async def provision(self, app: str, thing: str, name: str, *, csr: str | None = None) -> Provisioned:
        made = await self.right.provision(app, thing, name, csr=csr)
        return msgspec.structs.replace(made, keys=tuple(Key(key.scope, key.text, app) for key in made.keys))


class IgnoresTheRequest(Faulty):
    """Makes a key of its own where a certificate request was given."""

    async def provision(self, app: str, thing: str, name: str, *, csr: str | None = None) -> Provisioned:
        return await self.right.provision(app, thing, name)


class ShowsTheHash(Faulty):
    """Shows what is kept of the secret."""

    async def connection(self, metadata: JsonObject) -> JsonObject:
        return {**await self.right.connection(metadata), "secretHash": metadata["secretHash"]}


class BelievesArchives(Faulty):
    """Takes over whatever certificate an archive names."""

    async def adopt(self, app: str, thing: str, metadata: JsonObject) -> Provisioned | None:
        keys = (Key("cloud", self.cloud_id(app, thing)), Key("certificate", str(metadata.get("clientCertId"))))
        return Provisioned({}, metadata, keys)


FAULTS = [KeepsTheKey, NeverRotates, KeysOfOneApp, IgnoresTheRequest, ShowsTheHash, BelievesArchives]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(broker: LocalBroker, fault: Callable[[ServiceBroker], Faulty]) -> None:
    async def failures() -> list[str]:
        found: list[str] = []
        for check in CHECKS:
            work: Awaitable[None] = check(fault(broker))
            try:
                await work
            except (AssertionError, pytest.fail.Exception):
                found.append(check.__name__)
        return found

    caught = run(failures())
    assert caught
    assert len(caught) < len(CHECKS)
