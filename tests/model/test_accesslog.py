"""Promise: a line of the access log is one line of the combined format in printable ASCII, and shows no secret."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.model.accesslog import hidden, line

COMBINED = re.compile(
    r'\S+ - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "[^"]*" \d{3} (\d+|-) "[^"]*" "[^"]*"', re.ASCII
)
TEXT = st.text(st.characters(max_codepoint=255))


@given(TEXT, TEXT, TEXT, TEXT)
def test_it_is_one_line_of_the_format_whatever_was_sent(method: str, target: str, referer: str, agent: str) -> None:
    made = line("127.0.0.1", 1_763_900_000, method, target, "1.1", 200, 0, referer, agent)
    assert COMBINED.fullmatch(made)
    assert made.isascii()
    assert made.isprintable()


def test_a_line() -> None:
    made = line("::1", 0, "GET", "/v1/a?q=x", "1.1", 201, 12, "http://x/?jwt=1", 'me "x"\n')
    expected = (
        '::1 - - [01/Jan/1970:00:00:00 +0000] "GET /v1/a?q=x HTTP/1.1" 201 12 "http://x/?jwt=***" "me \\x22x\\x22\\x0a"'
    )
    assert made == expected


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/v1/_me?Authorization=Bearer%20x&q=y", "/v1/_me?Authorization=***&q=y"),
        ("/x?access_token=a", "/x?access_token=***"),
        ("/twitter_auth?oauth_verifier=a", "/twitter_auth?oauth_verifier=***"),
        ("/x?a=b&id_token=a&c=d", "/x?a=b&id_token=***&c=d"),
        (
            "/x?X-Amz-Signature=a&X-Amz-Credential=b&X-Amz-Date=c",
            "/x?X-Amz-Signature=***&X-Amz-Credential=***&X-Amz-Date=c",
        ),
        ("/iot/json?k=key&i=dev", "/iot/json?k=***&i=dev"),
        ("/google_auth?code=a&state=b", "/google_auth?code=***&state=***"),
        ("/x?%61ccess_token=a&b=c", "/x?%61ccess_token=***&b=c"),
        ("/x?newpassword=a", "/x?newpassword=***"),
        ("/x?q=token&kind=b", "/x?q=token&kind=b"),
        ("/token=x", "/token=x"),
        ("/x?", "/x?"),
    ],
)
def test_values_that_prove_somebody_are_hidden(target: str, shown: str) -> None:
    assert hidden(target) == shown


def test_a_long_field_is_cut() -> None:
    assert len(line("::1", 0, "GET", "/" + "a" * 10_000, "1.1", 200, 0, "", "b" * 10_000)) < 5_000
