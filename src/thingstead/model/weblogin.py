"""Where a login on web pages leads: targets, other hosts of an app, what may be returned to (identity.md 9, 17). Pure.

Promises: what a visitor sends (parameters, cookies) never leads off this host, but to an origin that the app lists;
every URL given back is printable ASCII, so that no header can be broken by it; a token is put only into a URL that the
app or the server has configured.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

MAX_URL: Final = 2_048

_ABSOLUTE: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?#][!-\[\]-~]*)?",
    re.IGNORECASE,
)
_RELATIVE: Final = re.compile(r"/(?!/)[!-\[\]-~]*")  # printable ASCII without space and backslash
_TOKEN: Final = re.compile(r"(?<=[?&#])jwt=(\?|id)(?=[&#]|$)")
_CAUSE: Final = re.compile(r"(?<=[?&#])cause=\?(?=[&#]|$)")
_ALIKE: Final = frozenset({"unknown_user", "locked"})
_PORTS: Final = {"http": "80", "https": "443"}


class Target(msgspec.Struct, frozen=True):
    """Where a sign-in leads. `configured`: by the app or the server, so that tokens may be put into it."""

    url: str
    configured: bool = False
    chosen: bool = True  # False: the last resort, which clients without pages have no use for


def relative(url: str) -> str | None:
    """The URL if it is a path on this host; None for everything else.

    >>> relative("/sites/?page=2"), relative("//evil.example"), relative("/\\\\evil.example"), relative("https://x")
    ('/sites/?page=2', None, None, None)
    """
    return url if len(url) <= MAX_URL and _RELATIVE.fullmatch(url) else None


def origin(url: str) -> str | None:
    """Scheme, host and port of an absolute http(s) URL, normalised; None if it is none, or holds a user's name.

    >>> origin("HTTPS://App.example:443/x"), origin("https://u@app.example/"), origin("/x")
    ('https://app.example', None, None)
    """
    found = _ABSOLUTE.fullmatch(url) if len(url) <= MAX_URL else None
    if found is None:
        return None
    scheme, host, port = found["scheme"].lower(), found["host"].lower(), found["port"]
    if port is None or port.lstrip("0") == _PORTS[scheme]:
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}" if 0 < int(port) < 65_536 else None


def aliases(text: str) -> list[str]:
    """The http(s) origins of `security.hosturl_aliases`, a comma list, in their order; what is no origin is left out.

    >>> aliases("https://a.example, http://b.example:8080/, ftp://c, https://a.example")
    ['https://a.example', 'http://b.example:8080']
    """
    found = (origin(part.strip()) for part in text.split(","))
    return list(dict.fromkeys(each for each in found if each))


def asked_host(host_url: str, state: str, allowed: Sequence[str]) -> str:
    """The origin that `host_url` names, else that with the number after `|` in `state`, from 0; "" for none allowed.

    >>> asked_host("", "app:x|1", ["https://a", "https://b"]), asked_host("https://evil", "", ["https://a"])
    ('https://b', '')
    """
    if host_url.strip():
        wanted = origin(host_url.strip())
        return wanted if wanted in allowed and wanted is not None else ""
    _, bar, number = state.rpartition("|")
    if bar and re.fullmatch(r"[0-9]{1,4}", number) and int(number) < len(allowed):
        return allowed[int(number)]
    return ""


def app_of(appid: str, state: str) -> str:
    """The app that a login is for: `appid`, else `state` up to the first `|`; "" for none."""
    return appid.strip() or state.partition("|")[0].strip()


def configured(url: str) -> str | None:
    """A target of a setting as it can stand in a header: a path, or an http(s) URL; None for what is neither.

    >>> configured("/start"), configured("https://my.example/in?jwt=id"), configured("javascript:alert(1)")
    ('/start', 'https://my.example/in?jwt=id', None)
    """
    text = plain(url.strip())
    return text if relative(text) or origin(text) else None


def plain(url: str) -> str:
    """A URL as printable ASCII, whatever it holds.

    >>> plain("https://id.example/a b\\r\\nX: é")
    'https://id.example/a%20b%0D%0AX:%20%C3%A9'
    """
    return quote(url, safe="!#$%&'()*+,/:;=?@[]~")


def returnable(url: str, allowed: Sequence[str]) -> str | None:
    """The URL if a visitor may be led to it on his word: a path, or below an origin that the app lists."""
    return url if relative(url) or origin(url) in allowed else None


def at_host(url: str, host: str) -> str:
    """A target with scheme and host of an origin; unchanged without one."""
    if not host:
        return url
    found = _ABSOLUTE.fullmatch(url)
    return host + (url if found is None else found["rest"] or "/")


def success(settings: Sequence[str], wanted: Sequence[str], allowed: Sequence[str], host: str, home: str) -> Target:
    """Where a sign-in leads: the first setting that can be used, else the first of what the visitor wants, else `home`.

    `allowed` are the app's other origins, `host` one of them that was asked for.
    """
    for setting in settings:
        url = configured(setting)
        if url:
            return Target(at_host(url, host), configured=True)
    for text in wanted:
        url = returnable(text, allowed)
        if url:
            return Target(at_host(url, host) if relative(url) else url)
    return Target(at_host(home, host), chosen=False)


def with_tokens(url: str, user_token: Callable[[], str], id_token: Callable[[], str]) -> str:
    """A configured target with its placeholders `jwt=id` and `jwt=?` filled in.

    >>> with_tokens("/in?jwt=id&x=1", lambda: "USER", lambda: "ID")
    '/in?jwt=ID&x=1'
    """
    return _TOKEN.sub(lambda found: "jwt=" + quote(id_token() if found[1] == "id" else user_token(), safe=""), url)


def with_cause(url: str, reason: str) -> str:
    """A configured target with its placeholder `cause=?` filled in. Whether somebody is known here, or locked out, is
    not told to who has no password (identity.md 7.4, 17).

    >>> with_cause("/failed?cause=?", "inactive"), with_cause("/failed?cause=?", "unknown_user")
    ('/failed?cause=inactive', '/failed?cause=wrong_password')
    """
    told = "wrong_password" if reason in _ALIKE else reason
    return _CAUSE.sub(lambda _: "cause=" + quote(told, safe=""), url)


def with_query(url: str, query: str) -> str:
    """A URL with more in its query, before its fragment.

    >>> with_query("/signin?error#top", "appid=x"), with_query("/signin", "")
    ('/signin?error&appid=x#top', '/signin')
    """
    if not query:
        return url
    before, mark, fragment = url.partition("#")
    return f"{before}{'&' if '?' in before else '?'}{query}{mark}{fragment}"


def remembered(url: str) -> str:
    """A URL as the return cookie holds it."""
    return base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def recalled(value: str) -> str:
    """The URL in a return cookie, in either alphabet of Base64; "" if there is none. What it names is not checked."""
    try:
        text = value.replace("+", "-").replace("/", "_").rstrip("=")
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
