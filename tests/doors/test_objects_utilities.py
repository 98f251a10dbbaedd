"""`utils` answers bare text as objects.md 12 says, to the byte where clients look (A19), whatever it is asked."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paraclient import ParaClient

from support.client import Client
from support.listening import Listening, listening
from support.sign import Signer
from thingstead.doors import objects

APP = "utils"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    changed = {"markdown_soft_break": "<br>", "markdown_allowed_follow_domains": "ok.org, b.org"}
    with listening(tmp_path_factory.mktemp("data"), objects.app, **changed) as opened:
        yield opened


@pytest.fixture(scope="module")
def secret(door: Listening) -> str:
    return door.run(door.backend.tenants.create(APP))[1]


@pytest.fixture(scope="module")
def app(door: Listening, secret: str) -> Client:
    return Client(door.url, Signer(f"app:{APP}", secret))


def test_paras_own_client(door: Listening, secret: str) -> None:
    """A19."""
    client: Any = ParaClient(f"app:{APP}", secret)
    client.setEndpoint(door.url)
    first, second = client.newId(), client.newId()
    assert first
    assert first != second
    assert int(client.getTimestamp()) > 0
    before = datetime.now()
    for pattern, wanted in (("M d yyyy", "{0.month} {0.day} {0.year}"), ("MM dd yyyy", "{0:%m} {0:%d} {0.year}")):
        assert client.formatDate(pattern, "US") in {wanted.format(before), wanted.format(datetime.now())}
    assert client.formatDate() in {before.date().isoformat(), datetime.now().date().isoformat()}
    assert client.noSpaces(" test  123\t\ttest ", "") == "test123test"
    assert client.stripAndTrim(" %^&*( cool )\t\t@!") == "cool"
    assert client.markdownToHtml("# hello **test**") == "<h1>hello <strong>test</strong></h1>\n"
    assert client.approximately(15_000) == "15s"


ROWS = [
    ("nospaces", {"string": "some words", "replacement": "-"}, "some-words"),
    ("nospaces", {"string": " test  123\t\ttest "}, "test123test"),
    ("nospaces", {}, ""),
    ("nosymbols", {"string": " %^&*( cool )\t\t@!"}, "cool"),
    ("nosymbols", {}, ""),
    ("formatmessage", {"message": "it's {0} & {1}", "fields": ["a b", "c"]}, "it's a b & c"),
    ("formatmessage", {"message": "{0} {"}, "{0} {"),
    ("formatmessage", {"message": "plain", "fields": "x"}, "plain"),
    ("formatmessage", {}, ""),
    ("timeago", {"delta": "15000"}, "15s"),
    ("timeago", {"delta": "-60000"}, "1m"),
    ("timeago", {"delta": "0"}, ""),
    ("timeago", {}, "1ms"),
    ("timeago", {"delta": "soon"}, "1ms"),
    ("timeago", {"delta": "99999999999999999999999"}, "1ms"),
    ("formatdate", {"format": "'x'"}, "x"),
    ("formatdate", {"format": "'x'", "locale": "de"}, "x"),
    ("formatdate", {"format": "'x'", "locale": "no such_LOCALE"}, "x"),
    ("md2html", {"md": "# hello **test**"}, "<h1>hello <strong>test</strong></h1>\n"),
    ("md2html", {"md": "[x](javascript:alert(1))"}, "<p>x</p>\n"),
    ("md2html", {"md": "a\nb"}, "<p>a<br>b</p>\n"),
    ("md2html", {"md": "[x](http://ok.org/)"}, '<p><a href="http://ok.org/">x</a></p>\n'),
    ("md2html", {"md": "[x](http://a.org/)"}, '<p><a href="http://a.org/" rel="nofollow noreferrer">x</a></p>\n'),
    ("md2html", {}, ""),
]


@pytest.mark.parametrize(("method", "given_", "expected"), ROWS)
def test_both_paths_give_the_same_bare_text(app: Client, method: str, given_: dict[str, Any], expected: str) -> None:
    query = urlencode(given_, doseq=True)
    for path in (f"/v1/utils/{method}?{query}", f"/v1/utils?method={method}&{query}"):
        answer = app.send("GET", path)
        assert (answer.status_code, answer.content.decode()) == (200, expected), path
        kind = "text/html" if method == "md2html" else "text/plain"
        assert answer.headers["Content-Type"].startswith(kind)


def test_the_path_wins_over_the_parameter(app: Client) -> None:
    assert app.send("GET", "/v1/utils/nospaces?method=newid&string=a+b").text == "ab"


def test_html_cannot_do_anything_in_a_browser(app: Client) -> None:
    answer = app.send("GET", "/v1/utils/md2html?md=x")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_names_in_other_languages(app: Client) -> None:
    now = datetime.now()
    german = app.send("GET", "/v1/utils/formatdate?format=MMMM&locale=de_DE").text
    assert german in ("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
                      "November", "Dezember")  # fmt: skip
    english = app.send("GET", "/v1/utils/formatdate?format=MMMM&locale=US").text
    assert english in {f"{now:%B}", f"{datetime.now():%B}"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/utils", "Unknown method: empty"),
        ("/v1/utils?method=", "Unknown method: empty"),
        ("/v1/utils/nope", "Unknown method: nope"),
        ("/v1/utils/NEWID", "Unknown method: NEWID"),
        ("/v1/utils/formatdate?format=b", "'b'"),
        ("/v1/utils/formatdate?format='x", "quote"),
    ],
)
def test_what_is_refused(app: Client, path: str, message: str) -> None:
    answer = app.send("GET", quote(path, safe="/?=&'"))
    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert message in answer.json()["message"]


def test_a_hostile_document_holds_up_nobody(door: Listening, app: Client) -> None:
    """While the worst Markdown that fits a request is rendered, others are answered as ever."""
    done = threading.Event()
    slow: list[int] = []

    def render() -> None:
        slow.append(app.send("GET", "/v1/utils/md2html?md=" + "![" * 15_000).status_code)
        done.set()

    other = Client(door.url, app.signer)
    other.send("GET", "/v1/utils/newid")
    thread = threading.Thread(target=render)
    thread.start()
    waits: list[float] = []
    begun = time.monotonic()
    while not done.is_set():
        began = time.monotonic()
        assert other.send("GET", "/v1/utils/newid").status_code == 200
        waits.append(time.monotonic() - began)
    thread.join()
    assert slow == [200]
    assert len(waits) > 3
    assert sorted(waits)[len(waits) // 2] < (time.monotonic() - begun) / 3


METHODS = ("newid", "timestamp", "formatdate", "formatmessage", "nospaces", "nosymbols", "md2html", "timeago", "x")
NAMES = ("string", "replacement", "message", "fields", "format", "locale", "md", "delta", "method")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(METHODS), st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=20)), max_size=4))
def test_whatever_is_asked_is_text_or_a_400(app: Client, method: str, query: list[tuple[str, str]]) -> None:
    answer = app.send("GET", f"/v1/utils/{method}?{urlencode(query, errors='replace')}")
    assert answer.status_code in (200, 400), answer.content
