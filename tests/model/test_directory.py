"""Names, filters and entries of directories: what is typed stays one value, whatever it holds (identity.md 8.5, 17)."""

import base64
import doctest

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ldap3.operation.search import parse_filter
from ldap3.utils.dn import parse_dn

from thingstead.model import directory as rules
from thingstead.model import pem as certificates
from thingstead.model.app_options import APP_OPTIONS
from thingstead.model.errors import InvalidInput
from thingstead.model.pem import pem
from thingstead.model.users import Picture

PNG = b"\x89PNG\r\n\x1a\n...."


def known(**options: object) -> rules.Directory:
    """A directory of these options, others at their defaults."""
    given = {f"security.ldap.{name}": value for name, value in options.items()}
    return rules.directory(lambda key: given.get(key, APP_OPTIONS[key][0]))  # pyright: ignore[reportArgumentType]


# --- no input escapes


@given(st.text(min_size=1))
@example('",+;<>\\=#')
@example(" a ")
@example("# ")
@example("x,dc=evil\0")
def test_a_value_stays_one_value_of_a_name(value: str) -> None:
    [dn] = rules.names_of(known(base_dn="dc=example,dc=org"), value)
    parts = parse_dn(dn, escape=False, strip=False)
    assert [(name, held) for name, held, _ in parts[1:]] == [("dc", "example"), ("dc", "org")]
    assert parts[0][0] == "uid"
    [first, *_] = rules.parts(dn)
    assert first == f"uid={value.casefold()}".strip() or first == f"uid={value.casefold().strip()}"


@given(st.text(min_size=1))
@example("*)(uid=*")
@example("\\2a")
@example("a\0b")
def test_a_value_stays_one_value_of_a_filter(value: str) -> None:
    asked = rules.asked_for(known(user_search_filter="(&(objectClass=person)(cn={0}))"), value)
    tree = parse_filter(asked.filter, None, False, False, None, False)
    both = tree.elements[0].elements
    assert [each.assertion["attr"] for each in both] == ["objectClass", "cn"]
    assert both[1].assertion["value"].decode() == rules.escape_filter(value)
    unescaped = bytes.fromhex("".join(_hex(rules.escape_filter(value)))).decode()
    assert unescaped == value


def _hex(escaped: str) -> list[str]:
    found, rest = [], escaped
    while rest:
        if rest[0] == "\\":
            found.append(rest[1:3])
            rest = rest[3:]
        else:
            found.append(rest[0].encode().hex())
            rest = rest[1:]
    return found


@given(st.text(), st.text())
def test_what_stands_for_one_place_is_not_read_for_another(first: str, second: str) -> None:
    name = "{1}" + first.replace("@", "") + "{0}"
    asked = rules.asked_for(known(active_directory_domain="a.b", user_search_filter="(|(x={0})(y={1}))"), name)
    escaped = rules.escape_filter(name)
    assert asked.filter == f"(|(x={escaped}@a.b)(y={escaped}))"
    del second


# --- what an app says


def test_defaults() -> None:
    plain = known()
    assert plain.server == rules.Server("localhost", 8389, tls=False)
    assert plain.patterns == ("uid={0},dc=springframework,dc=org",)
    assert rules.names_of(plain, "bob") == ["uid=bob,dc=springframework,dc=org"]
    assert rules.asked_for(plain, "bob") == rules.Asked("dc=springframework,dc=org", "(cn=bob)")
    assert not plain.compare
    assert not plain.active


def test_several_patterns_a_search_base_and_spaces_of_a_bind_name() -> None:
    asked = known(
        user_dn_pattern="uid={0},ou=people | cn={0}",
        base_dn="dc=x",
        user_search_base="ou=staff",
        bind_dn="cn=read%20only,dc=x",
        compare_passwords="yes",
    )
    assert rules.names_of(asked, "a,b") == ["uid=a\\,b,ou=people,dc=x", "cn=a\\,b,dc=x"]
    assert asked.search_base == "ou=staff,dc=x"
    assert asked.bind_dn == "cn=read only,dc=x"
    assert asked.compare


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("ldap://h", rules.Server("h", 389, False)),
        ("ldaps://h/dc=x", rules.Server("h", 636, True)),
        ("ldap://[::1]:1389/", rules.Server("::1", 1389, False)),
        ("LDAPS://H:7", rules.Server("h", 7, True)),
    ],
)
def test_urls(url: str, found: rules.Server) -> None:
    assert rules.server(url) == found


@pytest.mark.parametrize(
    "url", ["", "h", "http://h", "ldapi:///x", "ldap://", "ldap://h:x", "ldap://h:0", "ldap://a@h"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="server_url"):
        known(server_url=url)


def test_certificates_are_pem_or_base64() -> None:
    block = pem("TUlJQg==", "CERTIFICATE")
    assert known(ca_certificate=base64.b64encode(block.encode()).decode()).certificates == block
    assert known(ca_certificate=block).certificates.strip() == block.strip()
    with pytest.raises(InvalidInput, match="ca_certificate"):
        known(ca_certificate="!!")


@pytest.mark.parametrize(
    ("options", "name", "principal", "base", "asked"),
    [
        (
            {"active_directory_domain": "Corp.Example"},
            "ann@other.example",
            "ann@corp.example",
            "dc=corp,dc=example",
            "(&(objectClass=user)(userPrincipalName=ann@corp.example))",
        ),
        (
            {"active_directory_domain": "corp.example", "base_dn": "ou=x,dc=corp", "user_search_filter": "(sn={1})"},
            "ann",
            "ann@corp.example",
            "ou=x,dc=corp",
            "(sn=ann)",
        ),
        (
            {"ad_mode_enabled": "true"},
            "ann@corp.example",
            "ann@corp.example",
            "dc=corp,dc=example",
            "(&(objectClass=user)(userPrincipalName=ann@corp.example))",
        ),
        ({"active_directory_domain": "corp.example"}, "@x", "", "dc=corp,dc=example", None),
    ],
)
def test_active_directory(options: dict[str, str], name: str, principal: str, base: str, asked: str | None) -> None:
    there = known(**options)
    assert there.active
    assert rules.principal(there, name) == principal
    found = rules.asked_for(there, name)
    assert found.base == base
    assert asked is None or found.filter == asked


# --- name and password


@pytest.mark.parametrize(
    ("token", "found"),
    [
        ("bob:secret", ("bob", "secret")),
        ("bob:a:b:", ("bob", "a:b:")),
        (" bob :  ", ("bob", "  ")),
        ("bob", None),
        ("bob:", None),
        (":secret", None),
        ("  :secret", None),
        ("bo\0b:secret", None),
        ("bob:sec\0ret", None),
        ("bob:\0", None),
        ("b" * 257 + ":x", None),
        ("bob:" + "x" * 5001, None),
        ("b\ud800:x", None),
        ("bob:\ud800", None),
    ],
)
def test_tokens(token: str, found: tuple[str, str] | None) -> None:
    assert rules.credentials(token) == found


# --- what an entry says


def test_a_full_entry() -> None:
    entry = {"MAIL": [b"Ann@x.org"], "cn": [b"Ann", b"Annie"], "jpegPhoto": [b"<svg>", PNG]}
    found = rules.profile(known(), "ann", "uid=ann,dc=x", entry)
    assert (found.identifier, found.email, found.email_proven) == ("ldap:ann", "Ann@x.org", True)
    assert found.name == "Ann, Annie"
    assert found.avatar == Picture("png", PNG)
    assert found.groups is None


@pytest.mark.parametrize(
    ("options", "name", "entry", "email", "proven"),
    [
        ({}, "ann", {}, "ann@paraio.com", False),
        ({"active_directory_domain": "c.org"}, "ann", {}, "ann@c.org", False),
        ({}, "ann@x.org", {"uid": [b"Ann@X.org"]}, "ann@x.org", True),
        (
            {"active_directory_domain": "c.org"},
            "ann@evil.org",
            {"userPrincipalName": [b"ann@c.org"]},
            "ann@evil.org",
            False,
        ),
        ({}, "ann", {"mail": [b"no address"]}, "ann@paraio.com", False),
        ({}, "ann", {"mail": [b"", b"a@x.org"]}, "a@x.org", True),
    ],
)
def test_addresses(options: dict[str, str], name: str, entry: rules.Attributes, email: str, proven: bool) -> None:
    found = rules.profile(known(**options), name, "uid=x", entry)
    assert (found.email, found.email_proven) == (email, proven)


def test_names_of_people() -> None:
    entry = {"mail": [b"ann.b@x.org"], "displayName": [b"Ann B"], "cn": [b"x"]}
    assert rules.profile(known(displayname_attribute="displayname"), "a", "", entry).name == "Ann B"
    assert rules.profile(known(username_as_name=True), "a", "", entry).name == "ann.b"
    assert rules.profile(known(), "a", "", {}).name == ""


@pytest.mark.parametrize(
    ("dn", "member_of", "group"),
    [
        ("uid=a,ou=people", [], "users"),
        ("uid=a,CN=ADMINS,dc=x", [], "admins"),
        ("uid=a", ["cn=mods,ou=groups"], "mods"),
        ("uid=a", ["cn=mods,ou=groups", "cn=Admins , ou=groups"], "admins"),
        ("uid=a", ["cn=admins-of-coffee,ou=groups"], "users"),
        ("cn=a\\,cn=admins,ou=people", [], "users"),
        ("cn=a\\2ccn=admins,ou=people", [], "users"),
        ("cn=x cn=admins,ou=people", [], "users"),
    ],
)
def test_groups(dn: str, member_of: list[str], group: str) -> None:
    mapped = known(admins_group_node="cn=admins", mods_group_node="cn=Mods,ou=groups")
    assert rules.groups(mapped, dn, member_of) == group


def test_a_node_without_a_name_is_a_value() -> None:
    assert rules.groups(known(admins_group_node="Admins"), "uid=a", ["cn=admins,ou=g"]) == "admins"
    assert rules.groups(known(admins_group_node="Admins"), "uid=a", ["cn=admins2,ou=g"]) == "users"


@given(st.text(), st.text())
def test_nobody_names_themselves_into_a_group(name: str, node: str) -> None:
    mapped = known(admins_group_node="cn=admins,ou=groups")
    assert rules.groups(mapped, f"uid={rules.escape_name(name)},ou=people", []) == "users"
    del node


def test_the_examples_in_the_documentation() -> None:
    for module in (rules, certificates):
        result = doctest.testmod(module)
        assert result.attempted
        assert result.failed == 0
