"""The pages of the web door: signing in, missing role, a form that is too old (identity.md 9, 17).

Plain HTML that works without scripts and by keyboard and screen reader, in light and dark. Nothing is loaded from
elsewhere, nothing that was sent is shown unescaped, and no other site may frame it.
"""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec

from thingstead.doors.web.request import HTML, Answer

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1d2733;--soft:#5b6875;--ground:#eef2f4;--sheet:#fff;--line:#c3ccd4;--deed:#0b6b57;
--on:#fff;--wrong:#a3221b;--wrong-ground:#fdeceb}
@media (prefers-color-scheme:dark){:root{--ink:#e8edf1;--soft:#a5b1bc;--ground:#12181d;--sheet:#1b232a;--line:#46525d;
--deed:#5fd0b5;--on:#0c1a17;--wrong:#ffb4ac;--wrong-ground:#43201d}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--ground);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{width:100%;max-width:25rem;padding:2rem;background:var(--sheet);border:1px solid var(--line);border-radius:.75rem}
h1{margin:0 0 .25rem;font-size:1.5rem;line-height:1.25;overflow-wrap:anywhere}
h2{margin:1.75rem 0 .75rem;font-size:1rem}
p{margin:0 0 1.25rem;color:var(--soft)}
label{display:block;margin-bottom:1rem;font-weight:600}
input{display:block;width:100%;min-height:2.75rem;margin-top:.25rem;padding:.5rem .75rem;font:inherit;color:inherit;
background:transparent;border:1px solid var(--soft);border-radius:.5rem}
button,.way{display:block;width:100%;min-height:2.75rem;padding:.6rem 1rem;font:inherit;font-weight:600;
text-align:center;text-decoration:none;border-radius:.5rem;cursor:pointer}
button{color:var(--on);background:var(--deed);border:1px solid var(--deed)}
.way{color:var(--ink);border:1px solid var(--soft)}
ul{margin:0;padding:0;list-style:none;display:grid;gap:.6rem}
a{color:var(--deed)}
:focus-visible{outline:3px solid var(--deed);outline-offset:2px}
.alert{padding:.75rem 1rem;color:var(--wrong);background:var(--wrong-ground);border-left:4px solid var(--wrong);
border-radius:.25rem}
"""
_STYLE_SOURCE: Final = "'sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode() + "'"
_POLICY: Final = f"default-src 'none'; style-src {_STYLE_SOURCE}; base-uri 'none'; frame-ancestors 'none'"


class Way(msgspec.Struct, frozen=True):
    """A link to another way to sign in."""

    title: str
    url: str


class Directory(msgspec.Struct, frozen=True):
    """The form of a directory (LDAP): where it goes, and the names of its fields."""

    action: str
    name_field: str
    password_field: str


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What the sign-in page shows."""

    app_name: str
    appid: str
    action: str
    token_field: str
    token: str  # "": no such field
    returnto_field: str
    returnto: str
    failed: bool
    signed_in: bool
    signout: str
    ways: Sequence[Way]
    directory: Directory | None


def sign_in(page: SignIn) -> Answer:
    """The sign-in page."""
    hidden = _hidden("appid", page.appid) + _hidden(page.returnto_field, page.returnto)
    parts = [f"<h1>Sign in to {escape(page.app_name)}</h1>\n"]
    if page.failed:
        parts.append('<p class="alert" role="alert">That did not work. Check what you typed, or try another way.</p>\n')
    if page.signed_in:
        parts.append(f'<p>You are signed in already. <a href="{escape(page.signout)}">Sign out</a></p>\n')
    else:
        parts.append("<p>Use your account to go on.</p>\n")
    parts.append(
        f'<form method="post" action="{escape(page.action)}">\n{hidden}{_hidden(page.token_field, page.token)}'
        '<label>E-mail<input type="email" name="email" autocomplete="username" required autofocus></label>\n'
        '<label>Password<input type="password" name="password" autocomplete="current-password" required></label>\n'
        '<button type="submit">Sign in</button>\n</form>\n'
    )
    if page.directory is not None:
        to = page.directory
        parts.append(
            f'<h2 id="directory">With the account of your organization</h2>\n'
            f'<form method="post" action="{escape(to.action)}" aria-labelledby="directory">\n{hidden}'
            f'<label>User name<input name="{escape(to.name_field)}" autocomplete="username" required></label>\n'
            f'<label>Password<input type="password" name="{escape(to.password_field)}"'
            ' autocomplete="current-password" required></label>\n'
            '<button type="submit">Sign in</button>\n</form>\n'
        )
    if page.ways:
        parts.append('<h2 id="ways">Other ways to sign in</h2>\n<ul aria-labelledby="ways">\n')
        parts += [
            f'<li><a class="way" href="{escape(way.url)}">Continue with {escape(way.title)}</a></li>\n'
            for way in page.ways
        ]
        parts.append("</ul>\n")
    return _page(200, f"Sign in to {page.app_name}", "".join(parts))


def denied(signin: str, signout: str) -> Answer:
    """For those who are signed in and lack a role."""
    return _page(
        403,
        "No access",
        "<h1>You have no access to this page</h1>\n"
        "<p>Your account lacks the role that this page asks for. Ask whoever runs it, or use another account.</p>\n"
        f'<ul><li><a class="way" href="{escape(signin)}">Sign in with another account</a></li>\n'
        f'<li><a class="way" href="{escape(signout)}">Sign out</a></li></ul>\n',
    )


def stale(signin: str) -> Answer:
    """For a form without a valid CSRF token."""
    return _page(
        403,
        "Please try again",
        "<h1>This form is too old</h1>\n"
        "<p>It was opened before you signed in or out, or your browser keeps no cookies. Nothing has changed. Go back, "
        "load the page again, and send it once more.</p>\n"
        f'<ul><li><a class="way" href="{escape(signin)}">To the sign-in page</a></li></ul>\n',
    )


def unknown_app() -> Answer:
    """For a sign-in page of an app that does not exist."""
    return _page(404, "Not found", "<h1>There is nothing here</h1>\n<p>No app of this name can be signed in to.</p>\n")


def refused(status: int, message: str) -> Answer:
    """For a request that a page or a way to sign in does not take."""
    return _page(status, "Not possible", f"<h1>This is not possible</h1>\n<p>{escape(message)}</p>\n")


def _page(status: int, title: str, inside: str) -> Answer:
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{inside}</main>\n</body>\n"
        "</html>\n"
    )
    return Answer(status, text.encode(), HTML, [(b"content-security-policy", _POLICY.encode())])


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">\n' if name and value else ""
