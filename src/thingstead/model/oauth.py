"""Providers of sign-ins that speak OAuth 2 at fixed addresses, as one table (identity.md 8.2). Pure.

What is asked stands here, how the answers are read in model/profiles; `core/signin/oauth.py` asks. The providers that
an app configures itself are in model/oauth_generic.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from thingstead.model import profiles
from thingstead.model.profiles import Answers, Reader
from thingstead.model.values import Json


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A GET with an access token. `{token}`, `{id}` and `{secret}` in `query` and `headers` are replaced."""

    name: str
    url: str
    headers: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    optional: bool = False  # may fail
    instead: "Ask | None" = None  # asked if this is refused with 4xx
    wanted: Callable[[Answers], bool] = lambda answers: True


class TokenCall(msgspec.Struct, frozen=True, kw_only=True):
    """Where a code becomes a token. `{tenant}` in `url` is replaced."""

    url: str
    method: str = "POST"  # GET: the form is the query
    grant_type: bool = True
    accept_json: bool = False
    form: Mapping[str, str] = {}
    within: str = ""  # member of the answer that holds the token's


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """How to learn for which client a token was made (identity.md 17). `ask` None: the token itself says so."""

    ask: Ask | None
    read: Callable[[Json, str], str]  # of the answer and the token: the client's id, "" if it is not told


class Social(msgspec.Struct, frozen=True, kw_only=True):
    """A provider: its keys are `{prefix}_app_id` and `{prefix}_secret`, its identifiers `{prefix}:...`."""

    name: str
    prefix: str
    token: TokenCall
    asks: tuple[Ask, ...]
    read: Reader
    audience: Audience | None = None
    photo: Ask | None = None  # asked once the profile is read; its answer is a picture


# --- the table

_BEARER: Final = {"Authorization": "Bearer {token}"}
_BEARER_JSON: Final = {**_BEARER, "Accept": "application/json"}
_GITHUB: Final = {"Authorization": "token {token}", "Accept": "application/json"}
_LINKEDIN: Final = "https://api.linkedin.com/v2"
_USER_READ: Final = "https://graph.microsoft.com/user.read"

SOCIAL: Final = (
    Social(
        name="facebook",
        prefix="fb",
        token=TokenCall(method="GET", url="https://graph.facebook.com/oauth/access_token", grant_type=False),
        asks=(
            Ask(
                name="me",
                url="https://graph.facebook.com/me",
                query={"fields": "name,email,picture.width(400).type(square).height(400)", "access_token": "{token}"},
            ),
        ),
        read=profiles.facebook,
        audience=Audience(
            ask=Ask(
                name="audience",
                url="https://graph.facebook.com/debug_token",
                query={"input_token": "{token}", "access_token": "{id}|{secret}"},
            ),
            read=profiles.facebook_app,
        ),
    ),
    Social(
        name="google",
        prefix="gp",
        token=TokenCall(url="https://www.googleapis.com/oauth2/v4/token"),
        asks=(Ask(name="me", url="https://www.googleapis.com/oauth2/v3/userinfo", headers=_BEARER),),
        read=profiles.google,
        audience=Audience(
            ask=Ask(name="audience", url="https://oauth2.googleapis.com/tokeninfo", query={"access_token": "{token}"}),
            read=lambda answer, token: profiles.text(profiles.member(answer, "aud")),
        ),
    ),
    Social(
        name="github",
        prefix="gh",
        token=TokenCall(url="https://github.com/login/oauth/access_token", grant_type=False, accept_json=True),
        asks=(
            Ask(name="me", url="https://api.github.com/user", headers=_GITHUB),
            Ask(
                name="emails",
                url="https://api.github.com/user/emails",
                headers=_GITHUB,
                optional=True,
                wanted=lambda answers: not profiles.email(profiles.member(answers.get("me"), "email")),
            ),
        ),
        read=profiles.github,
    ),
    Social(
        name="linkedin",
        prefix="in",
        token=TokenCall(url="https://www.linkedin.com/oauth/v2/accessToken"),
        asks=(
            Ask(
                name="me",
                url=f"{_LINKEDIN}/me?projection=(id,firstName,lastName,profilePicture(displayImage~:playableStreams))",
                headers=_BEARER_JSON,
                instead=Ask(name="userinfo", url=f"{_LINKEDIN}/userinfo", headers=_BEARER_JSON),
            ),
            Ask(
                name="email",
                url=f"{_LINKEDIN}/emailAddress?projection=(elements*(handle~))&q=members",
                headers=_BEARER_JSON,
                optional=True,
                wanted=lambda answers: "me" in answers,
            ),
        ),
        read=profiles.linkedin,
    ),
    Social(
        name="microsoft",
        prefix="ms",
        token=TokenCall(url="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token", form={"scope": _USER_READ}),
        asks=(Ask(name="me", url="https://graph.microsoft.com/v1.0/me", headers=_BEARER_JSON),),
        read=profiles.microsoft,
        # Graph has verified the token when it answered `me`; who is not Graph cannot.
        audience=Audience(ask=None, read=lambda answer, token: profiles.text(profiles.claims_of(token).get("appid"))),
        photo=Ask(name="photo", url="https://graph.microsoft.com/v1.0/me/photo/$value", headers=_BEARER),
    ),
    Social(
        name="slack",
        prefix="sl",
        token=TokenCall(
            url="https://slack.com/api/oauth.v2.access", grant_type=False, accept_json=True, within="authed_user"
        ),
        asks=(Ask(name="me", url="https://slack.com/api/users.identity", headers=_BEARER),),
        read=profiles.slack,
    ),
    Social(
        name="amazon",
        prefix="az",
        token=TokenCall(url="https://api.amazon.com/auth/o2/token", accept_json=True),
        asks=(
            Ask(
                name="me",
                url="https://api.amazon.com/user/profile",
                headers={"x-amz-access-token": "{token}", "Accept": "application/json"},
            ),
        ),
        read=profiles.amazon,
        audience=Audience(
            ask=Ask(name="audience", url="https://api.amazon.com/auth/o2/tokeninfo", query={"access_token": "{token}"}),
            read=lambda answer, token: profiles.text(profiles.member(answer, "aud")),
        ),
    ),
)
"""Every provider at fixed addresses. Mattermost has keys and a prefix, and no addresses: nobody can sign in with it."""
