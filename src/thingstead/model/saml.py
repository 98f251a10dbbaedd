"""SAML 2.0 as an app's options describe it, and what an assertion says about a person (identity.md 8.6). Pure;
`core/signin/saml.py` is the service provider.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from thingstead.model.constraints import is_email
from thingstead.model.errors import InvalidInput
from thingstead.model.pem import pem
from thingstead.model.users import Profile
from thingstead.model.values import Json

PREFIX: Final = "security.saml."
METADATA_URL: Final = f"{PREFIX}idp.metadata_url"
UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
DOMAIN: Final = "paraio.com"  # of people without an address
ATTRIBUTES: Final[Mapping[str, str]] = {
    "id": "UserID",
    "picture": "Picture",
    "email": "EmailAddress",
    "name": "GivenName",
    "firstname": "FirstName",
    "lastname": "LastName",
}
"""Names of attributes where an app says none."""

ALGORITHMS: Final[Mapping[str, str]] = {
    "rsa-sha1": "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
    "rsa-sha256": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "rsa-sha384": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
    "rsa-sha512": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
}
"""What requests and metadata may be signed with; options may hold the name or the URI."""

MAX_ID: Final = 256


class Idp(msgspec.Struct, frozen=True):
    """An identity provider: who it is, where it signs people in, and what its signatures are checked with."""

    entity: str = ""
    sign_on: str = ""  # takes requests by redirect
    certificates: tuple[str, ...] = ()  # PEM


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """An app as a service provider."""

    entity: str
    consumer: str  # URL to which assertions are posted, and which they must name
    name_format: str
    certificate: str  # PEM; "": none
    key: str
    idp: Idp  # what is said outright; blank parts come from its metadata
    metadata_url: str
    signs_requests: bool
    signs_metadata: bool
    wants_messages_signed: bool
    wants_assertions_signed: bool
    wants_assertions_encrypted: bool
    wants_name_encrypted: bool
    algorithm: str
    attributes: Mapping[str, str]
    domain: str


def config(option: Callable[[str], Json]) -> Config:
    """The service provider that an app's options describe. Raises InvalidInput naming what is missing or wrong."""

    def text(name: str) -> str:
        return str(option(PREFIX + name)).strip()

    def flag(name: str) -> bool:
        return option(f"{PREFIX}security.{name}") is True

    def block(name: str, label: str) -> str:
        try:
            return pem(text(name), label)
        except ValueError as error:
            raise InvalidInput(f"para.{PREFIX}{name} is {error}", field=name) from None

    entity = text("sp.entityid")
    if not entity:
        raise InvalidInput(f"para.{PREFIX}sp.entityid is not set", field="sp.entityid")
    consumer = text("sp.assertion_consumer_service.url") or entity
    if urlsplit(consumer).scheme not in ("http", "https") or not urlsplit(consumer).netloc:
        raise InvalidInput(f"para.{PREFIX}sp.assertion_consumer_service.url is no URL", field="sp.entityid")
    algorithm = text("security.signature_algorithm") or "rsa-sha256"
    if algorithm not in (*ALGORITHMS, *ALGORITHMS.values()):
        raise InvalidInput(f"para.{PREFIX}security.signature_algorithm must be one of {', '.join(ALGORITHMS)}")
    certificate, key = block("sp.x509cert", "CERTIFICATE"), block("sp.privatekey", "PRIVATE KEY")
    made = Config(
        entity=entity,
        consumer=consumer,
        name_format=text("sp.nameidformat") or UNSPECIFIED,
        certificate=certificate,
        key=key,
        idp=Idp(
            text("idp.entityid"),
            text("idp.single_sign_on_service.url"),
            tuple(filter(None, (block("idp.x509cert", "CERTIFICATE"),))),
        ),
        metadata_url=text("idp.metadata_url"),
        signs_requests=flag("authnrequest_signed") or flag("authrequest_signed"),
        signs_metadata=flag("sign_metadata"),
        wants_messages_signed=flag("want_messages_signed"),
        wants_assertions_signed=flag("want_assertions_signed"),
        wants_assertions_encrypted=flag("want_assertions_encrypted"),
        wants_name_encrypted=flag("want_nameid_encrypted"),
        algorithm=ALGORITHMS.get(algorithm, algorithm),
        attributes={name: text(f"attributes.{name}") or default for name, default in ATTRIBUTES.items()},
        domain=text("domain") or DOMAIN,
    )
    needs_key = (
        made.signs_requests or made.signs_metadata or made.wants_assertions_encrypted or made.wants_name_encrypted
    )
    if needs_key and not (certificate and key):
        raise InvalidInput(f"para.{PREFIX}sp.x509cert and sp.privatekey are needed to sign and to decrypt")
    return made


def provider(known: Config, described: Mapping[str, Idp], wanted: str) -> Idp:
    """The identity provider to ask or to believe: the one the app names, else `wanted`, else the first described.

    What the app says outright overrides what metadata describe. Raises InvalidInput if nothing says enough.
    """
    said = known.idp
    name = said.entity or wanted
    if described:
        found = described.get(name) if name else next(iter(described.values()))
        if found is None and (not said.entity or not said.sign_on or not said.certificates):
            raise InvalidInput("the identity provider's metadata describe no such entity", field="entityid")
    else:
        found = None
        if wanted and wanted != said.entity:
            raise InvalidInput("there is no such identity provider", field="entityid")
    found = found or Idp()
    idp = Idp(said.entity or found.entity, said.sign_on or found.sign_on, said.certificates or found.certificates)
    if not idp.entity or not idp.certificates or urlsplit(idp.sign_on).scheme not in ("http", "https"):
        raise InvalidInput("nothing says who the identity provider is, where it signs in, and its certificate")
    return idp


def request_id(app: str, relay: str, idp: str) -> str:
    """The id of the request that a browser with this RelayState was sent away with.

    A response that names it in InResponseTo answers that browser's request, for this app, and by this provider:
    nothing needs to be kept meanwhile.
    """
    digest = hashlib.sha256("\0".join(("saml", app, relay, idp)).encode()).hexdigest()
    return f"_{digest}"


def profile(known: Config, attributes: Mapping[str, Sequence[str]]) -> Profile | None:
    """What a verified assertion says about a person; None without an id.

    An address counts as proven if the assertion holds it, as an attribute or as the id.
    """

    def first(name: str) -> str:
        values = (value.strip() for value in attributes.get(known.attributes[name], ()) if value)
        return next(filter(None, values), "")

    id = first("id")
    if not id or len(id) > MAX_ID or not id.isprintable():
        return None
    email = next((each for each in (first("email"), id) if is_email(each)), "")
    return Profile(
        identifier=f"saml:{id}",
        email=email or f"{id}@{known.domain}",
        email_proven=bool(email),
        domain=known.domain,
        name=first("name") or " ".join(filter(None, (first("firstname"), first("lastname")))),
        no_name="Anonymous",
        picture=first("picture"),
    )
