"""Tokens (identity.md 6): the worked examples verify; nothing altered, expired, undated or signed otherwise does."""

import base64
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from thingstead.model.errors import InvalidToken
from thingstead.model.tokens import check_time, peek, verify

SECRET = "U3VTNifLPqnZ1W2S3pVVuKG4HOVbimMocdDMl8T69BB001AXGZtwZw=="
TOKEN_SECRET = "b2Ygc2l4dGVlbiBieXRlcyB0aW1lcyB0d28gPSAzMiE="
SUPER = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhcHBpZCI6ImFwcDpteWFwcCIsIm5iZiI6MTc2ODQ3MzAwMCwiZXhwIjoxNzY5MDc3ODAwLCJp"
    "YXQiOjE3Njg0NzMwMDB9.9xBTX2N7IFHD6RCunUtPImCnxQeJSsx_3M52SU34lVQ"
)
USER = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI1ODc0MDgyMDU4MDY1NzE1MjAiLCJhcHBpZCI6ImFwcDpteWFwcCIsImlkcCI6Imdlb"
    "mVyaWMiLCJyZWZyZXNoIjoxNzY4NDc2NjAwMDAwLCJuYmYiOjE3Njg0NzMwMDAsImV4cCI6MTc2ODU1OTQwMCwiaWF0IjoxNzY4NDczMDAwfQ.KAlb"
    "c5f-DXCCCdeuXvS-PZbmgQFMPqIS4CymNtDI2so"
)
ISSUED = 1_768_473_000


def mint(claims: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode({"alg": algorithm, "typ": "JWT"}, claims, OctKey.import_key(secret), algorithms=[algorithm])


def test_the_worked_examples() -> None:
    claims = verify(SUPER, SECRET)
    assert (claims.appid, claims.sub, claims.nbf, claims.exp) == ("app:myapp", None, ISSUED, 1_769_077_800)
    assert peek(SUPER) == claims
    assert verify(USER, SECRET + TOKEN_SECRET).sub == "587408205806571520"
    with pytest.raises(InvalidToken):
        verify(USER, SECRET)


def test_a_claim_that_asks_for_credentials() -> None:
    claims = verify(mint({"appid": "app:para", "exp": 1, "getCredentials": "app:child"}), SECRET)
    assert claims.get_credentials == "app:child"


def test_other_algorithms_are_refused() -> None:
    claims = {"appid": "app:myapp", "exp": ISSUED + 60}
    for algorithm in ("HS384", "HS512"):
        with pytest.raises(InvalidToken):
            verify(mint(claims, algorithm=algorithm), SECRET)
    header, payload, _ = SUPER.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    for token in (f"{none}.{payload}.", f"{header}.{payload}."):
        with pytest.raises(InvalidToken):
            verify(token, SECRET)


def test_a_short_key_verifies_nothing() -> None:
    with pytest.raises(InvalidToken, match="short"):
        verify(SUPER, "")
    with pytest.raises(InvalidToken, match="short"):
        verify(SUPER, "x" * 31)


@pytest.mark.parametrize(
    "claims",
    [
        {"appid": "app:myapp"},
        {"exp": 1},
        {"appid": "app:myapp", "exp": "1"},
        {"appid": "app:myapp", "exp": None},
        {"appid": ["app:myapp"], "exp": 1},
        {"appid": "app:myapp", "exp": 1, "sub": 5},
    ],
)
def test_claims_of_wrong_shape_are_refused(claims: dict[str, Any]) -> None:
    for check in (peek, lambda token: verify(token, SECRET)):  # pyright: ignore[reportUnknownLambdaType]
        with pytest.raises(InvalidToken):
            check(mint(claims))


def test_times() -> None:
    claims = verify(SUPER, SECRET)
    check_time(claims, ISSUED)
    check_time(claims, ISSUED - 5)
    check_time(claims, claims.exp - 0.001)
    for now in (ISSUED - 5.001, claims.exp, claims.exp + 1):
        with pytest.raises(InvalidToken):
            check_time(claims, now)


@given(st.integers(0, len(SUPER) - 2), st.sampled_from("ABCxyz019-_."))  # the last one has bits that mean nothing
def test_an_altered_token_is_refused(position: int, character: str) -> None:
    assume(SUPER[position] != character)
    with pytest.raises(InvalidToken):
        verify(SUPER[:position] + character + SUPER[position + 1 :], SECRET)


@given(st.text(max_size=60))
def test_any_text_is_refused_as_a_token(text: str) -> None:
    for check in (peek, lambda token: verify(token, SECRET)):  # pyright: ignore[reportUnknownLambdaType]
        with pytest.raises(InvalidToken):
            check(text)
