"""Which ways in the sign-in page offers: those that the app has configured and the server has (identity.md 8)."""

from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from thingstead.core.backend import Backend
from thingstead.core.tenants import App
from thingstead.doors.web.pages import Directory, Way
from thingstead.doors.web.request import Request
from thingstead.model import weblogin
from thingstead.model.app_options import APP_OPTIONS
from thingstead.model.authorize import FIXED, GENERIC, consent_url


class Offers:
    """See the module's docstring."""

    def __init__(self, backend: Backend) -> None:
        self._tenants = backend.tenants
        self._signin = backend.signin

    async def of(self, request: Request, app: App) -> tuple[list[Way], Directory | None]:
        """Links, in a fixed order, and the form of the app's directory."""
        directory = None
        if "ldap" in self._signin.providers and self._changed(app, "security.ldap.server_url"):
            directory = Directory(
                request.own("/ldap_auth"),
                self._text(app, "security.ldap.username_param"),
                self._text(app, "security.ldap.password_param"),
            )
        return list(self._ways(request, app)), directory

    def _ways(self, request: Request, app: App) -> Iterator[Way]:
        providers = self._signin.providers
        appid = app.object.id
        base = request.origin + request.root_path
        for name, consent in FIXED.items():
            client = self._client(app, consent.prefix) if name in providers else ""
            if client:
                tenant = self._text(app, "ms_tenant_id") if name == "microsoft" else ""
                yield Way(
                    consent.title,
                    consent_url(
                        consent.url,
                        client,
                        f"{base}/{name}_auth",
                        appid,
                        consent.scope,
                        parameter=consent.parameter,
                        tenant=tenant,
                    ),
                )
        if "twitter" in providers and self._client(app, "tw"):
            yield Way("Twitter", request.own("/twitter_auth") + _query(app))
        for name, alias in GENERIC.items():
            client = self._client(app, f"oa2{alias}") if name in providers else ""
            url = self._text(app, f"security.oauth{alias}.authz_url")
            if client and weblogin.origin(url):
                scope = self._text(app, f"security.oauth{alias}.scope")
                yield Way(urlsplit(url).netloc, consent_url(url, client, f"{base}/{name}_auth", appid, scope))
        if "saml" in providers and self._text(app, "security.saml.sp.entityid"):
            yield Way("single sign-on", request.own("/saml_auth/") + quote(appid, safe=""))

    def _text(self, app: App, key: str) -> str:
        return str(self._tenants.option(app, key))

    def _client(self, app: App, prefix: str) -> str:
        """The id of an OAuth pair; "" unless both halves are there."""
        return self._text(app, f"{prefix}_app_id") if self._text(app, f"{prefix}_secret") else ""

    def _changed(self, app: App, key: str) -> bool:
        return self._tenants.option(app, key) != APP_OPTIONS[key][0]


def _query(app: App) -> str:
    return "" if app.is_root else "?appid=" + quote(app.object.id, safe="")
