"""Promise: with every provider of identity.md 8.2-8.4, exactly the calls that it documents are made, and its documented
answers prove a person; nothing that a provider, or somebody in its place, answers does more than fail that sign-in.
"""

import asyncio
import time
from pathlib import Path

import pytest

from support import providers as playing
from support.aio import run
from support.providers import BACK, CLIENT, CODE, PNG, SECRET, TENANT, TOKEN, TOKENS, Spoil, answering, jwt
from support.signing_in import APP, here
from thingstead.core.signin.oauth import OAuth
from thingstead.model.oauth import SOCIAL
from thingstead.model.users import Picture

NAMES = [known.name for known in SOCIAL]
IDENTIFIERS = {
    "facebook": "fb:10224930292",
    "google": "gp:110169484474386276334",
    "github": "gh:583231",
    "linkedin": "in:yrZCpj2Z12",
    "microsoft": "ms:87d349ed-44d7-43e1-9a83-5f2406dee5bd",
    "slack": "sl:U0G9QF9C6:T0G9PQBBK",
    "amazon": "az:amzn1.account.K2LI23KL2LK2",
    "twitter": "tw:38895958",
}
ME = {
    "facebook": "graph.facebook.com/me",
    "google": "www.googleapis.com/oauth2/v3/userinfo",
    "github": "api.github.com/user",
    "linkedin": "api.linkedin.com/v2/userinfo",  # the last that is asked
    "microsoft": "graph.microsoft.com/v1.0/me",
    "slack": "slack.com/api/users.identity",
    "amazon": "api.amazon.com/user/profile",
    "twitter": "api.twitter.com/1.1/account/verify_credentials.json",
}
GRANT = {known.name: known.token.url.removeprefix("https://").replace("{tenant}", "common") for known in SOCIAL}


def test_a_token_of_each_provider_proves_its_person(tmp_path: Path) -> None:
    """Needs no keys (identity.md 8.1), but for Twitter; the local server checks how each call carries the token."""

    async def work() -> None:
        async with here(tmp_path) as this:
            for name in NAMES:
                assert (await this.prove(name)).identifier == IDENTIFIERS[name]
            await this.keys("twitter")
            assert (await this.prove("twitter")).identifier == IDENTIFIERS["twitter"]

    run(work())


def test_a_code_becomes_a_token_that_proves_the_person(tmp_path: Path) -> None:
    """The local server wants the documented form, to the member. Nobody is asked then for whom the token is."""

    async def work() -> None:
        async with here(tmp_path) as this:
            for name in NAMES:
                app = await this.keys(name)
                provider = this.social.fixed[name]
                token = await provider.exchange(app, CODE, BACK)
                assert token == TOKENS.get(name, TOKEN)
                this.server.calls.clear()
                assert (await provider.prove(app, token)).identifier == IDENTIFIERS[name]
                assert not {"graph.facebook.com/debug_token", "oauth2.googleapis.com/tokeninfo"} & set(
                    this.server.paths()
                )
                assert "api.amazon.com/auth/o2/tokeninfo" not in this.server.paths()

    run(work())


def test_keys_count_only_as_a_pair_and_roots_configuration_only_for_root(tmp_path: Path) -> None:
    async def work() -> None:
        per_app = {"gp_app_id": CLIENT, "gp_secret": SECRET}
        async with here(tmp_path, per_app=per_app) as this:
            google = this.social.fixed["google"]
            root = await this.app("para")
            assert await google.exchange(root, CODE, BACK) == TOKEN
            child = await this.configure(gp_app_id=CLIENT)
            assert await this.refusal(google.exchange(child, CODE, BACK)) == "not_configured"
            child = await this.configure(gp_app_id=CLIENT, gp_secret="")
            assert await this.refusal(google.exchange(child, CODE, BACK)) == "not_configured"
            await this.backend.tenants.put_setting("para", "gp_app_id", "half a pair")
            assert await google.exchange(await this.app("para"), CODE, BACK) == TOKEN  # the configuration's, whole
            child = await this.configure(gp_app_id="another", gp_secret="one")
            assert await this.refusal(google.exchange(child, CODE, BACK)) == "provider_refused"

    run(work())


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_code_is_refused_and_so_is_a_strange_answer(name: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            app = await this.keys(name)
            provider = this.social.fixed[name]
            assert await this.refusal(provider.exchange(app, "wrong", BACK)) == "provider_refused"
            assert await this.refusal(provider.exchange(app, CODE, "https://evil.example/")) == "provider_refused"
            for body in ('{"error":"bad_verification_code"}', "[]", "", "<html>", '{"access_token":5}', "\0"):
                this.server.spoil(GRANT[name], answering(200, body))
                assert await this.refusal(provider.exchange(app, CODE, BACK)) == "code_refused"
            this.server.spoil(GRANT[name], answering(200, '{"access_token":"a\\r\\nb"}'))
            assert await this.refusal(provider.exchange(app, CODE, BACK)) == "code_refused"
            this.server.spoil(GRANT[name], answering(503, "no"))
            assert await this.refusal(provider.exchange(app, CODE, BACK)) == "provider_error"

    run(work())


def test_facebooks_old_form_is_read(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            app = await this.keys("facebook")
            this.server.spoil(GRANT["facebook"], answering(200, f"access_token={TOKEN}&expires=5", "text/plain"))
            assert await this.social.fixed["facebook"].exchange(app, CODE, BACK) == TOKEN

    run(work())


FAULTS: dict[str, tuple[Spoil, str]] = {
    "400": (answering(400, '{"error":"x"}'), "provider_refused"),
    "401": (answering(401, '{"error":"x"}'), "provider_refused"),
    "403": (answering(403, "<h1>no</h1>", "text/html"), "provider_refused"),
    "404": (answering(404), "provider_refused"),
    "429": (answering(429, '{"message":"API rate limit exceeded"}'), "provider_refused"),
    "500": (answering(500, '{"id":1}'), "provider_error"),
    "503": (answering(503), "provider_error"),
    "201": (answering(201, '{"id":1}'), "provider_error"),
    "redirect": (answering(302, Location="/graph.facebook.com/me"), "provider_error"),
    "a page": (answering(200, "<html>{}</html>", "text/html"), "unreadable_answer"),
    "no JSON": (answering(200, '{"id":'), "unreadable_answer"),
    "not UTF-8": (answering(200, b'{"id":"\xff"}'), "unreadable_answer"),
    "deep": (answering(200, "[" * 100_000), "unreadable_answer"),
    "nothing": (answering(200), "unreadable_answer"),
    "null": (answering(200, "null"), "nobody_named"),
    "a list": (answering(200, "[]"), "nobody_named"),
    "an empty object": (answering(200, "{}"), "nobody_named"),
    "compressed": (answering(200, b"\x1f\x8b\x08", **{"Content-Encoding": "gzip"}), "unreachable"),
    "cut": (playing.hang_up, "unreachable"),
    "huge": (playing.flood, "unreachable"),
}


def test_what_goes_wrong_at_a_provider_only_fails_the_sign_in(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            await this.keys("twitter")
            this.server.spoil("api.linkedin.com/v2/me", answering(403))
            for fault, (spoil, reason) in FAULTS.items():
                for name, path in ME.items():
                    this.server.spoil(path, spoil)
                    found = await this.refusal(this.prove(name))
                    if name == "twitter" and fault in ("null", "a list"):
                        assert found == "unreadable_answer"
                    else:
                        assert (fault, name, found) == (fault, name, reason)

    run(work())


@pytest.mark.parametrize("slow", [playing.silence, playing.trickle])
def test_a_slow_provider_is_given_up_in_time(slow: Spoil, tmp_path: Path) -> None:
    """The limits are 10 s and 30 s (`FETCH_*` of core/outbound); here they are short."""

    async def work() -> None:
        async with here(tmp_path, seconds=0.4) as this:
            for name in ("google", "facebook"):
                this.server.spoil(ME[name], slow)
            started = time.monotonic()
            reasons = await asyncio.gather(*(this.refusal(this.prove(name)) for name in ("google", "facebook")))
            assert reasons == ["unreachable", "unreachable"]
            assert time.monotonic() - started < 4

    run(work())


def test_a_port_where_nobody_listens_and_a_name_that_is_none(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path, connect_seconds=1, seconds=2) as this:
            await this.server.close()
            assert await this.refusal(this.prove("google")) == "unreachable"
            app = await this.configure(security__oauth__profile_url="https://no.such.host.invalid/me")
            assert await this.refusal(this.social.generic["oauth2"].prove(app, TOKEN)) == "unreachable"

    run(work())


def test_tokens_that_are_none_reach_nobody_and_others_prove_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            await this.keys("twitter")
            for token in ("", " ", "a b", "a\r\nX-Evil: 1", "ü", "x" * 20_000):
                for name in (*NAMES, "twitter"):
                    assert await this.refusal(this.prove(name, token)) == "bad_token"
            assert this.server.calls == []
            for token in ("{secret}", "wrong"):
                for name in NAMES:
                    assert await this.refusal(this.prove(name, token)) == "provider_refused"

    run(work())


# --- what else is asked


def test_githubs_addresses_are_asked_for_only_if_the_profile_has_none(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            found = await this.prove("github")
            assert (found.email, found.email_proven) == ("octocat@github.example", True)
            this.server.answers["api.github.com/user"] = {"id": 1, "email": "public@example.com"}
            this.server.calls.clear()
            found = await this.prove("github")
            assert (found.email, found.email_proven) == ("public@example.com", False)
            assert this.server.paths() == ["api.github.com/user"]
            this.server.heal()
            for spoil in (answering(404), answering(500), answering(200, "<html>"), playing.hang_up):
                this.server.spoil("api.github.com/user/emails", spoil)
                found = await this.prove("github")
                assert (found.identifier, found.email, found.fallback) == ("gh:583231", "", "583231@github.com")

    run(work())


def test_linkedins_retired_addresses_give_way_to_the_new_one(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            for status in (400, 401, 403, 404, 410):
                this.server.spoil("api.linkedin.com/v2/me", answering(status, '{"status":403}'))
                this.server.calls.clear()
                found = await this.prove("linkedin")
                assert (found.identifier, found.email) == ("in:782bbtaQ", "doe@example.com")
                assert this.server.paths() == ["api.linkedin.com/v2/me", "api.linkedin.com/v2/userinfo"]
            this.server.spoil("api.linkedin.com/v2/me", answering(500))
            assert await this.refusal(this.prove("linkedin")) == "provider_error"
            this.server.heal()
            this.server.spoil("api.linkedin.com/v2/emailAddress", answering(403))
            found = await this.prove("linkedin")
            assert (found.identifier, found.email, found.name) == ("in:yrZCpj2Z12", "", "Bob Smith")
            [call, *_] = [call for call in this.server.calls if call.path == "api.linkedin.com/v2/me"]
            assert call.query == {"projection": "(id,firstName,lastName,profilePicture(displayImage~:playableStreams))"}

    run(work())


def test_microsofts_photo_is_told_by_its_bytes_and_may_be_missing(tmp_path: Path) -> None:
    async def work() -> None:
        photo = "graph.microsoft.com/v1.0/me/photo/$value"
        async with here(tmp_path) as this:
            assert (await this.prove("microsoft")).avatar == Picture("png", PNG)  # sent as image/jpeg
            for spoil in (
                answering(404, '{"error":{"code":"ImageNotFound"}}'),
                answering(200, "<svg/>", "image/png"),
                answering(302, Location="/x"),
                answering(200, PNG + b"\0" * (2 << 20), "image/png"),
                playing.hang_up,
            ):
                this.server.spoil(photo, spoil)
                assert (await this.prove("microsoft")).avatar is None
            this.server.spoil(photo, answering(200, PNG + b"\0" * (3 << 19), "image/png"))  # 1.5 MiB
            assert (await this.prove("microsoft")).avatar is not None

    run(work())


def test_microsofts_tenant_is_part_of_the_address_and_nothing_else(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            for tenant in ("../x", "a/b", "a?b", "a#b", "%2e", "@evil.example"):
                app = await this.keys("microsoft", ms_tenant_id=tenant)
                assert await this.refusal(this.social.fixed["microsoft"].exchange(app, CODE, BACK)) == "not_configured"
            assert this.server.calls == []
            app = await this.keys("microsoft", ms_tenant_id=TENANT)
            assert await this.refusal(this.social.fixed["microsoft"].exchange(app, CODE, BACK)) == "provider_refused"
            assert this.server.paths() == [f"login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"]
            assert (await this.prove("microsoft")).email_proven  # its `tid` is that tenant
            await this.keys("microsoft", ms_tenant_id="contoso.onmicrosoft.com")
            assert not (await this.prove("microsoft")).email_proven

    run(work())


# --- for whom a token was made (identity.md 17)

ASKED = {
    "facebook": ("graph.facebook.com/debug_token", {"data": {"app_id": "another", "is_valid": True}}),
    "google": ("oauth2.googleapis.com/tokeninfo", {"aud": "another"}),
    "amazon": ("api.amazon.com/auth/o2/tokeninfo", {"aud": "another"}),
}


@pytest.mark.parametrize("name", ASKED)
def test_a_token_for_another_client_signs_nobody_in_where_the_app_has_its_own(name: str, tmp_path: Path) -> None:
    async def work() -> None:
        path, another = ASKED[name]
        async with here(tmp_path) as this:
            assert (await this.prove(name)).identifier == IDENTIFIERS[name]
            assert path not in this.server.paths()
            await this.keys(name)
            assert (await this.prove(name)).identifier == IDENTIFIERS[name]
            assert path in this.server.paths()
            for answer in (another, {}, {"data": {"app_id": CLIENT}}, {"aud": [CLIENT]}, {"aud": None}):
                if name == "facebook" or answer != {"data": {"app_id": CLIENT}}:
                    this.server.answers[path] = answer
                    assert await this.refusal(this.prove(name)) == "wrong_audience"
            this.server.spoil(path, answering(400, '{"error":"invalid_token"}'))
            assert await this.refusal(this.prove(name)) == "provider_refused"
            this.server.spoil(path, playing.hang_up)
            assert await this.refusal(this.prove(name)) == "unreachable"

    run(work())


def test_facebook_is_asked_with_the_apps_keys_and_not_without(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            await this.keys("facebook")
            await this.prove("facebook")
            [call] = [call for call in this.server.calls if call.path == "graph.facebook.com/debug_token"]
            assert call.query == {"input_token": TOKEN, "access_token": f"{CLIENT}|{SECRET}"}
            await this.configure(fb_app_id=CLIENT)
            assert await this.refusal(this.prove("facebook")) == "not_configured"

    run(work())


def test_a_token_of_microsoft_says_itself_for_whom_it_is(tmp_path: Path) -> None:
    """Graph has verified the very token when it answers; one that says nothing is refused."""

    async def work() -> None:
        async with here(tmp_path) as this:
            await this.keys("microsoft")
            assert (await this.prove("microsoft")).identifier == IDENTIFIERS["microsoft"]
            this.server.spoil(ME["microsoft"], answering(200, '{"id":"1"}'))
            for token in (jwt(appid="another"), jwt(), "opaque", "a.b.c", jwt(appid=[CLIENT])):
                assert await this.refusal(this.prove("microsoft", token)) == "wrong_audience"

    run(work())


def test_what_was_exchanged_counts_for_that_app_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            await this.backend.tenants.ensure("other")
            for identifier in (APP, "other"):
                await this.backend.tenants.put_settings(identifier, {"gp_app_id": CLIENT, "gp_secret": SECRET})
            google = this.social.fixed["google"]
            this.server.answers["oauth2.googleapis.com/tokeninfo"] = {"aud": "another"}
            token = await google.exchange(await this.app(), CODE, BACK)
            assert await this.refusal(google.prove(await this.app("other"), token)) == "wrong_audience"
            assert (await google.prove(await this.app(), token)).identifier == IDENTIFIERS["google"]
            assert await this.refusal(google.prove(await this.app(), token)) == "wrong_audience"

    run(work())


# --- Twitter


def test_twitter_from_the_first_step_to_the_last(tmp_path: Path) -> None:
    """The local server computes each signature anew by RFC 5849."""

    async def work() -> None:
        async with here(tmp_path) as this:
            app = await this.keys("twitter")
            twitter = this.social.twitter
            url = await twitter.begin(app, "https://shop.example/twitter_auth?appid=app:shop")
            token, _ = playing.REQUEST_TOKEN
            assert url == f"https://api.twitter.com/oauth/authenticate?oauth_token={token}"
            assert "oauth_callback" in this.server.calls[-1].headers["authorization"]
            proven = await twitter.finish(app, token, playing.VERIFIER)
            assert proven == TOKENS["twitter"]
            assert (await twitter.prove(app, proven)).identifier == "tw:38895958"
            assert await this.refusal(twitter.finish(app, token, playing.VERIFIER)) == "provider_refused"
            assert await this.refusal(twitter.finish(app, token, "wrong")) == "provider_refused"
            assert await this.refusal(twitter.finish(app, "", "x")) == "bad_token"
            assert await this.refusal(twitter.prove(app, "a:b:c")) == "provider_refused"

    run(work())


def test_twitter_without_keys_or_with_strange_answers(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            twitter = this.social.twitter
            app = await this.app()
            for step in (
                twitter.begin(app, "https://a.example/"),
                twitter.finish(app, "a", "b"),
                twitter.prove(app, "a:b"),
            ):
                assert await this.refusal(step) == "not_configured"
            app = await this.keys("twitter")
            path = "api.twitter.com/oauth/request_token"
            for body, reason in (
                ("oauth_token=a&oauth_token_secret=b&oauth_callback_confirmed=false", "provider_refused"),
                ("oauth_token=a&oauth_token_secret=b", "provider_refused"),
                ("oauth_token=a", "unreadable_answer"),
                ("oauth_token=a%0D%0A&oauth_token_secret=b&oauth_callback_confirmed=true", "unreadable_answer"),
                ("", "unreadable_answer"),
                (b"\xff", "unreadable_answer"),
                ("&".join(f"a{n}=b" for n in range(200)), "unreadable_answer"),
            ):
                this.server.spoil(path, answering(200, body, "text/plain"))
                assert await this.refusal(twitter.begin(app, "https://a.example/")) == reason
            app = await this.configure(tw_app_id="another", tw_secret="x")
            this.server.heal()
            assert await this.refusal(twitter.prove(app, TOKENS["twitter"])) == "provider_refused"

    run(work())


def test_mattermost_has_keys_and_no_provider(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            app = await this.configure(mm_app_id="a", mm_secret="b")
            assert this.backend.tenants.option(app, "mm_app_id") == "a"
            assert "mattermost" not in this.social.by_name

    run(work())


def test_every_provider_of_the_table_is_there(tmp_path: Path) -> None:
    async def work() -> None:
        async with here(tmp_path) as this:
            expected = {*NAMES, "twitter", "oauth2", "oauth2second", "oauth2third"}
            assert set(this.social.by_name) == expected
            assert all(isinstance(each, OAuth) for each in this.social.fixed.values())

    run(work())
