"""People of a real directory sign in at `/jwt_auth` with Para's client; their groups are those of each sign-in
(identity.md 6.3, 8.5).
"""

from collections.abc import Iterator
from typing import Any

import pytest
from paraclient import ParaClient

from support.backend import ROOT_SECRET
from support.client import Client
from support.listening import Listening, listening
from support.samba import DOMAIN, PASSWORD, Samba
from support.slapd import BASE, Slapd
from thingstead.doors import objects

FAILED = {"code": 400, "message": "Failed to authenticate user with 'ldap'. Check if user is active."}
GROUPS = {
    "security.ldap.admins_group_node": "cn=door admins",
    "security.ldap.mods_group_node": "cn=door mods",
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("data"), objects.app, outbound_allow="127.0.0.0/8") as opened:
        yield opened


def app(door: Listening, name: str, settings: dict[str, Any]) -> Any:
    """A client of a new app with these settings."""
    root = client(door, "app:para", ROOT_SECRET)
    keys = root.getEntity(root.invokeGet(f"_setup/{name}"), True)
    made = client(door, f"app:{name}", keys["secretKey"])
    made.setAppSettings(settings)
    return made


def client(door: Listening, access_key: str, secret: str = "") -> Any:
    made: Any = ParaClient(access_key, secret)
    made.setEndpoint(door.url)
    return made


def refused(door: Listening, app: str, token: str) -> bool:
    body = {"appid": app, "provider": "ldap", "token": token}
    reply = Client(door.url).send("POST", "/jwt_auth", body)
    return (reply.status_code, reply.json()) == (400, FAILED)


def test_people_of_a_directory(door: Listening, slapd: Slapd) -> None:
    dn = slapd.person("dora", "doras", mail="Dora@corp.example", cn="Dora Day")
    other = slapd.person("dirk", "dirks")
    mods = slapd.group("door mods", other)
    slapd.person("odd (*), #1/2", "odds")
    settings = {
        "security.ldap.server_url": slapd.ldap,
        "security.ldap.base_dn": BASE,
        "security.ldap.user_dn_pattern": "uid={0},ou=people",
        **GROUPS,
    }
    own = app(door, "directory", settings)
    dora = client(door, "app:directory")
    user = dora.signIn("ldap", "dora:doras")
    assert (user.identifier, user.email, user.name) == ("ldap:dora", "dora@corp.example", "Dora Day")
    assert (user.active, user.groups, user.identityProvider) == (True, "users", "ldap")
    assert dora.me().id == user.id
    assert own.read(None, "ldap:dora").creatorid == user.id

    slapd.modify(f"dn: {mods}\nchangetype: modify\nadd: member\nmember: {dn}\n")
    again = client(door, "app:directory").signIn("LDAP", "dora:doras")
    assert (again.id, again.groups) == (user.id, "mods")
    slapd.modify(f"dn: {mods}\nchangetype: modify\ndelete: member\nmember: {dn}\n")
    assert client(door, "app:directory").signIn("ldap", "dora:doras").groups == "users"

    odd = client(door, "app:directory").signIn("ldap", "odd (*), #1/2:odds")
    assert odd.identifier == "ldap:odd (*), #1/2"
    assert client(door, "app:directory").signIn("ldap", "odd (*), #1/2:odds").id == odd.id

    tokens = ("dora:wrong", "dora:", "dora", ":doras", "*:doras", "dora)(uid=*:doras", "dora\0:doras", "nobody:x", "")
    assert [token for token in tokens if token and not refused(door, "app:directory", token)] == []


def test_people_of_a_directory_that_the_configuration_names_are_not_those_of_apps(
    door: Listening, slapd: Slapd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    slapd.person("erin", "erins")
    configured = {"security.ldap.server_url": slapd.ldap, "security.ldap.base_dn": BASE}
    with listening(tmp_path_factory.mktemp("data"), objects.app, per_app=configured) as closed:
        app(closed, "child", {"security.ldap.user_dn_pattern": "uid={0},ou=people"})
        assert refused(closed, "app:child", "erin:erins")  # what the configuration says is root's
        app(closed, "inside", {**configured, "security.ldap.user_dn_pattern": "uid={0},ou=people"})
        assert refused(closed, "app:inside", "erin:erins")  # an app leads nobody to an inner address
    app(door, "inside", {**configured, "security.ldap.user_dn_pattern": "uid={0},ou=people"})
    assert not refused(door, "app:inside", "erin:erins")


def test_people_of_an_active_directory(door: Listening, samba: Samba) -> None:
    settings = {
        "security.ldap.server_url": samba.ldaps,
        "security.ldap.ca_certificate": samba.authority.pem,
        "security.ldap.active_directory_domain": DOMAIN,
        "security.ldap.mods_group_node": "cn=leavers",
    }
    app(door, "active", settings)
    user = client(door, "app:active").signIn("ldap", f"lea:{PASSWORD}")
    assert (user.email, user.groups) == ("lea@corp.example", "mods")
    samba.leave("Leavers", "lea")
    again = client(door, "app:active").signIn("ldap", f"lea@{DOMAIN}:{PASSWORD}")
    assert (again.id, again.groups) == (user.id, "users")  # by the address that the directory holds
    assert refused(door, "app:active", f"gone:{PASSWORD}")
    assert refused(door, "app:active", "lea:")
