"""Promise: a provider that an app configures itself signs people in by its profile alone, and by an ID token only what
its issuer has signed for us; it leads our server nowhere inside; where it has the last word, that is at every request.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from support.aio import run
from support.environment import ManualClock
from support.providers import BACK, CLIENT, CODE, PNG, SECRET, answering, hang_up, playing
from support.signing_in import APP, Here, here
from thingstead.core.signin.signing import SignedIn
from thingstead.core.tenants import App
from thingstead.model.errors import InvalidToken
from thingstead.model.users import Delegated, Picture

LOOPBACK = "127.0.0.0/8"
ME = {"sub": "248289761001", "name": "Jane Doe", "email": "jane@example.com", "email_verified": True}


class Idp:
    """A provider of OpenID Connect on the local server: RFC 6749's token endpoint, a profile, its keys."""

    def __init__(self, this: Here) -> None:
        from joserfc.jwk import ECKey, RSAKey

        self.this = this
        self.url = f"{this.server.url}/idp"
        self.me: dict[str, Any] = dict(ME)
        self.good = {"access-1"}  # tokens that open the profile
        self.fresh: dict[str, dict[str, Any]] = {}  # refresh token -> answer
        self.granted: dict[str, Any] = {"access_token": "access-1", "token_type": "Bearer"}
        self.rsa = RSAKey.generate_key(2048, {"kid": "r1"})
        self.ec = ECKey.generate_key("P-256", {"kid": "e1"})
        self.published = [self.rsa.as_dict(private=False), self.ec.as_dict(private=False)]
        self.says = self.url  # as its own issuer
        this.server.spoil("idp/token", self._token)
        this.server.spoil("idp/me", self._profile)
        this.server.spoil("idp/.well-known/openid-configuration", self._described)
        this.server.spoil("idp/keys", self._keys)

    async def configure(self, alias: str = "", **more: Any) -> App:
        """The app, with this provider as one of the three."""
        prefix = f"security__oauth{alias}__"
        own = {prefix + "profile_url": f"{self.url}/me", prefix + "token_url": f"{self.url}/token"}
        keys = {f"oa2{alias}_app_id": CLIENT, f"oa2{alias}_secret": SECRET}
        return await self.this.configure(**{**own, **keys, **{prefix + name: value for name, value in more.items()}})

    def id_token(self, key: Any = None, alg: str = "RS256", **change: Any) -> str:
        """An ID token for us; `change` are other claims."""
        from joserfc import jwt

        now = self.this.backend.clock.now() // 1_000_000
        claims = {"iss": self.url, "aud": CLIENT, "sub": ME["sub"], "iat": now, "exp": now + 300, **change}
        key = key or self.rsa
        return jwt.encode({"alg": alg, "kid": key.kid}, claims, key, algorithms=[alg])

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = dict(await request.post())
        keys = {"client_id": CLIENT, "client_secret": SECRET}
        if form == {"grant_type": "authorization_code", "code": CODE, "redirect_uri": BACK, **keys}:
            return web.json_response(self.granted)
        answer = self.fresh.pop(str(form.get("refresh_token")), None)
        if answer is not None and form["grant_type"] == "refresh_token" and keys.items() <= form.items():
            self.good = {answer["access_token"]}
            return web.json_response(answer)
        return web.json_response({"error": "invalid_grant"}, status=400)

    async def _profile(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") not in {f"Bearer {token}" for token in self.good}:
            return web.json_response({"error": "invalid_token"}, status=401)
        return web.json_response(self.me)

    async def _described(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"issuer": self.says, "jwks_uri": f"{self.url}/keys"})

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"keys": self.published})


@pytest.mark.parametrize("alias", ["", "second", "third"])
def test_each_of_the_three_takes_codes_and_tokens(alias: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path, allow=LOOPBACK) as this:
            idp = Idp(this)
            app = await idp.configure(alias, accept_header="application/json")
            provider = this.social.generic[f"oauth2{alias}"]
            token = await provider.exchange(app, CODE, BACK)
            assert token == "access-1"
            for given in (token, token, f"{token}:refresh", f"{token}:refresh:anything.at.all", f"{token}::x"):
                found = await provider.prove(app, given)
                assert (found.identifier, found.email_proven, found.delegated) == (
                    f"oa2{alias}:248289761001",
                    True,
                    None,
                )
            accepts = {call.headers.get("accept") for call in this.server.calls}
            assert accepts == {"application/json"}
            others = [each for name, each in this.social.generic.items() if name != f"oauth2{alias}"]
            for other in others:
                assert await this.refusal(other.prove(app, token)) == "not_configured"
                assert await this.refusal(other.exchange(app, CODE, BACK)) == "not_configured"

    run(work())


def test_the_profile_must_answer_and_name_somebody(tmp_path: Path) -> None:
    """Also if a caller brings an ID token that says who he is (identity.md 17)."""

    async def work() -> None:
        async with here(tmp_path, allow=LOOPBACK) as this:
            idp = Idp(this)
            app = await idp.configure(issuer=idp.url)
            provider = this.social.generic["oauth2"]
            mine = idp.id_token()
            assert await this.refusal(provider.prove(app, f"wrong::{mine}")) == "provider_refused"
            idp.me = {"name": "Jane"}
            assert await this.refusal(provider.prove(app, f"access-1::{mine}")) == "nobody_named"
            idp.me = {"sub": "1"}
            found = await provider.prove(app, f"access-1::{idp.id_token(sub='1', email='boss@example.com')}")
            assert (found.identifier, found.email) == ("oa2:1", "")
            assert "idp/keys" not in this.server.paths()

    run(work())


SIGNED: dict[str, tuple[dict[str, Any], str]] = {
    "good": ({}, ""),
    "another issuer": ({"iss": "https://evil.example"}, "id_token"),
    "another client": ({"aud": "another"}, "id_token"),
    "several clients": ({"aud": [CLIENT, "another"]}, "id_token"),
    "expired": ({"exp": 1}, "id_token"),
    "from the future": ({"iat": 1 << 40}, "id_token"),
    "another access token": ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "id_token"),
    "somebody else": ({"sub": "7"}, "nobody_named"),
}


def test_an_id_token_counts_only_from_the_token_endpoint_and_verified(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path, allow=LOOPBACK) as this:
            idp = Idp(this)
            idp.me = {"sub": ME["sub"]}
            provider = this.social.generic["oauth2"]
            app = await idp.configure(issuer=idp.url)

            async def outcome(token: str) -> str:
                idp.granted["id_token"] = token
                try:
                    found = await provider.prove(app, await provider.exchange(app, CODE, BACK))
                except Exception as error:
                    return getattr(error, "details", {}).get("reason", repr(error))
                assert (found.name, found.email, found.email_proven) == ("Jane", "j@example.com", True)
                return ""

            more = {"name": "Jane", "email": "j@example.com", "email_verified": True}
            for what, (change, expected) in SIGNED.items():
                assert (what, await outcome(idp.id_token(**more, **change))) == (what, expected)
            assert await outcome(idp.id_token(idp.ec, "ES256", **more)) == ""

            from joserfc.jwk import OctKey, RSAKey

            stranger = RSAKey.generate_key(2048, {"kid": "r1"})
            assert await outcome(idp.id_token(stranger, **more)) == "id_token"
            shared = OctKey.import_key(json.dumps(idp.published[0]), {"kid": "r1"})
            assert await outcome(idp.id_token(shared, "HS256", **more)) == "id_token"
            head, body, _ = idp.id_token(**more).split(".")
            assert await outcome(f"eyJhbGciOiJub25lIn0.{body}.") == "id_token"
            assert await outcome(f"{head}.{body}.AAAA") == "id_token"
            assert await outcome("not.a.token") == "id_token"
            idp.published = [{"kty": "oct", "k": "c2VjcmV0"}, 5, {"kty": "RSA"}]  # type: ignore[list-item]
            assert await outcome(idp.id_token(stranger, **more)) == "id_token"
            app = await idp.configure()
            idp.granted["id_token"] = idp.id_token(stranger, **more)
            found = await provider.prove(app, await provider.exchange(app, CODE, BACK))
            assert (found.name, found.email) == ("", "")  # without an issuer nothing of it is believed

    run(work())


def test_keys_of_an_issuer_are_kept_for_a_while_and_asked_for_when_they_change(tmp_path: Path) -> None:
    async def work() -> None:
        clock = ManualClock()
        async with here(tmp_path, allow=LOOPBACK, clock=clock) as this:
            idp = Idp(this)
            app = await idp.configure(issuer=idp.url)
            provider = this.social.generic["oauth2"]

            async def asked() -> int:
                idp.granted["id_token"] = idp.id_token()
                this.server.calls.clear()
                await provider.exchange(app, CODE, BACK)
                return this.server.paths().count("idp/keys")

            assert [await asked(), await asked()] == [1, 0]
            clock.advance(601)
            assert [await asked(), await asked()] == [1, 0]
            from joserfc.jwk import RSAKey

            idp.rsa = RSAKey.generate_key(2048, {"kid": "r2"})
            idp.published = [idp.rsa.as_dict(private=False)]
            assert [await asked(), await asked()] == [1, 0]
            clock.advance(601)
            idp.says = "https://evil.example"
            idp.granted["id_token"] = idp.id_token()
            assert await this.refusal(provider.exchange(app, CODE, BACK)) == "id_token"

    run(work())


def test_what_an_app_names_leads_nowhere_inside_what_the_configuration_names_may(tmp_path: Path) -> None:
    """And redirects are not followed."""

    async def work() -> None:
        async with here(tmp_path) as this:
            idp = Idp(this)
            app = await idp.configure()
            provider = this.social.generic["oauth2"]
            assert await this.refusal(provider.prove(app, "access-1")) == "unreachable"
            assert await this.refusal(provider.exchange(app, CODE, BACK)) == "unreachable"
            for url in ("http://localhost:1/", "http://[::1]:1/", "http://169.254.169.254/", "file:///etc/passwd", "x"):
                app = await idp.configure(profile_url=url)
                assert await this.refusal(provider.prove(app, "access-1")) == "unreachable"
            assert this.server.calls == []
            await this.backend.tenants.put_setting("para", "security.oauth.profile_url", f"{idp.url}/me")
            assert await this.refusal(provider.prove(await this.app("para"), "access-1")) == "unreachable"
        async with playing() as idp_of_the_operator:
            idp_of_the_operator.spoil("me", answering(200, json.dumps(ME)))
            per_app = {"security.oauth.profile_url": f"{idp_of_the_operator.url}/me"}
            await configured(tmp_path / "other", per_app)
        async with here(tmp_path / "third", allow=LOOPBACK) as this:
            idp = Idp(this)
            app = await idp.configure()
            this.server.spoil("idp/me", answering(302, Location=f"{this.server.url}/idp/other"))
            assert await this.refusal(this.social.generic["oauth2"].prove(app, "access-1")) == "provider_error"
            assert "idp/other" not in this.server.paths()

    async def configured(directory: Path, per_app: dict[str, str]) -> None:
        async with here(directory, per_app=per_app) as this:
            found = await this.social.generic["oauth2"].prove(await this.app("para"), "access-1")
            assert found.identifier == "oa2:248289761001"
            app = await this.configure()
            assert await this.refusal(this.social.generic["oauth2"].prove(app, "access-1")) == "not_configured"

    run(work())


def test_pictures_are_fetched_if_asked_for_with_the_token_only_where_the_profile_is(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path, allow=LOOPBACK) as this:
            idp = Idp(this)
            provider = this.social.generic["oauth2"]
            elsewhere = this.server.url.replace("127.0.0.1", "localhost") + "/idp.example/picture"
            idp.me["picture"] = f"{this.server.url}/idp.example/picture"
            assert (await provider.prove(await idp.configure(), "access-1")).avatar is None
            app = await idp.configure(download_avatars=True)
            assert (await provider.prove(app, "access-1")).avatar == Picture("png", PNG)
            assert this.server.calls[-1].headers["authorization"] == "Bearer access-1"
            idp.me["picture"] = elsewhere
            assert (await provider.prove(app, "access-1")).avatar == Picture("png", PNG)
            assert "authorization" not in this.server.calls[-1].headers
            for spoil in (answering(404), answering(200, "<svg/>", "image/svg+xml"), hang_up):
                this.server.spoil("idp.example/picture", spoil)
                found = await provider.prove(app, "access-1")
                assert (found.avatar, found.picture) == (None, elsewhere)

    run(work())


# --- the provider has the last word (identity.md 8.4)


async def signed_in(this: Here, token: str) -> SignedIn:
    return await this.backend.signin.with_token(await this.app(), "oauth2", token)


async def refused(this: Here, token: str) -> bool:
    """Whether a request with this token of ours is."""
    try:
        return (await this.backend.identity.bearer(token)).kind != "user"
    except InvalidToken:
        return True


async def kept(this: Here, user: str) -> Delegated | None:
    """The tokens that stay with a user, opened."""
    from thingstead.core.delegated import DelegatedTokens
    from thingstead.core.sealing import Sealer

    sealer = Sealer(b"k" * 32, this.backend.entropy)
    return DelegatedTokens(sealer).of(await this.backend.objects.get(APP, user))


def test_a_delegated_user_is_confirmed_at_every_request(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path, allow=LOOPBACK) as this:
            idp = Idp(this)
            await idp.configure(token_delegation_enabled=True)
            token = (await signed_in(this, "access-1:")).token
            for _ in range(3):
                this.server.calls.clear()
                assert not await refused(this, token)
                assert this.server.paths() == ["idp/me"]
            for spoil in (answering(401), answering(500), answering(200, "{}"), hang_up, answering(200, '{"sub":"7"}')):
                this.server.spoil("idp/me", spoil)
                assert await refused(this, token)
            this.server.spoil("idp/me", idp._profile)
            assert not await refused(this, token)
            idp.good = set()
            assert await refused(this, token)
            idp.good = {"access-1"}
            await idp.configure(token_delegation_enabled=False)
            this.server.calls.clear()
            assert not await refused(this, token)
            assert this.server.calls == []

    run(work())


def test_a_user_without_delegation_costs_no_call(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path, allow=LOOPBACK) as this:
            idp = Idp(this)
            await idp.configure()
            signed = await signed_in(this, "access-1:refresh-1")
            this.server.calls.clear()
            idp.good = set()
            assert not await refused(this, signed.token)
            assert this.server.calls == []
            assert await kept(this, signed.user.id) is None

    run(work())


def test_an_expired_token_is_refreshed_once_for_all_who_wait(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path, allow=LOOPBACK) as this:
            idp = Idp(this)
            await idp.configure(token_delegation_enabled=True)
            signed = await signed_in(this, "access-1:refresh-1")
            assert await kept(this, signed.user.id) == Delegated("access-1", "refresh-1")
            idp.good = {"access-2"}
            idp.fresh = {"refresh-1": {"access_token": "access-2", "refresh_token": "refresh-2"}}
            assert not any(await asyncio.gather(*(refused(this, signed.token) for _ in range(20))))
            assert this.server.paths().count("idp/token") == 1
            assert await kept(this, signed.user.id) == Delegated("access-2", "refresh-2")
            idp.fresh = {"refresh-2": {"access_token": "access-3"}}
            idp.good = {"access-3"}
            assert not await refused(this, signed.token)
            assert await kept(this, signed.user.id) == Delegated("access-3", "refresh-2")  # none new: the old goes on
            idp.good = set()
            assert await refused(this, signed.token)

    run(work())


def test_who_hangs_up_takes_no_answer_from_the_others(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path, allow=LOOPBACK) as this:
            idp = Idp(this)
            await idp.configure(token_delegation_enabled=True)
            token = (await signed_in(this, "access-1")).token
            gate = asyncio.Event()

            async def gated(request: web.Request) -> web.StreamResponse:
                await gate.wait()
                return await idp._profile(request)

            this.server.spoil("idp/me", gated)
            first = asyncio.create_task(refused(this, token))
            second = asyncio.create_task(refused(this, token))
            await asyncio.sleep(0)
            first.cancel()
            gate.set()
            assert await second is False

    run(work())


def test_delegated_tokens_are_sealed_stored_nowhere_else_and_go_with_the_provider(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path, allow=LOOPBACK) as this:
            idp = Idp(this)
            await idp.configure(token_delegation_enabled=True, issuer=idp.url)
            idp.granted |= {"refresh_token": "refresh-1", "id_token": idp.id_token()}
            provider = this.social.generic["oauth2"]
            app = await this.app()
            signed = await signed_in(this, await provider.exchange(app, CODE, BACK))
            assert await kept(this, signed.user.id) == Delegated("access-1", "refresh-1", idp.granted["id_token"])
            row = await this.backend.store.objects.get(APP, signed.user.id)
            assert row is not None
            for secret in (b"access-1", b"refresh-1", idp.granted["id_token"].encode()):
                assert secret not in row.public + (row.private or b"") + signed.public
            await idp.configure()
            await signed_in(this, "access-1")
            assert await kept(this, signed.user.id) is None

    run(work())


def test_an_unknown_address_is_made_of_the_providers_id(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path, allow=LOOPBACK) as this:
            idp = Idp(this)
            await idp.configure(domain="corp.example")
            idp.me = {"sub": "u7"}
            signed = await signed_in(this, "access-1")
            assert signed.user.own["email"] == "u7@corp.example"
            assert signed.user.name == "No Name"
            idp.me = {"sub": "u7", "email": "real@example.com", "name": "Jane"}
            assert (await signed_in(this, "access-1")).user.own["email"] == "real@example.com"
            idp.me = {"sub": "u7"}
            signed = await signed_in(this, "access-1")
            assert (signed.user.own["email"], signed.user.name) == ("real@example.com", "Jane")

    run(work())
