"""What may stand in a letter (objects.md 17): addresses, header texts, attached files. Pure.

Promises: a text that passes cannot begin another header, address or MIME part. Raises ConstraintViolation naming the
field otherwise, with the message `Invalid form data: ...`.
"""

import base64
import binascii
import re
import unicodedata
from typing import Final

from thingstead.model.errors import ConstraintViolation
from thingstead.model.values import Json, is_array

MAX_ADDRESS: Final = 254
MAX_LOCAL: Final = 64
MAX_HEADER: Final = 998
_UNKNOWN: Final = "application/octet-stream"

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_DATA_URL = re.compile(
    r"data:(?P<type>[\w.+-]{1,60}/[\w.+-]{1,60})?(?P<parameters>(?:;[\w-]+=[^;,\r\n]{0,200}){0,5});base64,", re.ASCII
)


def refused(field: str, why: str) -> ConstraintViolation:
    """The error of a field."""
    return ConstraintViolation(f"Invalid form data: '{field}' {why}", field=field)


def address(value: Json, field: str) -> str:
    """One bare address, its domain in ASCII. Quoted local parts, comments and address literals are refused.

    >>> address("ann@münchen.example", "email")
    'ann@xn--mnchen-3ya.example'
    """
    if not isinstance(value, str):
        raise refused(field, "must hold e-mail addresses")
    local, _, domain = value.strip().rpartition("@")
    try:
        domain = domain.encode("idna").decode() if domain else ""
    except UnicodeError:
        domain = ""
    labels = domain.split(".")
    plausible = len(labels) > 1 or domain.lower() == "localhost"
    if not (
        plausible
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdecimal()
        and len(local) <= MAX_LOCAL
        and _LOCAL.fullmatch(local)
        and len(local) + len(domain) < MAX_ADDRESS
    ):
        raise refused(field, "holds something that is no e-mail address")
    return f"{local}@{domain}"


def addresses(value: Json, field: str, *, most: int) -> tuple[str, ...]:
    """A list of addresses, each once."""
    given = value if is_array(value) else [value] if isinstance(value, str) else []
    if not given:
        raise refused(field, "must be a list of e-mail addresses")
    if len(given) > most:
        raise refused(field, f"holds more than {most} addresses")
    found = {each.lower(): each for each in (address(one, field) for one in reversed(given))}
    return tuple(reversed(found.values()))


def header(value: Json, field: str, *, needed: bool = False) -> str:
    """Text for a header line; control and format characters are refused, not removed."""
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or (needed and not value.strip()):
        raise refused(field, "must be text" if not needed else "must not be blank")
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in value):
        raise refused(field, "holds a control character")
    if len(value) > MAX_HEADER:
        raise refused(field, f"is longer than {MAX_HEADER} characters")
    return value.strip()


def text(value: Json, field: str) -> str:
    """The body of a letter."""
    if not isinstance(value, str) or not value.strip():
        raise refused(field, "must not be blank")
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise refused(field, "holds a character that no letter may")
    return value


def flag(value: Json, field: str) -> bool:
    """true or false; absent is false."""
    if value is None or isinstance(value, bool):
        return value is True
    raise refused(field, "must be true or false")


def file(value: Json, field: str) -> tuple[str, bytes] | None:
    """Content type and bytes of a data URL (`data:<mime>;base64,...`); None if nothing is given."""
    if value is None or value == "":
        return None
    found = _DATA_URL.match(value) if isinstance(value, str) else None
    if not isinstance(value, str) or found is None:
        raise refused(field, "must be a data URL, 'data:<type>;base64,...'")
    try:
        data = base64.b64decode(value[found.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise refused(field, "is no Base64") from None
    kind = found["type"] or ""
    return (_UNKNOWN if not kind or kind.lower().startswith(("multipart/", "message/")) else kind), data
