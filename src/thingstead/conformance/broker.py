"""What every ServiceBroker promises (`thingstead.ports.broker`), as checks to run against any engine.

An engine's author calls each of `CHECKS` with a fresh broker; a check raises AssertionError where a promise is broken.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from thingstead.model.errors import InvalidInput
from thingstead.model.values import JsonObject, dump, parse, parse_object
from thingstead.ports.broker import SECRET_HASH, ServiceBroker, hash_secret
from thingstead.ports.store import Key

SECRETS = ("privateKey", "secret", "primaryKey", "secondaryKey", "connectionString")
"""Members of `deviceDetails` that are shown once (things.md 1.2)."""

Check = Callable[[ServiceBroker], Awaitable[None]]


def secrets_of(details: JsonObject) -> list[str]:
    return [str(details[name]) for name in SECRETS if name in details]


def make_csr(name: str = "anything") -> tuple[str, ec.EllipticCurvePrivateKey]:
    """A certificate request and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode(), key


async def names_are_told(broker: ServiceBroker) -> None:
    """The cloud id is in the details, the metadata and a key; every key is global."""
    assert broker.name in ("Local", "AWS", "Azure")
    made = await broker.provision("myapp", "42", "greenhouse")
    cloud_id = broker.cloud_id("myapp", "42")
    assert cloud_id != broker.cloud_id("myapp", "43")
    assert made.metadata["cloudId"] == cloud_id
    assert cloud_id in (made.details.get("thingName"), made.details.get("thingId"))
    assert Key("cloud", cloud_id) in made.keys
    assert all(key.app == "" for key in made.keys)


async def nothing_secret_is_kept(broker: ServiceBroker) -> None:
    """What core stores and shows again holds no secret in any form."""
    made = await broker.provision("myapp", "42", "greenhouse")
    secrets = secrets_of(made.details)
    assert secrets
    kept = [made.metadata, await broker.connection(made.metadata), [list(key) for key in made.keys]]
    for document in kept:
        text = dump(parse(dump(document))).decode()
        for secret in secrets:
            assert dump(secret).decode().strip('"') not in text
    if "secret" in made.details:
        assert made.metadata[SECRET_HASH] == hash_secret(str(made.details["secret"]))


async def connection_is_the_other_half(broker: ServiceBroker) -> None:
    """The details are the connection and the secrets, nothing else; the connection comes from stored metadata alone."""
    made = await broker.provision("myapp", "42", "greenhouse")
    stored = parse(dump(made.metadata))
    assert isinstance(stored, dict)
    shown = await broker.connection(stored)
    assert shown == {name: value for name, value in made.details.items() if name not in SECRETS}
    assert SECRET_HASH not in shown


async def each_time_others(broker: ServiceBroker) -> None:
    """Rotation: the same names, but no credential twice, whether made one after the other or at the same time."""
    made = [await broker.provision("myapp", "42", "greenhouse") for _ in range(2)]
    made += await asyncio.gather(*(broker.provision("myapp", "42", "greenhouse") for _ in range(8)))
    secrets = [secret for one in made for secret in secrets_of(one.details)]
    assert len(secrets) == len(set(secrets))
    credentials = [key for one in made for key in one.keys if key.scope != "cloud"]
    assert len(credentials) == len(set(credentials))
    assert len({key for one in made for key in one.keys if key.scope == "cloud"}) == 1


async def a_request_keeps_its_key(broker: ServiceBroker) -> None:
    """With a certificate request the certificate carries its key, and no private key exists here."""
    csr, key = make_csr()
    made = await broker.provision("myapp", "42", "greenhouse", csr=csr)
    assert "privateKey" not in made.details
    certificate = x509.load_pem_x509_certificate(str(made.details["clientCert"]).encode())
    assert certificate.public_key() == key.public_key()


async def a_bad_request_is_named(broker: ServiceBroker) -> None:
    """Nonsense in place of a certificate request is the caller's fault."""
    good, _ = make_csr()
    for bad in ("", "nonsense", good[:200], good.replace("A", "B", 40), "\ud800", "x" * 1_000_000):
        with pytest.raises(InvalidInput) as caught:
            await broker.provision("myapp", "42", "greenhouse", csr=bad)
        assert caught.value.field == "csr"


async def undoing_twice_is_fine(broker: ServiceBroker) -> None:
    """`deprovision` of what is gone is no error."""
    made = await broker.provision("myapp", "42", "greenhouse")
    await broker.deprovision(made.metadata)
    await broker.deprovision(made.metadata)


async def credentials_come_back(broker: ServiceBroker) -> None:
    """What an archive states of a thing is taken over for that thing alone, and makes nothing new."""
    made = await broker.provision("myapp", "42", "greenhouse")
    stored = parse_object(dump(made.metadata))
    again = await broker.adopt("myapp", "42", stored)
    assert again is not None
    assert (again.metadata, set(again.keys), again.details) == (stored, set(made.keys), {})
    assert await broker.adopt("other", "42", stored) is None
    assert await broker.adopt("myapp", "43", stored) is None


async def what_is_not_proven_is_not_taken(broker: ServiceBroker) -> None:
    """An archive comes from anybody: another thing's credentials, or nonsense, name nothing but the thing itself."""
    theirs = (await broker.provision("other", "1", "victim")).metadata
    own = broker.cloud_id("myapp", "42")
    for forged in ({}, {"cloudId": own}, {**theirs, "cloudId": own}, dict.fromkeys(theirs, 7), dict.fromkeys(theirs)):
        taken = await broker.adopt("myapp", "42", {**forged})
        assert taken is None or [key for key in taken.keys if key != Key("cloud", own)] == []
    for bad in ("", "nonsense", "\ud800", "-----BEGIN CERTIFICATE-----"):
        taken = await broker.adopt("myapp", "42", {"cloudId": own, "clientCert": bad, "clientCertId": "0" * 64})
        assert taken is None or taken.keys == (Key("cloud", own),)


CHECKS: tuple[Check, ...] = (
    names_are_told,
    nothing_secret_is_kept,
    connection_is_the_other_half,
    each_time_others,
    a_request_keeps_its_key,
    a_bad_request_is_named,
    undoing_twice_is_fine,
    credentials_come_back,
    what_is_not_proven_is_not_taken,
)
