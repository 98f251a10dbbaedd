"""A signature verifies exactly what was signed (identity.md 4): the worked examples, botocore as oracle, Para's Python
client as it sends, and no altered request."""

from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import pytest
from aws_requests_auth.aws_auth import AWSRequestsAuth
from hypothesis import given
from hypothesis import strategies as st
from paraclient.auth import AWSAuth
from requests import Request

from support.sign import Signer
from thingstead.model.signatures import (
    canonical_path,
    canonical_query,
    parse_authorization,
    signing_key,
    time_of,
    verified,
)

ACCESS = "app:myapp"
SECRET = "U3VTNifLPqnZ1W2S3pVVuKG4HOVbimMocdDMl8T69BB001AXGZtwZw=="
SIGNER = Signer(ACCESS, SECRET)
AT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
HOST = "localhost:8080"


def holds(
    method: str,
    url: str,
    sent: dict[str, str],
    body: bytes = b"",
    *,
    secret: str = SECRET,
    host: str | None = None,
    forwarded_host: str = "",
) -> bool:
    """Whether a request with these headers, as it arrives, verifies."""
    parts = urlsplit(url)
    headers = {"host": host or parts.netloc} | {name.lower(): value for name, value in sent.items()}
    given = parse_authorization(headers["authorization"])
    assert given is not None
    return verified(
        given,
        secret,
        method=method,
        raw_path=parts.path,
        raw_query=parts.query,
        headers=headers,
        body=body,
        forwarded_host=forwarded_host,
    )


def test_the_worked_example_without_a_body() -> None:
    assert signing_key(SECRET, "20260115").hex() == "57dbbb5175213385064265526d26c099392d8f08fcf24e226e7ca480384670b6"
    sent = {
        "X-Amz-Date": "20260115T103000Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=app:myapp/20260115/us-east-1/para/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=e3f270f33fe559ad6be8c18f2f69af14349aba5dcab404992bba55849e2f5f3f",
    }
    assert holds("GET", "http://localhost:8080/v1/_me", sent)
    assert not holds("GET", "http://localhost:8080/v1/_me", sent, b" ")


def test_the_worked_example_with_a_body() -> None:
    body = '{"name":"ünï"}'.encode()
    sent = {
        "Content-Length": "16",
        "Content-Type": "application/json; charset=UTF-8",
        "X-Amz-Date": "20260115T103000Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=app:myapp/20260115/us-east-1/para/aws4_request,"
        "Signature=64ee8a16dbd6c1e53ee6e7b991759dc22a9f8d0e6e0a78b6e89f0445610f91b3,"
        "SignedHeaders=content-length;content-type;host;x-amz-date",
    }
    url = "http://localhost:8080/v1/my%20type/a%3Ab?select=id%2Cname&tag=x&tag=y"
    assert canonical_path("/v1/my%20type/a%3Ab") == "/v1/my%2520type/a%253Ab"
    assert canonical_query("select=id%2Cname&tag=x&tag=y") == "select=id%2Cname&tag=x"
    assert holds("PUT", url, sent, body)
    assert not holds("POST", url, sent, body)
    assert not holds("PUT", url, {**sent, "Content-Type": "application/json"}, body)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
# botocore merges empty segments and dots, which identity.md forbids; such paths the door refuses anyway
SEGMENT = TEXT.filter(lambda text: text not in ("", ".", "..")).map(lambda text: quote(text, safe="!'()*:"))
PAIRS = st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=4)


@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    st.lists(SEGMENT, min_size=1, max_size=4),
    PAIRS,
    st.binary(max_size=40),
)
def test_what_botocore_signs_verifies_and_nothing_else(
    method: str, segments: list[str], pairs: list[tuple[str, str]], body: bytes
) -> None:
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    url = f"http://{HOST}/v1/{'/'.join(segments)}" + (f"?{query}" if query else "")
    sent = SIGNER.headers(method, url, body, at=AT)
    assert holds(method, url, sent, body)
    assert not holds(method, url, sent, body + b"x")
    assert not holds(method, url.replace("/v1/", "/v2/"), sent, body)
    assert not holds(method, url + ("&" if query else "?") + "more=1", sent, body)
    assert not holds(method, url, sent, body, secret=SECRET[::-1])


@pytest.mark.parametrize(
    "params",
    [
        {"ids": ["a", "b"]},
        {"ids": ["id:1", "tag:x y"], "limit": 3},
        {"terms": ["name:Ann Smith", "a>=:5"], "matchall": "true", "type": "dog"},
        {"select": ["properties.a", "name"], "q": "a b+c*&d"},
        {"q": "properties.owner.age:[* TO 34]", "page": 1},
        {},
    ],
)
def test_paras_python_client_verifies_as_it_sends(params: dict[str, object]) -> None:
    auth = AWSAuth(AWSRequestsAuth(ACCESS, SECRET, HOST, "us-east-1", "para"))
    request = Request("GET", f"http://{HOST}/v1/dog/tag%3Ax%20y", params=params, auth=auth).prepare()  # pyright: ignore[reportArgumentType]
    assert request.url is not None
    assert holds("GET", request.url, dict(request.headers))


@pytest.mark.parametrize(
    ("signed", "arrives", "forwarded"),
    [
        ("example.com", "example.com:443", ""),
        ("example.com", "example.com:80", ""),
        ("example.com:443", "example.com", ""),
        ("example.com:80", "example.com", ""),
        ("example.com", "10.0.0.7:8080", "example.com"),
        ("example.com", "10.0.0.7:8080", "example.com:443"),
        ("[::1]", "[::1]:80", ""),
    ],
)
def test_the_host_may_gain_or_lose_its_default_port_on_the_way(signed: str, arrives: str, forwarded: str) -> None:
    sent = SIGNER.headers("GET", "http://x/v1/_me", headers={"Host": signed}, at=AT)
    assert holds("GET", "http://x/v1/_me", sent | {"Host": arrives}, host=arrives, forwarded_host=forwarded)
    other = "elsewhere.org"
    assert not holds("GET", "http://x/v1/_me", sent | {"Host": other}, host=other)


@pytest.mark.parametrize(
    "credential",
    [
        "app:myapp/20260114/us-east-1/para/aws4_request",
        "app:myapp/20260115/eu-west-1/para/aws4_request",
        "app:myapp/20260115/us-east-1/s3/aws4_request",
        "app:myapp/20260115/us-east-1/para",
    ],
)
def test_another_scope_is_refused(credential: str) -> None:
    sent = SIGNER.headers("GET", f"http://{HOST}/v1/_me", at=AT)
    given = "app:myapp/20260115/us-east-1/para/aws4_request"
    sent["Authorization"] = sent["Authorization"].replace(given, credential)
    assert not holds("GET", f"http://{HOST}/v1/_me", sent)


@pytest.mark.parametrize("names", ["x-amz-date", "host", "accept;x-amz-date"])
def test_host_and_date_must_be_signed(names: str) -> None:
    sent = SIGNER.headers("GET", f"http://{HOST}/v1/_me", at=AT)
    sent["Authorization"] = sent["Authorization"].replace("host;x-amz-date", names)
    assert not holds("GET", f"http://{HOST}/v1/_me", sent)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=app:x/20260115/us-east-1/para/aws4_request, Signature=00",
        "AWS4-HMAC-SHA256 Credential=app:x, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00",
        "Bearer x",
    ],
)
def test_half_an_authorization_is_none(text: str) -> None:
    assert parse_authorization(text) is None


@given(st.text(max_size=80))
def test_any_authorization_is_parsed_or_none(text: str) -> None:
    parsed = parse_authorization("AWS4-HMAC-SHA256 " + text)
    assert parsed is None or (parsed.access_key and parsed.signature)


def test_dates() -> None:
    assert time_of("20260115T103000Z") == 1_768_473_000
    for text in ("", "20260115", "20261315T103000Z", "20260115T103000", "2026-01-15T10:30:00Z", "٢٠٢٦٠١١٥T103000Z"):
        assert time_of(text) is None
