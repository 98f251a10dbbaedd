"""A local HTTP server that plays the providers of sign-ins, with the answers of their public documentation.

It stands for all hosts: `https://api.github.com/user` is `/api.github.com/user` here. A call with the wrong token, code
or keys gets the refusal that the provider documents. `spoil` makes one path answer something else.
"""

import asyncio
import base64
import hmac
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from aiohttp import web

CLIENT = "client-1"
SECRET = "s3cret of the client"
CODE = "SplxlOBeZQQYbYS6WxSbIA"
BACK = "https://shop.example/back?appid=app:shop"
TOKEN = "EAACEdEose0cBA.token-1"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
Spoil = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Call(NamedTuple):
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    form: dict[str, str]


def jwt(**claims: Any) -> str:
    """A token with these claims and a signature that only its maker could check."""
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts), "c2ln"])


TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
MICROSOFT_TOKEN = jwt(aud="00000003-0000-0000-c000-000000000000", appid=CLIENT, tid=TENANT)
TOKENS = {"microsoft": MICROSOFT_TOKEN, "twitter": "7588892-kagSNqWge8gB1WwE3plnFsJHAZVfxWD7Vb57p0b4:PbKfYqSryyeKDWz4"}

LINKEDIN_ME: dict[str, Any] = {
    "firstName": {"localized": {"en_US": "Bob"}, "preferredLocale": {"country": "US", "language": "en"}},
    "lastName": {"localized": {"en_US": "Smith"}, "preferredLocale": {"country": "US", "language": "en"}},
    "profilePicture": {
        "displayImage": "urn:li:digitalmediaAsset:C4D00AAAAbBCDEFGhiJ",
        "displayImage~": {
            "elements": [
                {"identifiers": [{"identifier": "https://media.licdn.com/dms/image/C4/profile-100_100/0?e=1&v=beta"}]},
                {"identifiers": [{"identifier": "https://media.licdn.com/dms/image/C4/profile-400_400/0?e=1&v=beta"}]},
                {"identifiers": [{"identifier": "https://media.licdn.com/dms/image/C4/profile-800_800/0?e=1&v=beta"}]},
            ]
        },
    },
    "id": "yrZCpj2Z12",
}

DOCUMENTED: dict[str, Any] = {
    "graph.facebook.com/me": {
        "id": "10224930292",
        "name": "Jane Doe",
        "email": "jane@example.com",
        "picture": {"data": {"height": 400, "is_silhouette": False, "url": "https://platform.example/p", "width": 400}},
    },
    "graph.facebook.com/debug_token": {
        "data": {"app_id": CLIENT, "type": "USER", "is_valid": True, "user_id": "10224930292", "scopes": ["email"]}
    },
    "www.googleapis.com/oauth2/v3/userinfo": {
        "sub": "110169484474386276334",
        "name": "Jane Doe",
        "given_name": "Jane",
        "family_name": "Doe",
        "picture": "https://lh3.googleusercontent.com/a/photo=s96-c?sz=50",
        "email": "jane@example.com",
        "email_verified": True,
    },
    "oauth2.googleapis.com/tokeninfo": {"aud": CLIENT, "sub": "110169484474386276334", "expires_in": "3599"},
    "api.github.com/user": {
        "login": "octocat",
        "id": 583231,
        "avatar_url": "https://avatars.githubusercontent.com/u/583231?v=4",
        "name": "monalisa octocat",
        "email": None,
    },
    "api.github.com/user/emails": [
        {"email": "other@example.com", "verified": True, "primary": False, "visibility": None},
        {"email": "octocat@github.example", "verified": True, "primary": True, "visibility": "public"},
    ],
    "api.linkedin.com/v2/me": LINKEDIN_ME,
    "api.linkedin.com/v2/emailAddress": {
        "elements": [{"handle": "urn:li:emailAddress:3775708763", "handle~": {"emailAddress": "bob@example.com"}}]
    },
    "api.linkedin.com/v2/userinfo": {
        "sub": "782bbtaQ",
        "name": "John Doe",
        "given_name": "John",
        "family_name": "Doe",
        "picture": "https://media.licdn-ei.com/dms/image/C5F03AQHqK8v7tB1HCQ/profile-displayphoto-shrink_100_100/0/",
        "locale": "en-US",
        "email": "doe@example.com",
        "email_verified": True,
    },
    "graph.microsoft.com/v1.0/me": {
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users/$entity",
        "displayName": "Adele Vance",
        "mail": "AdeleV@contoso.example",
        "userPrincipalName": "adelev@contoso.onmicrosoft.com",
        "id": "87d349ed-44d7-43e1-9a83-5f2406dee5bd",
    },
    "slack.com/api/users.identity": {
        "ok": True,
        "user": {
            "name": "Sonny Whether",
            "id": "U0G9QF9C6",
            "email": "bobby@example.com",
            "image_512": "https://cdn.example.com/sonny_512.jpg",
        },
        "team": {"id": "T0G9PQBBK", "name": "Captain Fabian's Naval Supply"},
    },
    "api.amazon.com/user/profile": {
        "user_id": "amzn1.account.K2LI23KL2LK2",
        "email": "mhashimoto-04@plaxo.example",
        "name": "Mork Hashimoto",
        "postal_code": "98052",
    },
    "api.amazon.com/auth/o2/tokeninfo": {
        "aud": CLIENT,
        "user_id": "amzn1.account.K2LI23KL2LK2",
        "iss": "https://www.amazon.com",
        "exp": 3597,
    },
    "api.twitter.com/1.1/account/verify_credentials.json": {
        "id": 38895958,
        "id_str": "38895958",
        "name": "Sean Cook",
        "screen_name": "theSeanCook",
        "email": "sean@example.com",
        "profile_image_url_https": "https://si0.twimg.com/profile_images/1751506047/dead_sexy_normal.JPG?x=1",
    },
}
"""Path -> the answer to a good call, from the providers' public documentation."""

UNAUTHORISED = {"error": {"message": "Invalid OAuth access token.", "type": "OAuthException", "code": 190}}


class Providers:
    """The server; `url` is what stands for `https://`."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, Any] = dict(DOCUMENTED)
        self.url = ""
        self._spoilt: dict[str, Spoil] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Serve on a free port of loopback."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """End it."""
        if self._runner is not None:
            await self._runner.cleanup()

    def spoil(self, path: str, how: Spoil) -> None:
        """Have one path answered otherwise."""
        self._spoilt[path] = how

    def heal(self) -> None:
        """All paths as documented again."""
        self._spoilt.clear()
        self.answers = dict(DOCUMENTED)

    def paths(self) -> list[str]:
        """What was called so far."""
        return [call.path for call in self.calls]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/")
        headers = {name.lower(): value for name, value in request.headers.items()}
        form = {name: str(value) for name, value in (await request.post()).items()}
        call = Call(request.method, path, dict(request.query), headers, form)
        self.calls.append(call)
        if path in self._spoilt:
            return await self._spoilt[path](request)
        if path in GRANTS:
            return self._grant(call)
        if path in ("graph.microsoft.com/v1.0/me/photo/$value", "idp.example/picture"):
            return web.Response(body=PNG, content_type="image/jpeg")
        if path.startswith("api.twitter.com/oauth/"):
            return twitter(call)
        if path not in self.answers:
            return web.json_response({"message": "Not Found"}, status=404)
        if not admitted(call):
            return web.json_response(UNAUTHORISED, status=401)
        return web.json_response(self.answers[path])

    def _grant(self, call: Call) -> web.Response:
        """A token for the code, if all is as the provider documents it."""
        method, granted, grant_type, more = GRANTS[call.path]
        given = call.query if method == "GET" else call.form
        wanted = {"code": CODE, "redirect_uri": BACK, "client_id": CLIENT, "client_secret": SECRET, **more}
        if grant_type:
            wanted["grant_type"] = "authorization_code"
        if call.method != method or given != wanted:
            return web.json_response({"error": "invalid_grant", "error_description": "for <you> only"}, status=400)
        return web.json_response(granted)


GRANTS: Mapping[str, tuple[str, dict[str, Any], bool, dict[str, str]]] = {
    "graph.facebook.com/oauth/access_token": (
        "GET",
        {"access_token": TOKEN, "token_type": "bearer", "expires_in": 5183944},
        False,
        {},
    ),
    "www.googleapis.com/oauth2/v4/token": (
        "POST",
        {"access_token": TOKEN, "expires_in": 3920, "token_type": "Bearer", "scope": "openid"},
        True,
        {},
    ),
    "github.com/login/oauth/access_token": (
        "POST",
        {"access_token": TOKEN, "scope": "user:email", "token_type": "bearer"},
        False,
        {},
    ),
    "www.linkedin.com/oauth/v2/accessToken": ("POST", {"access_token": TOKEN, "expires_in": 5184000}, True, {}),
    "login.microsoftonline.com/common/oauth2/v2.0/token": (
        "POST",
        {"token_type": "Bearer", "expires_in": 3736, "access_token": MICROSOFT_TOKEN},
        True,
        {"scope": "https://graph.microsoft.com/user.read"},
    ),
    "slack.com/api/oauth.v2.access": (
        "POST",
        {"ok": True, "access_token": "xoxb-bot", "authed_user": {"id": "U1234", "access_token": TOKEN}},
        False,
        {},
    ),
    "api.amazon.com/auth/o2/token": (
        "POST",
        {"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600, "refresh_token": "Atzr|IQEBLz"},
        True,
        {},
    ),
}
"""Token endpoint -> method, answer, whether it needs `grant_type`, what else it needs."""

_TOKEN_IN_QUERY = {
    "graph.facebook.com/me": "access_token",
    "graph.facebook.com/debug_token": "input_token",
    "oauth2.googleapis.com/tokeninfo": "access_token",
    "api.amazon.com/auth/o2/tokeninfo": "access_token",
}


def admitted(call: Call) -> bool:
    """Whether a call carries the token the way its provider wants it."""
    if parameter := _TOKEN_IN_QUERY.get(call.path):
        return call.query.get(parameter) == TOKEN
    sent = call.headers.get("authorization", "")
    if call.path.startswith("api.github.com/"):
        return sent == f"token {TOKEN}" and "user-agent" in call.headers
    if call.path.startswith("api.amazon.com/"):
        return call.headers.get("x-amz-access-token") == TOKEN
    if call.path.startswith("graph.microsoft.com/"):
        return sent == f"Bearer {MICROSOFT_TOKEN}"
    if call.path.startswith("api.twitter.com/"):
        return signed_by_twitters_rules(call, *TOKENS["twitter"].split(":"))
    return sent == f"Bearer {TOKEN}"


# --- Twitter: OAuth 1.0a

REQUEST_TOKEN = ("NPcudxy0yU5T3tBzho7iCotZ3cnetKwcTIRlX0iwRl0", "veNRnAWe6inFuo8o2u8SLLZLjolYDmDP7SzL0YfYI")
VERIFIER = "uw7NjWHT6OJ1MpJOXsHfNxoAhPKpgI8BlYDhxEjIBY"


def twitter(call: Call) -> web.Response:
    """Request and access tokens."""
    if call.path.endswith("/request_token"):
        if call.method != "POST" or not signed_by_twitters_rules(call, "", ""):
            return web.json_response({"errors": [{"code": 32, "message": "Could not authenticate you."}]}, status=401)
        text = f"oauth_token={REQUEST_TOKEN[0]}&oauth_token_secret={REQUEST_TOKEN[1]}&oauth_callback_confirmed=true"
        return web.Response(text=text)
    good = call.form == {"oauth_verifier": VERIFIER} and signed_by_twitters_rules(call, *REQUEST_TOKEN)
    if call.path.endswith("/access_token") and good:
        token, secret = TOKENS["twitter"].split(":")
        text = f"oauth_token={token}&oauth_token_secret={secret}&user_id=38895958&screen_name=theSeanCook"
        return web.Response(text=text)
    return web.json_response({"errors": [{"code": 89, "message": "Invalid or expired token."}]}, status=401)


def signed_by_twitters_rules(call: Call, token: str, secret: str) -> bool:
    """Whether the signature is RFC 5849's, computed anew, for the address that Twitter would see."""
    header = call.headers.get("authorization", "")
    if not header.startswith("OAuth "):
        return False
    oauth = {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', header)}
    given = oauth.pop("oauth_signature", "")
    if oauth.get("oauth_consumer_key") != CLIENT or oauth.get("oauth_token", "") != token:
        return False
    pairs = sorted((escape(name), escape(value)) for name, value in {**oauth, **call.query, **call.form}.items())
    normal = "&".join(f"{name}={value}" for name, value in pairs)
    base = "&".join((call.method, escape(f"https://{call.path}"), escape(normal)))
    key = f"{escape(SECRET)}&{escape(secret)}"
    return base64.b64encode(hmac.digest(key.encode(), base.encode(), "sha1")).decode() == given


def escape(text: str) -> str:
    """RFC 3986, as OAuth wants it."""
    return quote(text, safe="-._~")


# --- ways to go wrong


def answering(status: int, body: bytes | str = b"", content_type: str = "application/json", **headers: str) -> Spoil:
    """This answer, to everybody."""

    async def answer(request: web.Request) -> web.StreamResponse:
        data = body.encode() if isinstance(body, str) else body
        return web.Response(status=status, body=data, content_type=content_type, headers=headers)

    return answer


async def silence(request: web.Request) -> web.StreamResponse:
    """No answer for as long as anybody listens."""
    await asyncio.sleep(60)
    return web.Response()


async def trickle(request: web.Request) -> web.StreamResponse:
    """A head, and then a byte now and then."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(600):
        await response.write(b" ")
        await asyncio.sleep(0.1)
    return response


async def flood(request: web.Request) -> web.StreamResponse:
    """A valid profile after endless blanks."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1024):
        await response.write(b" " * 65_536)
    return response


async def hang_up(request: web.Request) -> web.StreamResponse:
    """The connection is cut."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def playing() -> AsyncIterator[Providers]:
    """A server while it lasts."""
    server = Providers()
    await server.start()
    try:
        yield server
    finally:
        await server.close()
