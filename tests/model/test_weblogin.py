"""Promise: a sign-in leads where the app says, else where the visitor wanted to go, and never off the allowed hosts,
whatever is sent; nothing that is sent can break a header (identity.md 9, 17).
"""

import doctest
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thingstead.model import authorize, cookies, csrf, weblogin

ALIASES = ["https://a.example", "http://b.example:8080"]
KEY = b"k" * 32

texts = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="/\\.:@?#%&= \t\r\n0aehtpsvil", max_size=40),
    st.builds(
        "".join,
        st.lists(
            st.sampled_from(
                [
                    "https:",
                    "http:",
                    "//",
                    "/",
                    "\\",
                    "a.example",
                    "evil.example",
                    "b.example:8080",
                    "@",
                    ":80",
                    "?",
                    "#",
                    "%2f",
                ]
            ),
            max_size=8,
        ),
    ),
)


def browser_host(url: str, here: str = "https://here.example/password_auth") -> str:
    """Where a browser would go: as the URL standard reads a `Location`, which is laxer than any RFC."""
    text = "".join(c for c in url if c not in "\t\r\n").strip("".join(map(chr, range(33)))).replace("\\", "/")
    for scheme in ("http:", "https:"):
        if text.lower().startswith(scheme):
            rest = text[len(scheme) :]
            if scheme == "https:" and not rest.startswith("/"):
                return urlsplit(here).netloc  # same scheme without slashes: relative
            authority = rest.lstrip("/").partition("/")[0].partition("?")[0].partition("#")[0]
            return authority.rpartition("@")[2].lower()
    if text.startswith("//"):
        return text.lstrip("/").partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2].lower()
    if ":" in text.partition("/")[0].partition("?")[0].partition("#")[0]:
        return "another scheme"
    return urlsplit(here).netloc


def test_the_examples_of_the_modules_hold() -> None:
    for module in (weblogin, cookies, authorize):
        result = doctest.testmod(module)
        assert result.failed == 0
        assert result.attempted > 0, module


@given(
    wanted=st.lists(texts, max_size=3),
    host_url=texts,
    state=texts,
    setting=st.sampled_from(["", "javascript:alert(1)", "//evil.example", "ftp://evil.example"]),
)
@example(wanted=["/\t/evil.example"], host_url="", state="", setting="")
@example(wanted=["/\\evil.example"], host_url="", state="", setting="")
@example(wanted=["https://a.example@evil.example/"], host_url="", state="", setting="")
@example(wanted=["https://a.example.evil.example/"], host_url="", state="", setting="")
@example(wanted=["https:evil.example"], host_url="", state="", setting="")
@example(wanted=["/a\r\nSet-Cookie: x=y"], host_url="", state="", setting="")
@example(wanted=[], host_url="https://evil.example", state="app:x|9", setting="")
def test_nothing_that_is_sent_leads_off_the_allowed_hosts(
    wanted: list[str], host_url: str, state: str, setting: str
) -> None:
    host = weblogin.asked_host(host_url, state, ALIASES)
    assert host in ("", *ALIASES)
    target = weblogin.success([setting], wanted, ALIASES, host, "/")
    assert not target.configured
    assert browser_host(target.url) in ("here.example", "a.example", "b.example:8080"), target.url
    assert target.url.isascii()
    assert target.url.isprintable()
    assert " " not in target.url


@given(texts)
def test_a_remembered_page_is_recalled_and_any_cookie_can_be_read(text: str) -> None:
    if text.isascii():
        assert weblogin.recalled(weblogin.remembered(text)) == text
    assert cookies.kept("para-returnto", weblogin.remembered(text), secure=False)
    recalled = weblogin.recalled(text)
    if (url := weblogin.returnable(recalled, ALIASES)) is not None:
        assert browser_host(url) in ("here.example", "a.example", "b.example:8080")


@pytest.mark.parametrize(
    ("settings", "wanted", "host", "url", "configured", "chosen"),
    [
        (["/in", "/root"], ["/page"], "", "/in", True, True),
        (["", "/root"], ["/page"], "", "/root", True, True),
        (["", ""], ["/page", "/other"], "", "/page", False, True),
        (["", ""], ["//evil.example", "/other"], "", "/other", False, True),
        (["", ""], [], "", "/home", False, False),
        (["https://my.example/in?jwt=id"], [], "", "https://my.example/in?jwt=id", True, True),
        (["https://my.example/in?x=1"], [], "https://a.example", "https://a.example/in?x=1", True, True),
        (["/in"], [], "https://a.example", "https://a.example/in", True, True),
        ([""], ["/page"], "http://b.example:8080", "http://b.example:8080/page", False, True),
        ([""], ["https://A.example/page"], "", "https://A.example/page", False, True),
        ([""], ["https://c.example/page"], "", "/home", False, False),
        ([""], [], "https://a.example", "https://a.example/home", False, False),
        (["/büro"], [], "", "/b%C3%BCro", True, True),
    ],
)
def test_where_a_sign_in_leads(
    settings: list[str], wanted: list[str], host: str, url: str, configured: bool, chosen: bool
) -> None:
    target = weblogin.success(settings, wanted, ALIASES, host, "/home")
    assert target == weblogin.Target(url, configured, chosen)


@pytest.mark.parametrize(
    ("host_url", "state", "host"),
    [
        ("https://a.example", "", "https://a.example"),
        ("HTTPS://A.EXAMPLE:443/", "", "https://a.example"),
        ("https://a.example:8443", "", ""),
        ("http://a.example", "app:x|1", ""),  # what is named and not listed is ignored, not replaced
        ("", "app:x|0", "https://a.example"),
        ("", "app:x|1", "http://b.example:8080"),
        ("", "app:x|2", ""),
        ("", "app:x|-1", ""),
        ("", "app:x|", ""),
        ("", "1", ""),
        ("", "", ""),
    ],
)
def test_another_host_of_the_app(host_url: str, state: str, host: str) -> None:
    assert weblogin.asked_host(host_url, state, ALIASES) == host


def test_tokens_go_only_where_their_placeholder_is_a_parameter() -> None:
    def filled(url: str) -> str:
        return weblogin.with_tokens(url, lambda: "U.U.U", lambda: "I.I.I")

    assert filled("/in?jwt=?") == "/in?jwt=U.U.U"
    assert filled("/in?a=b&jwt=id#x") == "/in?a=b&jwt=I.I.I#x"
    assert filled("/in?jwt=identity&myjwt=id") == "/in?jwt=identity&myjwt=id"
    assert filled("/jwt=id") == "/jwt=id"


@pytest.mark.parametrize(
    ("name", "value"), [("a b", "x"), ("", "x"), ("a", "x;y"), ("a", "x\r\ny"), ("a", "é"), ("a=", "")]
)
def test_what_is_no_cookie_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        cookies.kept(name, value, secure=True)


@given(st.text(max_size=200))
def test_any_cookie_header_can_be_read(text: str) -> None:
    assert all("=" not in name and ";" not in value for name, value in cookies.parsed([text]).items())


def test_of_many_cookies_the_first_are_read() -> None:
    found = cookies.parsed(["; ".join(f"c{n}={n}" for n in range(500))])
    assert len(found) == cookies.MAX_COOKIES
    assert found["c0"] == "0"


@given(subject=st.text(max_size=30), other=st.text(max_size=30), random=st.binary(min_size=16, max_size=32))
def test_a_token_counts_for_its_subject_and_key_only(subject: str, other: str, random: bytes) -> None:
    token = csrf.issue(KEY, subject, random)
    assert csrf.passes(KEY, subject, token, token)
    assert csrf.passes(KEY, subject, None, token)
    assert csrf.holds(KEY, other, token) == (other == subject)
    assert not csrf.holds(b"K" * 32, subject, token)
    assert not csrf.passes(KEY, subject, "", token)
    assert not csrf.passes(KEY, subject, token, "")
    assert not csrf.passes(KEY, subject, csrf.issue(KEY, subject, random + b"x"), token)
    assert cookies.kept("para-csrf-token", token, secure=False, readable=True)


@given(st.text(max_size=80))
def test_an_invented_token_never_counts(token: str) -> None:
    assert not csrf.passes(KEY, "", token, token)
