"""The service broker "Local": things whose messages this process carries itself (things.md 1.2, 6).

Promises: `provision` writes nothing, so a failure leaves nothing; private keys and secrets appear in `details` only, a
secret is kept as its hash; nothing is logged. Revocation is core's: it forgets the keys and closes the sessions.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from thingstead.engines.local.authority import Authority
from thingstead.model.errors import InvalidInput
from thingstead.model.grants import cloud_id
from thingstead.model.values import JsonObject
from thingstead.ports.broker import SECRET_HASH, Provisioned, hash_secret
from thingstead.ports.environment import Clock, Entropy
from thingstead.ports.store import Key

ALPN: Final = ("mqtt", "x-amzn-mqtt-ca")
MAX_CLOUD_ID: Final = 128  # as AWS, so that a thing can move there (things.md 4.5)


class Endpoint(msgspec.Struct, frozen=True):
    """Where devices connect."""

    host: str = "localhost"
    port: int = 8883
    ws_url: str = ""


class LocalBroker:
    """See the module; implements `ports.broker.ServiceBroker`."""

    def __init__(self, authority: Authority, entropy: Entropy) -> None:
        self._authority = authority
        self._entropy = entropy
        self._endpoint = Endpoint()
        self._tls: ssl.SSLContext | None = None
        self._hosts: tuple[str, ...] = ()

    @classmethod
    def open(cls, directory: Path, *, clock: Clock, entropy: Entropy) -> "LocalBroker":
        """The broker whose authority lives in `directory`, made on first use. Raises Unavailable. Blocks."""
        return cls(Authority.open(directory, clock, entropy), entropy)

    @property
    def name(self) -> str:
        return "Local"

    @property
    def ca_certificate(self) -> str:
        """PEM of the certificate that devices trust."""
        return self._authority.pem

    def set_endpoint(self, host: str, port: int, ws_url: str) -> None:
        """Tell what the listeners are bound to; `connection` and `provision` hand it on."""
        self._endpoint = Endpoint(host, port, ws_url)

    def ssl_context(self, hosts: Sequence[str] = ()) -> ssl.SSLContext:
        """The context of the MQTT listener: TLS 1.2 or newer, a client certificate of ours is asked for, not required.

        The server's certificate holds `hosts` beside localhost, 127.0.0.1 and ::1. Blocks: call it at start.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=self._authority.pem)
        context.set_alpn_protocols(list(ALPN))
        self._hosts = tuple(hosts)
        certificate, key, _ = self._authority.server(self._hosts)
        context.load_cert_chain(certificate, key)
        self._tls = context
        return context

    async def renew(self) -> bool:
        """Renew the server's certificate if two thirds of its life have passed; later connections get the new one.

        To be called about once a day. True if it was renewed. Raises Unavailable; the old one then stays in use.
        """
        return await asyncio.to_thread(self._renew)

    def _renew(self) -> bool:
        if self._tls is None:
            return False
        certificate, key, fresh = self._authority.server(self._hosts)
        if fresh:
            self._tls.load_cert_chain(certificate, key)
        return fresh

    def cloud_id(self, app: str, thing: str) -> str:
        return cloud_id(app, thing)

    async def provision(self, app: str, thing: str, name: str, *, csr: str | None = None) -> Provisioned:
        own = cloud_id(app, thing)
        if len(own) > MAX_CLOUD_ID:
            raise InvalidInput(f"the cloud id {own} is longer than {MAX_CLOUD_ID} characters", field="id")
        certificate, private_key = await asyncio.to_thread(self._authority.device, own, csr)
        secret = base64.urlsafe_b64encode(self._entropy.token(32)).rstrip(b"=").decode()
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        metadata: JsonObject = {
            "cloudId": own,
            "thingId": thing,
            "thingARN": _arn(app, own),
            "clientCertId": fingerprint,
            "clientCert": certificate.public_bytes(serialization.Encoding.PEM).decode(),
            SECRET_HASH: hash_secret(secret),
        }
        details = await self.connection(metadata)
        if private_key is not None:
            details["privateKey"] = private_key
        details["secret"] = secret
        return Provisioned(details, metadata, (Key("cloud", own), Key("certificate", fingerprint)))

    async def adopt(self, app: str, thing: str, metadata: JsonObject) -> Provisioned | None:
        """Under its old cloud id: a secret by its hash, a certificate that our own authority signed for it."""
        own = cloud_id(app, thing)
        secret, pem = metadata.get(SECRET_HASH), metadata.get("clientCert")
        if metadata.get("cloudId") != own:
            return None
        kept: JsonObject = {"cloudId": own, "thingId": thing, "thingARN": _arn(app, own)}
        keys = [Key("cloud", own)]
        if isinstance(secret, str) and _SHA256.fullmatch(secret):
            kept[SECRET_HASH] = secret
        fingerprint = self._authority.recognised(pem, own) if isinstance(pem, str) else None
        if fingerprint is not None:
            kept |= {"clientCertId": fingerprint, "clientCert": pem}
            keys.append(Key("certificate", fingerprint))
        return Provisioned({}, kept, tuple(keys)) if len(kept) > 3 else None

    async def connection(self, metadata: JsonObject) -> JsonObject:
        details: JsonObject = {"thingName": metadata["cloudId"], "clientId": metadata["cloudId"]}
        details |= {name: metadata[name] for name in _SHOWN if name in metadata}
        certificate = metadata.get("clientCert")
        if isinstance(certificate, str):
            key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
            pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            details["publicKey"] = pem.decode()
        return details | {
            "caCert": self._authority.pem,
            "region": "local",
            "host": self._endpoint.host,
            "port": self._endpoint.port,
            "wsUrl": self._endpoint.ws_url,
        }

    async def deprovision(self, metadata: JsonObject) -> None:
        """Nothing: a credential ends when core forgets its keys."""


def _arn(app: str, own: str) -> str:
    return f"arn:thingstead:iot:local:{app}:thing/{own}"


_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN: Final = ("thingId", "thingARN", "clientCertId", "clientCert")
