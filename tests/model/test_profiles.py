"""Promise: what providers document about a person becomes the profile that identity.md 8.2-8.4 says, and any other JSON
becomes a profile or nobody, never an error; no address counts as proven that the provider does not vouch for.
"""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.providers import DOCUMENTED, LINKEDIN_ME, TENANT, jwt
from thingstead.model import profiles
from thingstead.model.ids import MAX_ID
from thingstead.model.oauth import SOCIAL
from thingstead.model.oauth_generic import ALIASES, Generic, claims_hold, generic, parts, pointed, profile
from thingstead.model.pictures import MOST, picture
from thingstead.model.profiles import Asked, Reader
from thingstead.model.users import PREFIXES, Profile
from thingstead.model.values import Json

ASKED = Asked("token")
ME: dict[str, Any] = {path: DOCUMENTED[path] for path in DOCUMENTED}
NAVAL = base64.b64encode(b"Captain Fabian's Naval Supply").decode()

SAID: list[tuple[Reader, dict[str, Any], Profile]] = [
    (
        profiles.facebook,
        {"me": ME["graph.facebook.com/me"]},
        Profile(
            identifier="fb:10224930292",
            email="jane@example.com",
            domain="facebook.com",
            name="Jane Doe",
            picture="https://graph.facebook.com/10224930292/picture?width=700&height=700&type=square",
        ),
    ),
    (
        profiles.google,
        {"me": ME["www.googleapis.com/oauth2/v3/userinfo"]},
        Profile(
            identifier="gp:110169484474386276334",
            email="jane@example.com",
            email_proven=True,
            domain="google.com",
            name="Jane Doe",
            picture="https://lh3.googleusercontent.com/a/photo=s96-c?sz=50",
        ),
    ),
    (
        profiles.github,
        {"me": ME["api.github.com/user"], "emails": ME["api.github.com/user/emails"]},
        Profile(
            identifier="gh:583231",
            email="octocat@github.example",
            email_proven=True,
            domain="github.com",
            fallback="583231@github.com",
            name="monalisa octocat",
            picture="https://avatars.githubusercontent.com/u/583231?v=4",
        ),
    ),
    (
        profiles.linkedin,
        {"me": LINKEDIN_ME, "email": ME["api.linkedin.com/v2/emailAddress"]},
        Profile(
            identifier="in:yrZCpj2Z12",
            email="bob@example.com",
            email_proven=True,
            domain="linkedin.com",
            name="Bob Smith",
            picture="https://media.licdn.com/dms/image/C4/profile-400_400/0?e=1&v=beta",
        ),
    ),
    (
        profiles.linkedin,
        {"userinfo": ME["api.linkedin.com/v2/userinfo"]},
        Profile(
            identifier="in:782bbtaQ",
            email="doe@example.com",
            email_proven=True,
            domain="linkedin.com",
            name="John Doe",
            picture="https://media.licdn-ei.com/dms/image/C5F03AQHqK8v7tB1HCQ/profile-displayphoto-shrink_100_100/0/",
        ),
    ),
    (
        profiles.microsoft,
        {"me": ME["graph.microsoft.com/v1.0/me"]},
        Profile(
            identifier="ms:87d349ed-44d7-43e1-9a83-5f2406dee5bd",
            email="AdeleV@contoso.example",
            domain="windowslive.com",
            name="Adele Vance",
        ),
    ),
    (
        profiles.slack,
        {"me": ME["slack.com/api/users.identity"]},
        Profile(
            identifier="sl:U0G9QF9C6:T0G9PQBBK",
            also=("sl:U0G9QF9C6", f"sl:U0G9QF9C6:T0G9PQBBK:{NAVAL}"),
            email="bobby@example.com",
            email_proven=True,
            domain="slack.com",
            name="Sonny Whether",
            picture="https://cdn.example.com/sonny_512.jpg",
        ),
    ),
    (
        profiles.amazon,
        {"me": ME["api.amazon.com/user/profile"]},
        Profile(
            identifier="az:amzn1.account.K2LI23KL2LK2",
            email="mhashimoto-04@plaxo.example",
            email_proven=True,
            domain="amazon.com",
            name="Mork Hashimoto",
        ),
    ),
]


@pytest.mark.parametrize(("read", "answers", "expected"), SAID)
def test_documented_answers(read: Reader, answers: dict[str, Any], expected: Profile) -> None:
    assert read(answers, ASKED) == expected


def test_twitters_documented_answer() -> None:
    assert profiles.twitter(DOCUMENTED["api.twitter.com/1.1/account/verify_credentials.json"]) == Profile(
        identifier="tw:38895958",
        email="sean@example.com",
        domain="twitter.com",
        name="Sean Cook",
        picture="https://si0.twimg.com/profile_images/1751506047/dead_sexy.JPG",
    )
    assert profiles.twitter({"id_str": "1", "screen_name": "sean"}) == Profile(
        identifier="tw:1", domain="twitter.com", name="sean"
    )


NOBODY: list[tuple[Reader, Any]] = [
    (profiles.facebook, {}),
    (profiles.facebook, {"id": ""}),
    (profiles.facebook, {"id": "../me"}),
    (profiles.facebook, {"id": {"a": 1}}),
    (profiles.facebook, None),
    (profiles.google, {"sub": None}),
    (profiles.google, {"sub": True}),
    (profiles.google, {"sub": "1\x00"}),
    (profiles.google, {"sub": " 1"}),
    (profiles.google, {"sub": "a\\b"}),
    (profiles.google, {"sub": "9" * 600}),
    (profiles.google, [{"sub": "1"}]),
    (profiles.github, {"id": "octocat"}),
    (profiles.github, {"login": "octocat"}),
    (profiles.linkedin, {"sub": "x"}),
    (profiles.microsoft, {"userPrincipalName": "a@b.example"}),
    (profiles.slack, {"ok": True, "user": {"id": "U1"}}),
    (profiles.slack, {"ok": True, "user": {"id": "U1:T2"}, "team": {"id": "T1"}}),
    (profiles.slack, {"ok": False, "user": {"id": "U1"}, "team": {"id": "T1"}}),
    (profiles.slack, {"ok": False, "error": "invalid_auth"}),
    (profiles.amazon, {"user_id": 1.5}),
]


@pytest.mark.parametrize(("read", "me"), NOBODY)
def test_an_answer_that_names_nobody_is_nobodys(read: Reader, me: Any) -> None:
    assert read({"me": me}, ASKED) is None
    assert read({}, ASKED) is None


EMAILS: list[tuple[Any, str, bool]] = [
    ([{"email": "a@example.com", "primary": True, "verified": True}], "a@example.com", True),
    ([{"email": "a@example.com", "primary": True, "verified": False}], "a@example.com", False),
    ([{"email": "a@example.com", "verified": True}, {"email": "b@example.com"}], "b@example.com", False),
    ([{"email": "a@example.com"}, {"email": "b@example.com", "verified": True}], "b@example.com", True),
    ([{"email": "nobody", "primary": True, "verified": True}], "", False),
    ([1, None, "x"], "", False),
    ([], "", False),
    ({"message": "x"}, "", False),
    (None, "", False),
]


@pytest.mark.parametrize(("entries", "address", "proven"), EMAILS)
def test_githubs_addresses(entries: Any, address: str, proven: bool) -> None:
    found = profiles.github({"me": {"id": 1, "email": ""}, "emails": entries}, ASKED)
    assert found is not None
    assert (found.email, found.email_proven, found.fallback) == (address, proven, "1@github.com")


def test_a_public_address_of_github_proves_nothing() -> None:
    found = profiles.github({"me": {"id": 1, "email": "a@example.com"}}, ASKED)
    assert found is not None
    assert (found.email, found.email_proven) == ("a@example.com", False)


@pytest.mark.parametrize(
    ("said", "proven"), [(True, True), ("true", True), (False, False), ("false", False), (None, False), (1, False)]
)
def test_google_vouches_or_not(said: Any, proven: bool) -> None:
    found = profiles.google({"me": {"sub": "1", "email": "a@example.com", "email_verified": said}}, ASKED)
    assert found is not None
    assert found.email_proven is proven


TENANTS: list[tuple[Asked, bool]] = [
    (Asked("opaque", "common", exchanged=True), False),
    (Asked("opaque", "Organizations", exchanged=True), False),
    (Asked("opaque", TENANT, exchanged=True), True),
    (Asked("opaque", "contoso.onmicrosoft.com", exchanged=True), True),
    (Asked("opaque", TENANT), False),
    (Asked(jwt(tid=TENANT), TENANT.upper()), True),
    (Asked(jwt(tid="another"), TENANT), False),
    (Asked(jwt(tid=TENANT), "common"), False),
    (Asked(jwt(tid="common"), "common"), False),
    (Asked(jwt(tid=""), ""), False),
]


@pytest.mark.parametrize(("asked", "proven"), TENANTS)
def test_microsoft_vouches_only_for_the_tenant_that_the_app_names(asked: Asked, proven: bool) -> None:
    found = profiles.microsoft({"me": DOCUMENTED["graph.microsoft.com/v1.0/me"]}, asked)
    assert found is not None
    assert found.email_proven is proven


def test_microsofts_user_name_serves_where_there_is_no_mail() -> None:
    for mail in (None, "", "AdeleV"):
        found = profiles.microsoft({"me": {"id": "1", "mail": mail, "userPrincipalName": "a@example.com"}}, ASKED)
        assert found is not None
        assert found.email == "a@example.com"


@pytest.mark.parametrize(
    ("elements", "url"),
    [
        ([{"identifiers": [{"identifier": "https://x/100"}, {"identifier": "https://x/800"}]}], "https://x/800"),
        ([{"identifiers": [{"identifier": "javascript:400_400"}]}], ""),
        ([{"identifiers": 5}, 7, {"identifiers": [None, {"identifier": "https://x/1"}]}], "https://x/1"),
        ({}, ""),
    ],
)
def test_linkedins_pictures(elements: Any, url: str) -> None:
    me = {"id": "a", "profilePicture": {"displayImage~": {"elements": elements}}}
    found = profiles.linkedin({"me": me}, ASKED)
    assert found is not None
    assert found.picture == url


HOSTILE = "</script><img src=x onerror=1>\r\nSet-Cookie: a=b\x00\u202e{{x}}"


@pytest.mark.parametrize("read", [known.read for known in SOCIAL])
def test_hostile_text_stays_text(read: Reader) -> None:
    ids = {"id": "1", "sub": "1", "user_id": "1", "user": {"id": "U1", "name": HOSTILE}, "team": {"id": "T1"}}
    me = {**ids, "name": HOSTILE, "email": HOSTILE, "picture": HOSTILE, "displayName": HOSTILE, "avatar_url": HOSTILE}
    found = read({"me": {**me, "mail": HOSTILE}}, ASKED)
    assert found is not None
    assert not {"\r", "\n", "\x00", "\u202e"} & set(found.name)
    assert (found.email, found.email_proven) == ("", False)
    assert "onerror" not in found.picture


NAMES = (
    "id sub user_id user team name email email_verified mail userPrincipalName displayName picture avatar_url ok",
    "firstName lastName localized profilePicture displayImage~ elements identifiers identifier handle~ emailAddress",
    "primary verified image_512 id_str screen_name profile_image_url_https given_name family_name data app_id aud",
)
KEYS = st.sampled_from(" ".join(NAMES).split())
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(), inner, max_size=6),
    max_leaves=20,
)


def check(found: Profile | None) -> None:
    """A profile keeps to what `Profile` says of its members."""
    if found is None:
        return
    for identifier in (found.identifier, *found.also):
        prefix, colon, rest = identifier.partition(":")
        assert prefix in PREFIXES
        assert colon
        assert rest
        assert "\x00" not in identifier
        assert "\\" not in identifier
    assert len(found.identifier) <= MAX_ID
    assert not found.email_proven or found.email
    assert found.picture == "" or found.picture.startswith(("http://", "https://", "HTTP", "Http"))
    assert not any(ord(char) < 32 for char in found.name + found.email + found.picture)


@given(st.dictionaries(st.sampled_from(["me", "emails", "email", "userinfo", "audience"]), JSON), st.text())
def test_any_json_is_a_profile_or_nobody(answers: dict[str, Any], token: str) -> None:
    for known in SOCIAL:
        check(known.read(answers, Asked(token, token)))
        if known.audience is not None:
            assert isinstance(known.audience.read(answers.get("audience"), token), str)
    check(profiles.twitter(answers.get("me")))


@given(st.dictionaries(KEYS, st.text() | st.integers()))
def test_any_flat_answer_is_a_profile_or_nobody(me: dict[str, Any]) -> None:
    for known in SOCIAL:
        check(known.read({"me": me}, ASKED))
    check(profile(configured(), me, {}))


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_token_endpoints_answer_or_none(body: bytes) -> None:
    found = profiles.token_answer(body)
    assert found is None or isinstance(found, dict)
    assert isinstance(profiles.claims_of(body.decode(errors="replace")), dict)


ANSWERS: list[tuple[bytes, Any]] = [
    (b'{"access_token":"a"}', {"access_token": "a"}),
    (b"access_token=a%20b&expires=5", {"access_token": "a b", "expires": "5"}),
    (b"[]", None),
    (b"<html>", None),
    (b"", {}),
    (b"\xff", None),
]


@pytest.mark.parametrize(("body", "expected"), ANSWERS)
def test_answers_of_token_endpoints(body: bytes, expected: Any) -> None:
    assert profiles.token_answer(body) == expected


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "a\x00", "ü", "x" * 16_385])
def test_what_no_header_may_hold_is_no_token(token: str) -> None:
    assert not profiles.usable_token(token)


# --- providers that apps configure


def configured(alias: str = "", **options: Any) -> Generic:
    """A provider with these options; the others are as the table of settings has them."""
    from thingstead.model.app_options import APP_OPTIONS

    prefix = f"security.oauth{alias}."
    given = {prefix + name.replace("__", "."): value for name, value in options.items()}
    assert set(given) <= set(APP_OPTIONS)
    return generic(alias, lambda name: given.get(name, APP_OPTIONS[name][0]))


GENERIC: list[tuple[dict[str, Any], Any, Profile | None]] = [
    ({}, {}, None),
    ({}, {"sub": ""}, None),
    ({}, {"id": "1"}, None),
    ({}, {"sub": 1}, Profile(identifier="oa2:1", fallback="1@paraio.com")),
    ({}, {"sub": "a@b.example"}, Profile(identifier="oa2:a@b.example", fallback="a@b.example")),
    (
        {"domain": "corp.example"},
        {"sub": "x"},
        Profile(identifier="oa2:x", domain="corp.example", fallback="x@corp.example"),
    ),
    ({}, {"sub": "x|y z"}, Profile(identifier="oa2:x|y z")),
    ({}, {"sub": "1", "name": "N", "given_name": "G"}, Profile(identifier="oa2:1", fallback="1@paraio.com", name="N")),
    (
        {},
        {"sub": "1", "given_name": "G", "family_name": "F"},
        Profile(identifier="oa2:1", fallback="1@paraio.com", name="G F"),
    ),
    ({}, {"sub": "1", "family_name": "F"}, Profile(identifier="oa2:1", fallback="1@paraio.com", name="F")),
    (
        {},
        {"sub": "1", "email": "a@b.example", "email_verified": True},
        Profile(identifier="oa2:1", fallback="1@paraio.com", email="a@b.example", email_proven=True),
    ),
    (
        {},
        {"sub": "1", "email": "a@b.example"},
        Profile(identifier="oa2:1", fallback="1@paraio.com", email="a@b.example"),
    ),
    (
        {"parameters__id": "uid", "parameters__email": "/mails/1/value", "parameters__picture": "/a~1b/~0"},
        {"uid": "7", "mails": [{}, {"value": "a@b.example"}], "a/b": {"~": "https://x/y"}},
        Profile(identifier="oa2:7", fallback="7@paraio.com", email="a@b.example", picture="https://x/y"),
    ),
    ({"parameters__id": "/a/b"}, {"a": {"b": "7"}}, None),
    ({"parameters__id": "/a/b"}, {"/a/b": "7"}, Profile(identifier="oa2:7", fallback="7@paraio.com")),
    (
        {"parameters__given_name": "/n/first", "parameters__family_name": "/n/last"},
        {"sub": "1", "n": {"first": "G", "last": "F"}},
        Profile(identifier="oa2:1", fallback="1@paraio.com", name="G F"),
    ),
    ({}, {"sub": "1", "picture": "data:text/html,x"}, Profile(identifier="oa2:1", fallback="1@paraio.com")),
]


@pytest.mark.parametrize(("options", "answer", "expected"), GENERIC)
def test_a_configured_provider(options: dict[str, Any], answer: Any, expected: Profile | None) -> None:
    assert profile(configured(**options), answer, {}) == expected


@pytest.mark.parametrize("alias", ALIASES)
def test_each_of_the_three_has_identifiers_and_options_of_its_own(alias: str) -> None:
    known = configured(alias, profile_url="https://idp.example/me", scope="a b", accept_header="application/json")
    found = profile(known, {"sub": "1"}, {})
    assert found is not None
    assert found.identifier == f"oa2{alias}:1"
    assert known.form({"code": "x"}) == {"code": "x", "scope": "a b"}
    assert known.headers("t") == {"Accept": "application/json", "Authorization": "Bearer t"}
    quiet = configured(alias, scope="a b", send_scope_to_token_endpoint=False)
    assert quiet.form({"code": "x"}) == {"code": "x"}
    assert quiet.headers() == {}


def test_verified_claims_fill_in_what_the_profile_lacks() -> None:
    claims: dict[str, Any] = {"sub": "1", "email": "c@example.com", "email_verified": True, "name": "Claimed"}
    found = profile(configured(), {"sub": "1", "name": "Said"}, claims)
    assert found is not None
    assert (found.name, found.email, found.email_proven) == ("Said", "c@example.com", True)
    unproven = profile(configured(), {"sub": "1", "email": "said@example.com"}, claims)
    assert unproven is not None
    assert (unproven.email, unproven.email_proven) == ("said@example.com", False)


def test_claims_about_somebody_else_make_nobody() -> None:
    assert profile(configured(), {"sub": "1"}, {"sub": "2"}) is None
    assert profile(configured(parameters__id="id"), {"id": "7", "sub": "1"}, {"sub": "2"}) is None
    assert profile(configured(parameters__id="id"), {"id": "7"}, {"sub": "2"}) is not None


@given(JSON, st.text().map("/".__add__))
def test_any_pointer_into_any_value(value: Json, path: str) -> None:
    assert pointed({"a": value}, path) is None or path.startswith("/a")


@pytest.mark.parametrize("path", ["/l/-", "/l/01x", "/l/3", "/l/99999999999999999999", "/l/0/x", "/o/0", "/"])
def test_a_pointer_to_nothing(path: str) -> None:
    assert pointed({"l": [1, 2, 3], "o": {}}, path) is None


@pytest.mark.parametrize(
    ("token", "expected"),
    [("a", ("a", "")), ("a:b", ("a", "b")), ("a:b:c", ("a", "b")), ("a::c", ("a", "")), (":b", ("", "b"))],
)
def test_the_text_of_a_token(token: str, expected: tuple[str, str]) -> None:
    assert parts(token) == expected


GOOD: dict[str, Any] = {"iss": "https://idp.example", "aud": "me", "sub": "1", "exp": 1000, "iat": 900}
CLAIMS: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"aud": ["me"]}, True),
    ({"aud": ["me", "other"], "azp": "me"}, True),
    ({"aud": ["me", "other"]}, False),
    ({"aud": ["me", "other"], "azp": "other"}, False),
    ({"azp": "other"}, False),
    ({"aud": "other"}, False),
    ({"aud": None}, False),
    ({"iss": "https://idp.example/"}, False),
    ({"iss": None}, False),
    ({"exp": 870}, True),
    ({"exp": 840}, False),
    ({"exp": "1000"}, False),
    ({"exp": None}, False),
    ({"iat": 950}, True),
    ({"iat": 1000}, False),
    ({"sub": ""}, False),
    ({"sub": None}, False),
    ({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}, True),
    ({"at_hash": "77QmUPtjPfzWtF2AnpK9RX"}, False),
]


@pytest.mark.parametrize(("change", "holds"), CLAIMS)
def test_claims_are_meant_for_us_and_for_now(change: dict[str, Any], holds: bool) -> None:
    """The token and its `at_hash` are those of OpenID Connect Core's example A.3."""
    access = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
    found = claims_hold({**GOOD, **change}, issuer="https://idp.example", client="me", access=access, now=900)
    assert found is holds


# --- pictures


@pytest.mark.parametrize(
    ("data", "subtype"),
    [
        (b"\x89PNG\r\n\x1a\n...", "png"),
        (b"\xff\xd8\xff\xe0...", "jpeg"),
        (b"GIF89a...", "gif"),
        (b"RIFF\x00\n\x00\x00WEBPVP8 ", "webp"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"<html>\x89PNG\r\n\x1a\n", None),
        (b"", None),
        (b"GIF89a" + b"\0" * MOST, None),
    ],
)
def test_a_picture_is_told_by_its_first_bytes(data: bytes, subtype: str | None) -> None:
    found = picture(data)
    assert (found and found.subtype) == subtype


def test_every_address_of_the_table_is_https_and_names_a_host_of_its_own() -> None:
    for known in SOCIAL:
        asks = [*known.asks, *(ask.instead for ask in known.asks if ask.instead)]
        if known.audience and known.audience.ask:
            asks.append(known.audience.ask)
        for url in (known.token.url, *(ask.url for ask in asks)):
            assert url.startswith("https://")
            assert "{token}" not in url
        assert PREFIXES[known.prefix] == known.name
