"""People of a real OpenLDAP, and of a real Active Directory, sign in with name and password (identity.md 8.5, 17)."""

import asyncio
import base64
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from support.aio import run
from support.certificates import Authority
from support.samba import DOMAIN, PASSWORD, Samba
from support.slapd import ADMIN, ADMIN_PASSWORD, BASE, JPEG, Slapd
from thingstead.core.signin.ldap import Ldap
from thingstead.core.tenants import App, Tenants
from thingstead.model.app_options import APP_OPTIONS
from thingstead.model.errors import SignInFailed
from thingstead.model.outbound import Allowed, allowed
from thingstead.model.users import Profile
from thingstead.model.values import Json

LOCAL = allowed("127.0.0.0/8")
ADMINS_AND_MODS = {"admins_group_node": "cn=plant admins", "mods_group_node": "cn=plant mods"}


def prove(token: str, given: Allowed = LOCAL, *, own: bool = True, seconds: float = 10, **options: Json) -> Profile:
    """The profile that a token proves for an app with these settings; `own`: it has set them itself."""
    settings = {f"security.ldap.{name}": value for name, value in options.items()}
    tenants = SimpleNamespace(
        option=lambda app, key: settings.get(key, APP_OPTIONS[key][0]), from_app=lambda app, key: own
    )
    app = SimpleNamespace(identifier="plant", object=SimpleNamespace(id="app:plant"))

    async def proven() -> Profile:
        provider = Ldap(cast(Tenants, tenants), given, seconds=seconds)
        try:
            return await provider.prove(cast(App, app), token)
        finally:
            provider.close()

    return run(proven())


def refused(token: str, given: Allowed = LOCAL, *, own: bool = True, seconds: float = 10, **options: Json) -> str:
    """The reason for which it proves nothing."""
    with pytest.raises(SignInFailed) as caught:
        prove(token, given, own=own, seconds=seconds, **options)
    assert caught.value.message == "the sign-in failed"
    return caught.value.details["reason"]


@pytest.fixture(scope="module")
def plain(slapd: Slapd) -> Mapping[str, Json]:
    """Settings for the directory, with a few people in it."""
    ann = slapd.person("ann", "ann's: secret", mail="Ann@corp.example", cn="Ann Archer", displayName="Annie")
    bob = slapd.person("bob", "bobs", under="ou=staff,ou=people", cn="Bob Baker")
    slapd.person("ceo@corp.example", "chief")
    slapd.person("böb(*)\\, x+y=#1", "wïld\\ *")
    slapd.person("twice1", "same", cn="Twice")
    slapd.person("twice2", "same", cn="Twice")
    slapd.person("shy", "hidden", under="ou=hidden", mail="shy@corp.example")
    slapd.person("late", "late", cn="Late")
    slapd.group("plant admins", ann)
    slapd.group("plant mods", bob)
    return {"server_url": slapd.ldap, "base_dn": BASE, "user_dn_pattern": "uid={0},ou=people"}


@pytest.fixture(scope="module", params=["ldap", "ldaps", "StartTLS"])
def way(request: pytest.FixtureRequest, slapd: Slapd, plain: Mapping[str, Json]) -> Mapping[str, Json]:
    """The same over each kind of connection."""
    encrypted = {**plain, "ca_certificate": slapd.authority.pem}
    return {
        "ldap": plain,
        "ldaps": {**encrypted, "server_url": slapd.ldaps},
        "StartTLS": {**encrypted, "start_tls": True},
    }[request.param]


def test_bind_by_pattern(way: Mapping[str, Json]) -> None:
    found = prove("ann:ann's: secret", **way, **ADMINS_AND_MODS)
    assert (found.identifier, found.name, found.groups) == ("ldap:ann", "Ann Archer", "admins")
    assert (found.email, found.email_proven) == ("Ann@corp.example", True)
    assert refused("ann:ann's: secre", **way) == "bad_credentials"
    assert refused("nobody:x", **way) == "bad_credentials"


def test_bind_by_the_second_pattern(plain: Mapping[str, Json]) -> None:
    asked = {**plain, "user_dn_pattern": "uid={0},ou=people|uid={0},ou=staff,ou=people"}
    found = prove("bob:bobs", **asked, **ADMINS_AND_MODS)
    assert (found.email, found.email_proven, found.groups) == ("bob@paraio.com", False, "mods")


@pytest.mark.parametrize("binder", [{}, {"bind_dn": ADMIN, "bind_pass": ADMIN_PASSWORD}])
def test_search_and_bind(way: Mapping[str, Json], binder: Mapping[str, Json]) -> None:
    asked = {**way, **binder, "user_dn_pattern": "", "user_search_filter": "(&(objectClass=inetOrgPerson)(uid={0}))"}
    assert prove("bob:bobs", **asked).name == "Bob Baker"
    assert refused("bob:wrong", **asked) == "bad_credentials"
    assert refused("b*:bobs", **asked) == "bad_credentials"
    assert refused("bob)(uid=*:bobs", **asked) == "bad_credentials"


def test_a_search_goes_below_its_base_and_finds_one(plain: Mapping[str, Json]) -> None:
    asked = {**plain, "user_dn_pattern": ""}
    assert prove("Bob Baker:bobs", **asked, user_search_base="ou=staff,ou=people").identifier == "ldap:Bob Baker"
    assert refused("Ann Archer:ann's: secret", **asked, user_search_base="ou=staff,ou=people") == "bad_credentials"
    assert refused("Twice:same", **asked) == "bad_credentials"


@pytest.mark.parametrize("by_search", [False, True])
def test_names_with_characters_that_mean_something(plain: Mapping[str, Json], by_search: bool) -> None:
    asked = {**plain, "user_search_filter": "(uid={0})", **({"user_dn_pattern": ""} if by_search else {})}
    found = prove("böb(*)\\, x+y=#1:wïld\\ *", **asked)
    assert found.identifier == "ldap:böb(*)\\, x+y=#1"
    for name in ("böb(*)", "*", "bob\0", "ann,ou=people", "ann+uid=bob", "#616e6e", "\\61nn"):
        assert refused(f"{name}:ann's: secret", **asked) == "bad_credentials"


def test_without_a_password_nobody_signs_in(way: Mapping[str, Json]) -> None:
    for token in ("ann:", "ann", "ann:\0", "ann:\0ann's: secret", ":x", " :x"):
        assert refused(token, **way) == "bad_credentials"


@pytest.mark.parametrize("pattern", ["uid={0},ou=people", ""])
def test_compare(way: Mapping[str, Json], pattern: str) -> None:
    asked = {
        **way,
        "user_dn_pattern": pattern,
        "user_search_filter": "(uid={0})",
        "compare_passwords": "true",
        "bind_dn": ADMIN,
        "bind_pass": ADMIN_PASSWORD,
    }
    assert prove("ann:ann's: secret", **asked, **ADMINS_AND_MODS).groups == "admins"
    assert refused("ann:wrong", **asked) == "bad_credentials"
    assert refused("nobody:wrong", **asked) == "bad_credentials"
    assert refused("ann:", **asked) == "bad_credentials"
    assert prove("ann:Annie", **asked, password_attribute="displayName").identifier == "ldap:ann"
    nobody = {**asked, "bind_dn": "", "bind_pass": ""}
    assert refused("ann:ann's: secret", **nobody) == "bad_credentials"  # who may not compare proves nothing


def test_an_entry_that_its_person_may_not_read(plain: Mapping[str, Json]) -> None:
    asked = {**plain, "user_dn_pattern": "uid={0},ou=hidden"}
    found = prove("shy:hidden", **asked)
    assert (found.identifier, found.email, found.name) == ("ldap:shy", "shy@paraio.com", "")
    found = prove("shy:hidden", **asked, bind_dn=ADMIN, bind_pass=ADMIN_PASSWORD)
    assert (found.email, found.name) == ("shy@corp.example", "shy")


def test_what_the_entry_says(slapd: Slapd, plain: Mapping[str, Json]) -> None:
    photo = base64.b64encode(JPEG).decode()
    slapd.modify(f"dn: uid=ann,ou=people,{BASE}\nchangetype: modify\nreplace: jpegPhoto\njpegPhoto:: {photo}\n")
    found = prove("ann:ann's: secret", **plain, displayname_attribute="displayName")
    assert found.name == "Annie"
    assert found.avatar is not None
    assert (found.avatar.subtype, found.avatar.data) == ("jpeg", JPEG)
    assert found.groups is None  # the app maps none
    assert prove("ann:ann's: secret", **plain, username_as_name=True).name == "Ann"
    assert prove("ceo@corp.example:chief", **plain).email_proven


def test_groups_are_those_of_now(slapd: Slapd, plain: Mapping[str, Json]) -> None:
    late = f"uid=late,ou=people,{BASE}"
    change = f"dn: cn=plant mods,ou=groups,{BASE}\nchangetype: modify\n{{}}: member\nmember: {late}\n"
    assert prove("late:late", **plain, **ADMINS_AND_MODS).groups == "users"
    slapd.modify(change.format("add"))
    assert prove("late:late", **plain, **ADMINS_AND_MODS).groups == "mods"
    slapd.modify(change.format("delete"))
    assert prove("late:late", **plain, **ADMINS_AND_MODS).groups == "users"


# --- where the directory is


def test_certificates_are_checked(slapd: Slapd, plain: Mapping[str, Json]) -> None:
    encrypted = {**plain, "server_url": slapd.ldaps}
    assert refused("ann:ann's: secret", **encrypted) == "bad_certificate"
    assert refused("ann:ann's: secret", **encrypted, ca_certificate=Authority("another").pem) == "bad_certificate"
    assert refused("ann:ann's: secret", **plain, start_tls=True) == "bad_certificate"
    by_address = {**encrypted, "server_url": slapd.ldaps.replace("localhost", "127.0.0.1")}
    assert refused("ann:ann's: secret", **by_address, ca_certificate=slapd.authority.pem) == "bad_certificate"
    assert refused("ann:ann's: secret", **plain, ca_certificate="?") == "bad_settings"


def test_an_app_leads_nobody_inside(plain: Mapping[str, Json]) -> None:
    assert refused("ann:ann's: secret", Allowed(), **plain) == "address_not_public"
    assert prove("ann:ann's: secret", Allowed(), own=False, **plain).name == "Ann Archer"
    assert prove("ann:ann's: secret", allowed("localhost"), **plain).name == "Ann Archer"
    for url in ("ldap://[::ffff:127.0.0.1]:389", "ldap://169.254.169.254", "ldap://0.0.0.0", "ldap://10.0.0.1"):
        assert refused("a:b", Allowed(), server_url=url) == "address_not_public"
    for url in ("http://127.0.0.1", "ldapi:///run/ldapi", ""):
        assert refused("a:b", Allowed(), server_url=url) == "bad_settings"


def test_a_directory_that_is_not_there(plain: Mapping[str, Json]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert refused("a:b", server_url=f"ldap://127.0.0.1:{port}") == "unreachable"
    assert refused("a:b", server_url="ldap://no.such.host.invalid") == "unreachable"
    assert refused("a:b", **{**plain, "bind_dn": ADMIN, "bind_pass": "wrong"}) == "bind_dn_refused"


@asynccontextmanager
async def _answering(answer: Callable[[asyncio.StreamWriter], object]) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        try:
            result = answer(writer)
            if asyncio.iscoroutine(result):
                await result
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ldap://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _dribble(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x30\x84\x00\x00\xff\xff")
    while True:
        writer.write(b"\0")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _flood(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x30\x84\x7f\xff\xff\xff")
    while True:
        writer.write(bytes(1 << 20))
        await writer.drain()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda writer: asyncio.sleep(5), "unreachable"),
        (_dribble, "unreachable"),
        (_flood, "unreachable"),
        (lambda writer: writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None),
        (lambda writer: writer.write(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04"), None),
        (lambda writer: writer.write(b"\x30\x05\x02\x01\x01\x61\x00"), None),
    ],
)
def test_a_directory_that_harms(answer: Callable[[asyncio.StreamWriter], object], reason: str | None) -> None:
    settings = {f"security.ldap.{name}": value for name, value in {"base_dn": BASE}.items()}

    async def asked() -> str:
        async with _answering(answer) as url:
            settings["security.ldap.server_url"] = url
            tenants = SimpleNamespace(
                option=lambda app, key: settings.get(key, APP_OPTIONS[key][0]), from_app=lambda app, key: True
            )
            app = SimpleNamespace(identifier="plant", object=SimpleNamespace(id="app:plant"))
            provider = Ldap(cast(Tenants, tenants), LOCAL, seconds=0.5)
            try:
                await provider.prove(cast(App, app), "a:b")
            except SignInFailed as error:
                return error.details["reason"]
            finally:
                provider.close()
            raise AssertionError("somebody was proven")

    begun = time.monotonic()
    found = run(asked())
    assert found == reason or (reason is None and found in ("unreachable", "bad_answer"))
    assert time.monotonic() - begun < 3


# --- Active Directory


@pytest.fixture(scope="module")
def active(samba: Samba) -> Mapping[str, Json]:
    """Settings for the domain, encrypted."""
    return {
        "server_url": samba.ldaps,
        "ca_certificate": samba.authority.pem,
        "active_directory_domain": DOMAIN,
        **ADMINS_AND_MODS,
    }


@pytest.mark.parametrize(
    ("name", "email", "proven", "group"),
    [
        ("ann", "ann@corp.example", True, "admins"),
        (f"ann@{DOMAIN}", "ann@corp.example", True, "admins"),
        ("mia", "mia@corp.example", True, "mods"),
        ("bob", f"bob@{DOMAIN}", False, "users"),
        ("bob@elsewhere.example", "bob@elsewhere.example", False, "users"),
    ],
)
def test_active_directory(active: Mapping[str, Json], name: str, email: str, proven: bool, group: str) -> None:
    found = prove(f"{name}:{PASSWORD}", **active)
    assert found.identifier == f"ldap:{name}"
    assert (found.email, found.email_proven, found.groups) == (email, proven, group)


@pytest.mark.parametrize("name", ["gone", "nobody", "*", "ann)(cn=*", "@", "ann\0", "", "Administrator@"])
def test_active_directory_refuses(active: Mapping[str, Json], name: str) -> None:
    token = f"{name}:{PASSWORD}" if name != "Administrator@" else "Administrator@:wrong"
    assert refused(token, **active) == "bad_credentials"
    assert refused("ann:", **active) == "bad_credentials"


def test_active_directory_in_other_ways(samba: Samba, active: Mapping[str, Json]) -> None:
    plain = {"server_url": samba.ldap, "ad_mode_enabled": "true"}
    assert prove(f"ann@{DOMAIN}:{PASSWORD}", **plain).email == "ann@corp.example"
    assert refused(f"ann:{PASSWORD}", **plain) == "bad_credentials"
    by_name = {**active, "user_search_filter": "(&(objectClass=user)(sAMAccountName={1}))"}
    assert prove(f"mia@anything:{PASSWORD}", **by_name).email == "mia@corp.example"
    elsewhere = {**active, "base_dn": "cn=computers,dc=ts,dc=example,dc=org"}
    assert refused(f"ann:{PASSWORD}", **elsewhere) == "bad_credentials"
    assert refused(f"ann:{PASSWORD}", **{**active, "ca_certificate": ""}) == "bad_certificate"
