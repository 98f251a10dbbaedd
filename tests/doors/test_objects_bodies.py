"""The limits of a body, to the last digit, level and member: what is within them is read, what is beyond is refused
(objects.md 1.1; identity.md 17).
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingstead.doors.objects.read import json_body
from thingstead.model.bodies import MAX_DEPTH, MAX_DIGITS, MAX_MEMBERS
from thingstead.model.errors import InvalidInput
from thingstead.model.values import Json, dump

NUMBER = b"9" * MAX_DIGITS
DECIMAL = b"1." + b"3" * (MAX_DIGITS - 5) + b"e-1"


def nested(levels: int) -> bytes:
    """Arrays and objects in turn, so many in all."""
    body = b"1"
    for level in range(levels):
        body = b"[%b]" % body if level % 2 else b'{"a":%b}' % body
    return body


@pytest.mark.parametrize(
    "body",
    [
        b"[%b,%b]" % (NUMBER, NUMBER),
        b'{"a":%b,"b":1}' % DECIMAL,
        b'{"a":"%b9"}' % NUMBER,
        b'{"a\\"%b9":"\\\\"}' % NUMBER,
        b"[%b,%b]" % (nested(MAX_DEPTH - 1), b",".join([b"{}"] * 100)),
        nested(MAX_DEPTH),
        b'["%b"]' % (b"[{" * 200),
        b"[%b]" % b",".join([b"1"] * MAX_MEMBERS),
        b"[%b]" % b",".join([b"[1,2,3]"] * MAX_MEMBERS),
    ],
    ids=lambda body: body[:20],
)
def test_within(body: bytes) -> None:
    """As large as it may be, and limits that only texts exceed."""
    json_body(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[%b9]" % NUMBER, "digits"),
        (b'{"a":"x","b":-%b}' % NUMBER, "digits"),
        (b'{"a":"\\"%b","b":%b9}' % (NUMBER, NUMBER), "digits"),
        (b"[%b0]" % DECIMAL, "digits"),
        (nested(MAX_DEPTH + 1), "levels"),
        (b"[%b,1,%b]" % (b",".join([b"{}"] * 100), nested(MAX_DEPTH)), "levels"),
        (b"[%b]" % b",".join([b"1"] * (MAX_MEMBERS + 1)), "members"),
        (b'[{"a":{%b}}]' % b",".join(b'"%d":0' % n for n in range(MAX_MEMBERS + 1)), "members"),
    ],
    ids=lambda value: value[:20],
)
def test_beyond(body: bytes, why: str) -> None:
    """One more than that, wherever it stands."""
    with pytest.raises(InvalidInput, match=why):
        json_body(body)


values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text('0123456789.eE+-"\\[{a'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('0.e-"\\', max_size=120), inner),
)


@given(values, st.text("0123456789", min_size=MAX_DIGITS + 1, max_size=200))
def test_digits_in_texts_are_no_numbers(value: Json, digits: str) -> None:
    """Whatever stands beside it, a long number is found and a long text is none."""
    assert json_body(dump([value, digits])) == [value, digits]
    number = re.sub(r"^0+", "1", digits).encode()
    if len(number) > MAX_DIGITS:
        with pytest.raises(InvalidInput):
            json_body(b"[%b,%b]" % (dump(value), number))
