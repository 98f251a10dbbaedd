"""SAML 2.0: a response is believed once, by the browser that asked, for this app; whatever else comes is refused
(identity.md 8.6, 17).
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import etree

from support.aio import run
from support.backend import open_backend
from support.certificates import self_signed
from support.idp import NAMES, SHA1, SHA1_DIGEST, SHA256, SHA256_DIGEST, IdentityProvider, asked, posted
from support.keycloak import Browser, Keycloak, Realm, person
from thingstead.core.outbound import Outbound
from thingstead.core.signin.saml import Saml
from thingstead.core.tenants import App, Tenants
from thingstead.model import saml as rules
from thingstead.model.app_options import APP_OPTIONS
from thingstead.model.errors import SignInFailed
from thingstead.model.outbound import Allowed, allowed
from thingstead.model.users import Profile
from thingstead.model.values import Json

HERE = "https://things.example/saml_auth/plant"
RELAY = "only this browser knows"
PERSON = {"UserID": ["jane"], "EmailAddress": ["Jane@corp.example"], "GivenName": ["Jane Doe"]}
IDP = IdentityProvider()
CERTIFICATE, KEY = self_signed("service provider")


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


OUTRIGHT: Mapping[str, Json] = {
    "sp.entityid": HERE,
    "idp.entityid": IDP.entity,
    "idp.single_sign_on_service.url": IDP.sign_on,
    "idp.x509cert": b64(IDP.certificate),
}
WITH_KEY: Mapping[str, Json] = {**OUTRIGHT, "sp.x509cert": b64(CERTIFICATE), "sp.privatekey": b64(KEY)}


class Asking:
    """A provider and an app with these settings."""

    def __init__(self, saml: Saml, settings: dict[str, Json], app: App) -> None:
        self.saml = saml
        self.settings = settings
        self.app = app

    async def begin(self, here: str = HERE, relay: str = RELAY) -> str:
        return await self.saml.begin(self.app, here, relay)

    async def finish(self, xml: str, here: str = HERE, relay: str = RELAY) -> Profile:
        return await self.saml.finish(self.app, here, posted(xml, relay))

    async def refused(self, doing: Awaitable[object]) -> str:
        with pytest.raises(SignInFailed) as caught:
            await doing
        return caught.value.details["reason"]


@asynccontextmanager
async def asking(
    folder: Path, options: Mapping[str, Json], *, given: Allowed | None = None, own: bool = True
) -> AsyncIterator[Asking]:
    settings = {f"security.saml.{name}": value for name, value in options.items()}
    tenants = SimpleNamespace(
        option=lambda app, key: settings.get(key, APP_OPTIONS[key][0]), from_app=lambda app, key: own
    )
    app = SimpleNamespace(identifier="plant", object=SimpleNamespace(id="app:plant"))
    outbound = Outbound(given or Allowed())
    try:
        async with open_backend(folder) as backend:
            saml = Saml(cast(Tenants, tenants), outbound, backend.store, backend.clock)
            yield Asking(saml, settings, cast(App, app))
    finally:
        await outbound.close()


def with_saml(
    folder: Path, test: Callable[[Asking], Awaitable[None]], options: Mapping[str, Json] = OUTRIGHT, **more: Any
) -> None:
    async def go() -> None:
        async with asking(folder, options, **more) as found:
            await test(found)

    run(go())


def request(idp: IdentityProvider = IDP, relay: str = RELAY) -> str:
    return rules.request_id("plant", relay, idp.entity)


def said(**wrong: Any) -> str:
    """A response to this browser's request, all of it right but what a test names."""
    return IDP.xml(
        wrong.pop("request", request()),
        wrong.pop("consumer", HERE),
        wrong.pop("audience", HERE),
        wrong.pop("attributes", PERSON),
        **wrong,
    )


# --- the request


def test_a_request_goes_to_the_provider(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        url = await found.begin()
        assert url.startswith(f"{IDP.sign_on}&SAMLRequest=")
        query = parse_qs(urlsplit(url).query)
        assert query["RelayState"] == [RELAY]
        assert "Signature" not in query
        sent = asked(url)
        assert sent.get("ID") == request()
        assert sent.get("AssertionConsumerServiceURL") == HERE
        assert sent.get("Destination") == IDP.sign_on
        assert sent.findtext("saml:Issuer", namespaces=NAMES) == HERE
        [policy] = sent.findall("samlp:NameIDPolicy", NAMES)
        assert policy.get("Format") == rules.UNSPECIFIED
        assert sent.find("samlp:RequestedAuthnContext", NAMES) is None

    with_saml(tmp_path, test)


@pytest.mark.parametrize("spelling", ["authnrequest_signed", "authrequest_signed"])
def test_a_request_is_signed(tmp_path: Path, spelling: str) -> None:
    async def test(found: Asking) -> None:
        query = parse_qs(urlsplit(await found.begin()).query)
        assert query["SigAlg"] == [rules.ALGORITHMS["rsa-sha512"]]
        assert query["Signature"]

    options = {**WITH_KEY, f"security.{spelling}": True, "security.signature_algorithm": "rsa-sha512"}
    with_saml(tmp_path, test, options)


WRONG: Sequence[Mapping[str, Json]] = (
    {"sp.entityid": ""},
    {"sp.entityid": "plant"},
    {"idp.x509cert": ""},
    {"idp.x509cert": "?"},
    {"idp.single_sign_on_service.url": "javascript:x"},
    {"security.authnrequest_signed": True},
    {"security.want_assertions_encrypted": True},
    {"security.signature_algorithm": "md5"},
)


def test_settings_that_say_too_little(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        right = dict(found.settings)
        for wrong in WRONG:
            found.settings.clear()
            found.settings.update({**right, **{f"security.saml.{name}": value for name, value in wrong.items()}})
            assert await found.refused(found.begin()) == "bad_settings"
            assert await found.refused(found.finish(said())) in ("bad_settings", "bad_response")
            if next(iter(wrong)).startswith(("sp", "security")):
                assert await found.refused(found.saml.metadata(found.app, HERE)) == "bad_settings"

    with_saml(tmp_path, test)


# --- what is believed


def test_a_signed_response_proves_a_person(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        for signed in (("assertion",), ("response",), ("assertion", "response")):
            profile = await found.finish(said(signed=signed))
            assert profile.identifier == "saml:jane"
            assert (profile.email, profile.email_proven, profile.name) == ("Jane@corp.example", True, "Jane Doe")
            assert profile.groups is None

    with_saml(tmp_path, test)


def test_attributes_have_the_names_that_the_app_says(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        held = {"urn:oid:1": ["7", "8"], "pic": ["https://x/y"], "first": ["Ann"], "last": ["Archer"], "GivenName": []}
        profile = await found.finish(said(attributes=held))
        assert (profile.identifier, profile.name) == ("saml:7", "Ann Archer")
        assert (profile.email, profile.email_proven) == ("7@corp.example", False)
        assert profile.picture == "https://x/y"

    names = {"id": "urn:oid:1", "picture": "pic", "firstname": "first", "lastname": "last"}
    with_saml(
        tmp_path, test, {**OUTRIGHT, "domain": "corp.example", **{f"attributes.{k}": v for k, v in names.items()}}
    )


@pytest.mark.parametrize(
    ("attributes", "email", "proven"),
    [
        ({"UserID": ["a@x.org"]}, "a@x.org", True),
        ({"UserID": ["a"]}, "a@paraio.com", False),
        ({"UserID": ["", "a"], "EmailAddress": ["none"]}, "a@paraio.com", False),
    ],
)
def test_addresses(attributes: Mapping[str, Sequence[str]], email: str, proven: bool) -> None:
    known = rules.config(lambda key: HERE if key.endswith("sp.entityid") else APP_OPTIONS[key][0])
    profile = rules.profile(known, attributes)
    assert profile is not None
    assert (profile.email, profile.email_proven, profile.name) == (email, proven, "")
    assert profile.no_name == "Anonymous"


def test_without_an_id_nobody(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        assert await found.refused(found.finish(said(attributes={"EmailAddress": ["a@x.org"]}))) == "no_id"

    with_saml(tmp_path, test)


# --- what is not


def altered(**wrong: Any) -> str:
    return said(**wrong).replace(">jane<", ">admin<")


def with_dtd() -> str:
    return said().replace("<samlp:Response", '<!DOCTYPE r [<!ENTITY x "jane">]><samlp:Response', 1)


def with_outer_entity() -> str:
    xml = said().replace(
        "<samlp:Response", '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><samlp:Response', 1
    )
    return xml.replace(">jane<", ">&x;<")


def laughing() -> str:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 9))
    return said().replace("<samlp:Response", f'<!DOCTYPE r [<!ENTITY l0 "ha">{entities}]><samlp:Response', 1)


def wrapped(where: str, signed: str) -> str:
    """A signed response that is moved aside, with a forged assertion where it stood."""
    root = etree.fromstring(said(signed=(signed,)).encode())
    [assertion] = root.findall("saml:Assertion", NAMES)
    forged = etree.fromstring(etree.tostring(assertion).replace(b">jane<", b">admin<"))
    for old in forged.findall("ds:Signature", NAMES):
        forged.remove(old)
    if where == "same id":
        root.insert(list(root).index(assertion), forged)
        return etree.tostring(root).decode()
    forged.set("ID", "_forged")
    if where == "before":
        root.insert(list(root).index(assertion), forged)
    elif where == "after":
        root.append(forged)
    elif where == "inside the signature":
        place = etree.SubElement(root.find(".//ds:Signature", NAMES), f"{{{NAMES['ds']}}}Object")
        root.replace(assertion, forged)
        signature = assertion.find("ds:Signature", NAMES)
        if signature is not None:
            assertion.remove(signature)
            forged.insert(1, signature)
            place = etree.SubElement(signature, f"{{{NAMES['ds']}}}Object")
        place.append(assertion)
    elif where == "in extensions":
        extensions = etree.Element(f"{{{NAMES['samlp']}}}Extensions")
        root.replace(assertion, forged)
        extensions.append(assertion)
        root.insert(1, extensions)
    elif where == "the whole":
        whole = etree.fromstring(etree.tostring(root))
        root.set("ID", "_other")
        root.replace(assertion, forged)
        extensions = etree.Element(f"{{{NAMES['samlp']}}}Extensions")
        extensions.append(whole)
        root.insert(1, extensions)
    return etree.tostring(root).decode()


def commented() -> str:
    """Text that a comment ends early, for some readers."""
    return said(attributes={"UserID": ["admin@corp.example.evil"]}).replace(
        "corp.example.evil", "corp.example<!---->.evil"
    )


REFUSED: Mapping[str, Callable[[], str]] = {
    "unsigned": lambda: said(signed=()),
    "altered": altered,
    "altered, signed as a whole": lambda: altered(signed=("response",)),
    "signed by somebody else": lambda: IdentityProvider(IDP.entity).xml(request(), HERE, HERE, PERSON),
    "from somebody else": lambda: said(issuer="https://evil.example"),
    "signed with SHA-1": lambda: said(algorithm=(SHA1, SHA256_DIGEST)),
    "digested with SHA-1": lambda: said(algorithm=(SHA256, SHA1_DIGEST)),
    "expired": lambda: said(seconds=-400),
    "not yet": lambda: said(begins=900, seconds=1200),
    "confirmation expired": lambda: said(confirmed_seconds=-5),
    "confirmation without end": lambda: said(confirmed_seconds=None),
    "another audience": lambda: said(audience="https://elsewhere.example"),
    "an audience that begins alike": lambda: said(audience=HERE + "2"),
    "no audience": lambda: said(audience=None),
    "another recipient": lambda: said(recipient="https://elsewhere.example"),
    "a recipient that begins alike": lambda: said(recipient=HERE + "2"),
    "no recipient": lambda: said(recipient=None),
    "another destination": lambda: said(destination="https://elsewhere.example"),
    "a destination that begins alike": lambda: said(destination=HERE + "2"),
    "not bearer": lambda: said(method="urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"),
    "another browser's": lambda: said(request=request(relay="another browser")),
    "another browser's assertion": lambda: said(confirms=request(relay="another browser")),
    "nobody asked": lambda: said(request=None),
    "an assertion nobody asked for": lambda: said(confirms=None),
    "another app's": lambda: said(request=rules.request_id("other", RELAY, IDP.entity)),
    "no success": lambda: said(status="Responder"),
    "a DTD": with_dtd,
    "an outer entity": with_outer_entity,
    "many entities": laughing,
    "no XML": lambda: "jane",
    "nothing": lambda: "",
    "another document": lambda: IDP.metadata(),
    "two assertions": lambda: wrapped("after", "assertion"),
    **{
        f"wrapped: {where}, signed {signed}": lambda where=where, signed=signed: wrapped(where, signed)
        for where in ("before", "same id", "inside the signature", "in extensions", "the whole")
        for signed in ("assertion", "response")
    },
}


def test_nothing_else_is_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(found: Asking) -> None:
        for name, make in REFUSED.items():
            caplog.clear()
            with pytest.raises(SignInFailed) as caught:
                raise AssertionError(f"believed: {name}: {await found.finish(make())}")
            assert caught.value.details["reason"] == "bad_response", name
            print(f"{name}: {caplog.messages}")
        assert await found.saml._store.items.scan("saml") == {}

    with_saml(tmp_path, test)


def test_a_comment_cuts_no_text(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        assert (await found.finish(commented())).identifier == "saml:admin@corp.example.evil"

    with_saml(tmp_path, test)


def test_what_an_app_wants_signed_or_encrypted(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        for option, lacking, enough in (
            ("want_messages_signed", ("assertion",), ("response",)),
            ("want_assertions_signed", ("response",), ("assertion",)),
        ):
            found.settings[f"security.saml.security.{option}"] = True
            assert await found.refused(found.finish(said(signed=lacking))) == "bad_response"
            assert (await found.finish(said(signed=enough))).identifier == "saml:jane"
            del found.settings[f"security.saml.security.{option}"]
        for option in ("want_assertions_encrypted", "want_nameid_encrypted"):
            found.settings[f"security.saml.security.{option}"] = True
            assert await found.refused(found.finish(said())) == "bad_response"
            del found.settings[f"security.saml.security.{option}"]

    with_saml(tmp_path, test, WITH_KEY)


def test_an_assertion_counts_once(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        once = said(signed=("assertion",), assertion="_once")
        assert (await found.finish(once)).identifier == "saml:jane"
        assert await found.refused(found.finish(once)) == "replayed"
        assert await found.refused(found.finish(once.replace('ID="_r', 'ID="_q', 1))) == "replayed"
        twice = said(assertion="_twice")
        done = await asyncio.gather(*(found.finish(twice) for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(each, Profile) for each in done) == 1
        again = Saml(found.saml._tenants, found.saml._outbound, found.saml._store, found.saml._clock)
        with pytest.raises(SignInFailed):  # after a restart too
            await again.finish(found.app, HERE, posted(once, RELAY))

    with_saml(tmp_path, test)


def test_used_assertions_are_kept_until_they_expire(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        store, clock = found.saml._store, found.saml._clock
        await found.finish(said())
        assert len(await store.items.scan("saml")) == 1
        later = SimpleNamespace(now=lambda: clock.now() + 590 * 1_000_000)
        again = Saml(found.saml._tenants, found.saml._outbound, store, cast(Any, later))
        await again._spend("x", 2**40)
        assert len(await store.items.scan("saml")) == 2
        later.now = lambda: clock.now() + 2000 * 1_000_000
        await again._spend("y", 2**40)
        assert len(await store.items.scan("saml")) == 2

    with_saml(tmp_path, test)


def test_forms_without_what_they_need(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        for form in (
            {},
            {"SAMLResponse": "x"},
            {"RelayState": "x"},
            {"SAMLResponse": "A" * (2 << 20), "RelayState": "x"},
        ):
            assert await found.refused(found.saml.finish(found.app, HERE, form)) == "bad_response"
        assert await found.refused(found.saml.prove(found.app, "token")) == "only_in_a_browser"

    with_saml(tmp_path, test)


# --- metadata


def test_our_own_metadata(tmp_path: Path) -> None:
    async def test(found: Asking) -> None:
        root = etree.fromstring(await found.saml.metadata(found.app, HERE))
        assert root.get("entityID") == HERE
        assert root.get("validUntil") is None
        [service] = root.findall(".//md:AssertionConsumerService", NAMES)
        assert service.get("Location") == "https://things.example/acs?a=1&b=2"
        assert service.get("Binding").endswith("HTTP-POST")
        assert root.find("ds:Signature", NAMES) is None
        found.settings["security.saml.security.sign_metadata"] = True
        found.settings["security.saml.security.want_assertions_encrypted"] = True
        root = etree.fromstring(await found.saml.metadata(found.app, HERE))
        assert root.find("ds:Signature", NAMES) is not None
        uses = [each.get("use") for each in root.findall(".//md:KeyDescriptor", NAMES)]
        assert sorted(uses) == ["encryption", "signing"]

    options = {**WITH_KEY, "sp.assertion_consumer_service.url": "https://things.example/acs?a=1&b=2"}
    for name in ("idp.entityid", "idp.x509cert", "idp.single_sign_on_service.url"):
        options.pop(name)  # its metadata are needed before the provider knows us
    with_saml(tmp_path, test, options)


class Published:
    """A server of metadata."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.asked = 0
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + self.body)
            try:
                await writer.drain()
            except ConnectionError:
                pass
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metadata"
            yield


def with_published(
    folder: Path,
    test: Callable[[Asking, Published], Awaitable[None]],
    *,
    given: Allowed | None = None,
    own: bool = True,
) -> None:
    async def go() -> None:
        published = Published()
        async with (
            published.open(),
            asking(folder, {"sp.entityid": HERE, "idp.metadata_url": published.url}, given=given, own=own) as found,
        ):
            await test(found, published)

    run(go())


LOCAL = allowed("127.0.0.1")
OTHER = IdentityProvider("https://other.example/idp?x='1'")


def test_metadata_describe_the_provider_and_are_kept(tmp_path: Path) -> None:
    async def test(found: Asking, published: Published) -> None:
        published.body = IDP.metadata().encode()
        assert (await found.begin()).startswith(IDP.sign_on)
        assert (await found.finish(said())).identifier == "saml:jane"
        assert published.asked == 1
        found.settings["security.saml.idp.single_sign_on_service.url"] = "https://elsewhere.example/sso"
        assert (await found.begin()).startswith("https://elsewhere.example/sso?")

    with_published(tmp_path, test, given=LOCAL)


def test_several_providers(tmp_path: Path) -> None:
    async def test(found: Asking, published: Published) -> None:
        published.body = (
            f'<md:EntitiesDescriptor xmlns:md="{NAMES["md"]}">{IDP.metadata()}'
            + OTHER.metadata()
            + "</md:EntitiesDescriptor>"
        ).encode()
        there = HERE + "?entityid=https%3A%2F%2Fother.example%2Fidp%3Fx%3D%271%27"
        assert (await found.begin()).startswith(IDP.sign_on)
        assert (await found.begin(there)).startswith(OTHER.sign_on)
        by_other = OTHER.xml(request(OTHER), HERE, HERE, PERSON)
        assert (await found.finish(by_other)).identifier == "saml:jane"
        assert (await found.finish(OTHER.xml(request(OTHER), HERE, HERE, PERSON), there)).identifier == "saml:jane"
        # one of them does not answer for the other
        assert await found.refused(found.finish(OTHER.xml(request(), HERE, HERE, PERSON))) == "bad_response"
        assert (
            await found.refused(found.finish(OTHER.xml(request(), HERE, HERE, PERSON, issuer=IDP.entity)))
            == "bad_response"
        )
        assert await found.refused(found.finish(said(), there)) == "bad_response"
        assert await found.refused(found.begin(HERE + "?entityid=https://nobody.example")) == "bad_settings"
        found.settings["security.saml.idp.entityid"] = OTHER.entity
        assert (await found.begin()).startswith(OTHER.sign_on)

    with_published(tmp_path, test, given=LOCAL)


def test_metadata_that_cannot_be_had(tmp_path: Path) -> None:
    async def test(found: Asking, published: Published) -> None:
        assert await found.refused(found.begin()) == "bad_metadata"  # nothing in it
        for body in (b"<a/>", b"{}", b'<!DOCTYPE r [<!ENTITY x "y">]>' + IDP.metadata().encode()):
            published.body = body
            assert await found.refused(found.begin()) == "bad_metadata"
        published.body = IDP.metadata(validUntil="2001-01-01T00:00:00Z").encode()
        assert await found.refused(found.begin()) == "bad_metadata"
        published.body = bytes(9 << 20)
        assert await found.refused(found.begin()) == "unreachable"
        published.status = 302
        assert await found.refused(found.begin()) == "unreachable"
        published.status, published.body = 200, IDP.metadata().encode()
        assert await found.begin()
        # an hour later they are fetched anew; while that fails, the old ones serve, for a day
        clock, later = found.saml._clock, 3700
        found.saml._clock = cast(Any, SimpleNamespace(now=lambda: clock.now() + later * 1_000_000))
        published.status, before = 500, published.asked
        assert await found.begin()
        assert await found.begin()
        assert published.asked == before + 1
        later = 90_000
        assert await found.refused(found.begin()) == "unreachable"
        published.status = 200
        assert await found.begin()

    with_published(tmp_path, test, given=LOCAL)


def test_an_app_leads_nobody_inside(tmp_path: Path) -> None:
    async def refused(found: Asking, published: Published) -> None:
        published.body = IDP.metadata().encode()
        assert await found.refused(found.begin()) == "unreachable"
        assert published.asked == 0
        for url in ("file:///etc/passwd", "ftp://127.0.0.1/x", "http://169.254.169.254/"):
            found.settings["security.saml.idp.metadata_url"] = url
            assert await found.refused(found.begin()) == "unreachable"

    async def trusted(found: Asking, published: Published) -> None:
        published.body = IDP.metadata().encode()
        assert await found.begin()

    with_published(tmp_path / "1", refused)
    with_published(tmp_path / "2", trusted, own=False)


# --- a real provider


@pytest.fixture(scope="module")
def realm(keycloak: Keycloak) -> Realm:
    """A realm with a person, and us as two clients: one that signs and wants all encrypted, one that does not."""

    def mapper(name: str, attribute: str) -> dict[str, Any]:
        return {
            "name": name,
            "protocol": "saml",
            "protocolMapper": "saml-user-property-mapper",
            "config": {"user.attribute": attribute, "attribute.name": name, "attribute.nameformat": "Basic"},
        }

    bare = "".join(CERTIFICATE.splitlines()[1:-1])

    def client(entity: str, **attributes: str) -> dict[str, Any]:
        return {
            "clientId": entity,
            "protocol": "saml",
            "enabled": True,
            "redirectUris": [entity],
            "attributes": {"saml.authnstatement": "true", "saml_assertion_consumer_url_post": entity, **attributes},
            "protocolMappers": [
                mapper("UserID", "username"),
                mapper("EmailAddress", "email"),
                mapper("FirstName", "firstName"),
                mapper("LastName", "lastName"),
            ],
        }

    plain = {"saml.server.signature": "true", "saml.client.signature": "false", "saml.force.post.binding": "true"}
    guarded = {
        **plain,
        "saml.client.signature": "true",
        "saml.signing.certificate": bare,
        "saml.assertion.signature": "true",
        "saml.encrypt": "true",
        "saml.encryption.certificate": bare,
    }
    jane = person("jane", "janes", email="jane@corp.example", firstName="Jane", lastName="Doe")
    return keycloak.realm("saml", users=[jane], clients=[client(HERE, **plain), client(HERE + "2", **guarded)])


def test_a_real_provider_signs_people_in(tmp_path: Path, realm: Realm) -> None:
    async def test(found: Asking) -> None:
        landed = await asyncio.to_thread(Browser().sign_in, await found.begin(), "jane", "janes")
        assert landed.url == HERE
        assert landed.form["RelayState"] == RELAY
        profile = await found.saml.finish(found.app, HERE, landed.form)
        assert profile.identifier == "saml:jane"
        assert (profile.email, profile.email_proven, profile.name) == ("jane@corp.example", True, "Jane Doe")
        assert await found.refused(found.saml.finish(found.app, HERE, landed.form)) == "replayed"
        other = {**landed.form, "RelayState": "another browser"}
        assert await found.refused(found.saml.finish(found.app, HERE, other)) == "bad_response"

    options = {"sp.entityid": HERE, "idp.metadata_url": f"{realm.saml}/descriptor"}
    with_saml(tmp_path, test, options, own=False)


def test_who_signed_in_there_has_a_token_of_ours(tmp_path: Path, realm: Realm) -> None:
    async def test() -> None:
        async with open_backend(tmp_path, outbound_allow="127.0.0.1") as backend:
            app, _ = await backend.tenants.create("plant")
            settings = {"sp.entityid": HERE, "idp.metadata_url": f"{realm.saml}/descriptor"}
            for name, value in settings.items():
                await backend.tenants.put_setting("plant", f"security.saml.{name}", value)
            app = await backend.tenants.get("plant")
            saml = backend.signin.providers["saml"]
            assert isinstance(saml, Saml)
            url = await saml.begin(app, HERE, RELAY)
            landed = await asyncio.to_thread(Browser().sign_in, url, "jane", "janes")
            signed = await backend.signin.with_profile(app, await saml.finish(app, HERE, landed.form))
            assert (signed.user.own["identifier"], signed.user.own["groups"]) == ("saml:jane", "users")
            principal = await backend.identity.bearer(signed.token)
            assert (principal.kind, principal.app, principal.id) == ("user", "plant", signed.user.id)

    run(test())


def test_a_real_provider_takes_signed_requests_and_encrypts(tmp_path: Path, realm: Realm) -> None:
    async def test(found: Asking) -> None:
        landed = await asyncio.to_thread(Browser().sign_in, await found.begin(), "jane", "janes")
        assert b"EncryptedAssertion" in base64.b64decode(landed.form["SAMLResponse"])
        profile = await found.saml.finish(found.app, HERE, landed.form)
        assert (profile.identifier, profile.name) == ("saml:jane", "Jane Doe")

    wants = ("authnrequest_signed", "want_messages_signed", "want_assertions_signed", "want_assertions_encrypted")
    options = {
        "sp.entityid": HERE + "2",
        "sp.x509cert": b64(CERTIFICATE),
        "sp.privatekey": b64(KEY),
        "idp.metadata_url": f"{realm.saml}/descriptor",
        **{f"security.{name}": True for name in wants},
    }
    with_saml(tmp_path, test, options, own=False)
