"""Service broker: who carries a thing's messages and issues its credentials: Local, later AWS IoT and Azure IoT Hub.

(things.md 3.) A broker decides nothing about permissions and stores nothing: what it returns, core stores with the
thing. The conformance suite is `conformance/broker.py`.
"""

import hashlib
from typing import Protocol

import msgspec

from thingstead.model.values import JsonObject
from thingstead.ports.store import Key


class Provisioned(msgspec.Struct, frozen=True):
    """Credentials of one thing at its broker."""

    details: JsonObject  # `deviceDetails`: shown once, never stored, never logged (things.md 1.2)
    metadata: JsonObject  # `deviceMetadata`: the non-secret half; stored in the private bytes. Always with "cloudId"
    keys: tuple[Key, ...]  # ("cloud", cloud id), ("certificate", fingerprint): global, their `app` is ""


SECRET_HASH = "secretHash"  # noqa: S105 a member of `metadata`, not a secret
"""The member of `metadata` that holds the SHA-256 (hex) of a secret that a device may present as its password."""


def hash_secret(secret: str) -> str:
    """What is kept of a device's secret. It holds 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ServiceBroker(Protocol):
    """One way to carry a thing's messages."""

    @property
    def name(self) -> str:
        """Canonical name: "Local", "AWS", "Azure"."""
        ...

    def cloud_id(self, app: str, thing: str) -> str:
        """The name a thing has at this broker (things.md 1.1)."""
        ...

    async def provision(self, app: str, thing: str, name: str, *, csr: str | None = None) -> Provisioned:
        """Make credentials for a thing, different ones each time. With `csr` (PEM) the private key stays where it is.

        Raises Unavailable, InvalidInput; after a failure nothing is left behind.
        """
        ...

    async def adopt(self, app: str, thing: str, metadata: JsonObject) -> Provisioned | None:
        """Credentials that an archive states for a thing, as far as they can be proven to be its own here.

        `metadata` is from outside: anything may be missing, wrong or another thing's. Without `details`; None if there
        is nothing to take over. Makes nothing.
        """
        ...

    async def connection(self, metadata: JsonObject) -> JsonObject:
        """The non-secret half of `deviceDetails`, from stored metadata."""
        ...

    async def deprovision(self, metadata: JsonObject) -> None:
        """Undo `provision`; what is already gone counts as done."""
        ...
