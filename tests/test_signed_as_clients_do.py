"""The tests' own signer agrees with the worked examples of identity.md 4.4, so that what it signs proves something."""

from datetime import UTC, datetime

from support.sign import Signer

SIGNER = Signer("app:myapp", "U3VTNifLPqnZ1W2S3pVVuKG4HOVbimMocdDMl8T69BB001AXGZtwZw==")
AT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def test_a_request_without_body() -> None:
    signed = SIGNER.headers("GET", "http://localhost:8080/v1/_me", at=AT)
    assert signed == {
        "X-Amz-Date": "20260115T103000Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=app:myapp/20260115/us-east-1/para/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=e3f270f33fe559ad6be8c18f2f69af14349aba5dcab404992bba55849e2f5f3f",
    }


def test_a_body_an_escaped_path_and_a_repeated_parameter() -> None:
    body = '{"name":"ünï"}'.encode()
    sent = {"Content-Length": str(len(body)), "Content-Type": "application/json; charset=UTF-8"}
    url = "http://localhost:8080/v1/my%20type/a%3Ab?select=id%2Cname&tag=x&tag=y"
    signed = SIGNER.headers("PUT", url, body, sent, at=AT)
    assert signed["Authorization"].split(", ")[1:] == [
        "SignedHeaders=content-length;content-type;host;x-amz-date",
        "Signature=64ee8a16dbd6c1e53ee6e7b991759dc22a9f8d0e6e0a78b6e89f0445610f91b3",
    ]
