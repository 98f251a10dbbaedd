"""Rules of users, passwords and their tokens (identity.md 6.1, 6.5, 7, 8.8): tables, the worked examples to the byte,
and what must hold for any text."""

from typing import Any

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model import passwords, tokens, users
from thingstead.model.errors import InvalidToken
from thingstead.model.objects import Object
from thingstead.model.values import dump

SECRET = "U3VTNifLPqnZ1W2S3pVVuKG4HOVbimMocdDMl8T69BB001AXGZtwZw=="
TOKEN_SECRET = "b2Ygc2l4dGVlbiBieXRlcyB0aW1lcyB0d28gPSAzMiE="
ISSUED = 1_768_473_000  # 2026-01-15T10:30:00Z
HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
USER_TOKEN = (
    HEADER + ".eyJzdWIiOiI1ODc0MDgyMDU4MDY1NzE1MjAiLCJhcHBpZCI6ImFwcDpteWFwcCIsImlkcCI6ImdlbmVyaWMiLCJyZWZyZXNoIjoxNzY4"
    "NDc2NjAwMDAwLCJuYmYiOjE3Njg0NzMwMDAsImV4cCI6MTc2ODU1OTQwMCwiaWF0IjoxNzY4NDczMDAwfQ"
    ".KAlbc5f-DXCCCdeuXvS-PZbmgQFMPqIS4CymNtDI2so"
)
SUPER_TOKEN = (
    HEADER + ".eyJhcHBpZCI6ImFwcDpteWFwcCIsIm5iZiI6MTc2ODQ3MzAwMCwiZXhwIjoxNzY5MDc3ODAwLCJpYXQiOjE3Njg0NzMwMDB9"
    ".9xBTX2N7IFHD6RCunUtPImCnxQeJSsx_3M52SU34lVQ"
)


def test_the_worked_examples_are_reproduced_to_the_byte() -> None:
    life = tokens.life(ISSUED * 1_000_000, validity=86_400, interval=3_600)
    claims = tokens.user_claims("587408205806571520", "app:myapp", "generic", life)
    assert list(claims) == ["sub", "appid", "idp", "refresh", "nbf", "exp", "iat"]
    assert tokens.issue(claims, SECRET + TOKEN_SECRET) == USER_TOKEN
    assert tokens.verify(USER_TOKEN, SECRET + TOKEN_SECRET).sub == "587408205806571520"
    claims = tokens.super_claims("app:myapp", now=ISSUED, expires=ISSUED + 604_800)
    assert tokens.issue(claims, SECRET) == SUPER_TOKEN


def test_an_id_token_says_who_has_signed_in() -> None:
    about: Any = {
        "name": "Jane",
        "email": "j@x.example",
        "identifier": "gh:1",
        "picture": users.id_picture("", "j@x.example"),
    }
    claims = tokens.id_claims("1", "app:myapp", about, now=ISSUED, expires=ISSUED + 60)
    names = ["sub", "appid", "name", "email", "identifier", "picture", "iat", "nbf", "exp"]
    assert list(claims) == names
    person = tokens.verify_person(tokens.issue(claims, SECRET + TOKEN_SECRET), SECRET + TOKEN_SECRET)
    assert (person.identifier, person.email, person.exp) == ("gh:1", "j@x.example", ISSUED + 60)
    assert str(person.picture).startswith("https://gravatar.com/avatar/")
    assert str(person.picture).endswith("?size=400&d=retro&r=pg")


@given(st.text(min_size=32, max_size=80), st.text(max_size=80), st.integers(0, 2**40))
def test_what_is_issued_verifies_with_its_key_only(key: str, other: str, now: int) -> None:
    claims = tokens.super_claims("app:x", now=now, expires=now + 1)
    key, other = key.encode(errors="replace").decode(), other.encode(errors="replace").decode()
    token = tokens.issue(claims, key)
    assert tokens.verify(token, key).exp == now + 1
    if other != key:
        with pytest.raises(InvalidToken):
            tokens.verify(token, other)


def test_a_short_key_signs_nothing() -> None:
    with pytest.raises(InvalidToken):
        tokens.issue({"appid": "app:x", "exp": 1}, "k" * 31)


@pytest.mark.parametrize(
    ("setting", "field", "expected"),
    [
        (None, 0, 86_400),
        (None, None, 86_400),
        (None, 60, 60),
        (None, -60, 86_400),
        (120, 60, 120),
        (-120, 60, 120),
        ("120", 60, 120),
        (0, 60, 60),
        ("soon", 60, 60),
        (True, 60, 60),
        (float("inf"), 60, 60),
        (0.2, 60, 1),
        (1e300, 60, tokens.MOST_VALIDITY),
    ],
)
def test_how_long_a_token_lives(setting: Any, field: Any, expected: int) -> None:
    assert tokens.validity(setting, field, 86_400) == expected


@given(st.integers(1, tokens.MOST_VALIDITY), st.integers(1, 10**6), st.integers(0, 2**51))
def test_a_token_is_refreshed_before_it_expires(validity: int, interval: int, now_us: int) -> None:
    life = tokens.life(now_us, validity=validity, interval=interval)
    assert life.now * 1000 < life.refresh < life.expires * 1000
    assert life.expires - life.now == validity
    wanted = interval * 1000 if validity >= 2 * interval else validity * 500
    assert life.refresh - life.now * 1000 == wanted


@pytest.mark.parametrize(
    ("identifier", "provider"),
    [
        *((f"{prefix}:1", name) for prefix, name in users.PREFIXES.items()),
        ("jane@example.com", "generic"),
        ("oa2second:1", "oauth2"),
        ("fb:", "unknown"),
        ("FB:1", "unknown"),
        ("xx:1", "unknown"),
        ("jane", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_identifier_names_its_provider(identifier: str, provider: str) -> None:
    assert users.provider_of(identifier) == provider


def test_the_prefixes_are_those_of_the_table() -> None:
    assert list(users.PREFIXES) == [
        *("fb", "gp", "in", "tw", "gh", "ms", "sl", "mm", "az", "ldap", "saml", "oa2", "oa2second", "oa2third"),
        "custom",
    ]


@given(st.text(max_size=60))
def test_identifiers_and_names_are_normal_once(text: str) -> None:
    normal = users.normal_identifier(text)
    assert users.normal_identifier(normal) == normal
    name = users.clean_name(text)
    assert users.clean_name(name) == name == name.strip()
    assert "  " not in name
    assert users.currency(text) in users.CURRENCIES


@pytest.mark.parametrize(
    ("given_name", "cleaned"),
    [
        ("Jane Doe", "Jane Doe"),
        ("  Anne-Marie\tO'Neil,\n Jr. ", "Anne-Marie O'Neil, Jr."),
        ("<script>alert(1)</script>", "scriptalert1script"),
        ("J\u00fcrgen \u674e \U0001f600", "J\u00fcrgen \u674e"),
        ("a\x00b", "ab"),
        ("***", ""),
    ],
)
def test_names_lose_symbols(given_name: str, cleaned: str) -> None:
    assert users.clean_name(given_name) == cleaned


def test_groups_are_roles_that_include_those_below() -> None:
    assert users.roles("admins") == {"admin", "mod", "user"}
    assert users.roles("mods") == {"mod", "user"}
    for other in ("users", "editors", "", None, 7):
        assert users.roles(other) == {"user"}


def test_pictures_are_gravatars_by_default() -> None:
    md5 = "0bc83cb571cd1c50ba6f3e8a78ef1346"
    assert users.default_picture(" Jane@X.example") == users.default_picture("jane@x.example")
    assert users.default_picture("") == "https://www.gravatar.com/avatar?d=mm&size=400"
    assert users.default_picture("myemailaddress@example.com ") == (
        f"https://www.gravatar.com/avatar/{md5}?size=400&d=mm&r=pg"
    )
    assert users.id_picture("http://x/y", "") == "http://x/y"


def test_what_only_apps_may_know_is_not_searchable() -> None:
    hidden = {"password": "h", "token": "t", "etoken": "e", "lockedUntil": 1}
    held = Object("a@b.cd", "sysprop", "x", 1, "identifier", custom={**hidden, "kept": 1})
    assert held.searchable()["properties"] == {"kept": 1}
    other = Object("1", "sysprop", "x", 1, "other", custom={**hidden})
    assert other.searchable()["properties"] == hidden
    user = Object("1", "user", "x", 1, "Jane", own={"email": "a@b.cd", "twoFAkey": "k", "idpAccessToken": "t"})
    assert user.searchable()["email"] == "a@b.cd"
    assert not {"twoFAkey", "idpAccessToken"} & user.searchable().keys()


# --- passwords


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("TEST4@user.COM::secret", ("test4@user.com", "", "secret")),
        ("a@b.cd:Jane Doe:se:cr:et", ("a@b.cd", "Jane Doe", "se:cr:et")),
        ("a@b.cd:Jane", None),
        ("a@b.cd", None),
        (":x:secret", None),
        ("a@b.cd::  ", None),
        ("", None),
    ],
)
def test_the_token_of_the_provider_password(token: str, expected: Any) -> None:
    assert passwords.parse_token(token) == expected


@given(st.text(max_size=200))
def test_bcrypt_takes_every_password(password: str) -> None:
    text = passwords.hashed_text(password)
    assert len(text) <= 72
    assert text == passwords.hashed_text(password)


def test_long_passwords_differ_in_their_ends() -> None:
    low = bcrypt.gensalt(4)
    long = "x" * 100
    hash = bcrypt.hashpw(passwords.hashed_text(long + "a"), low)
    assert bcrypt.checkpw(passwords.hashed_text(long + "a"), hash)
    assert not bcrypt.checkpw(passwords.hashed_text(long + "b"), hash)
    assert passwords.hashed_text("y" * 72) == b"y" * 72


@pytest.mark.parametrize(
    ("hash", "cost"),
    [
        ("$2b$12$" + "a" * 53, 12),
        ("$2y$04$" + "a" * 53, 4),
        ("$2b$31$" + "a" * 53, 0),
        ("$2b$12$" + "a" * 52, 0),
        ("", 0),
    ],
)
def test_which_hashes_are_checked(hash: str, cost: int) -> None:
    assert passwords.cost_of(hash) == cost


def test_a_hash_of_nobodys_password_is_a_hash() -> None:
    hash = passwords.unknown_hash(bytes(range(passwords.UNKNOWN_BYTES)))
    assert passwords.cost_of(hash) == passwords.COST
    assert not bcrypt.checkpw(b"", hash.encode())


@given(st.integers(1, 30), st.integers(0, 60))
def test_a_lock_comes_with_the_last_failure_and_begins_anew(most: int, tries: int) -> None:
    failures, until, locks = 0, None, 0
    for n in range(tries):
        failures, until = passwords.failed_once_more(failures, n, most=most, hours=1)
        assert (until is None) == (failures > 0)
        locks += until is not None
        assert until in (None, n + 3_600_000)
    assert locks == tries // most


@given(st.binary(min_size=42, max_size=42), st.integers(1, 10**13), st.text(max_size=60))
def test_a_one_time_token_holds_until_it_expires(random: bytes, expires: int, other: str) -> None:
    token = passwords.one_time(random)
    stored = passwords.kept(token, expires)
    assert token not in stored
    assert passwords.holds(stored, token, expires - 1)
    assert not passwords.holds(stored, token, expires)
    if other != token:
        assert not passwords.holds(stored, other, 0)
        assert not passwords.holds(other, token, 0)
    assert dump(stored)
