"""Settings that each app may have of its own: how its users sign in (identity.md 3.5, 8). Pure data.

An app's own setting counts first; for the root app alone the configuration's `para.<key>` comes next; then the default.
`Tenants.option` reads them. Grouped by provider; keys stand here without `para.`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from thingstead.model.accepted import Row


def _social() -> Iterator[tuple[str, Row]]:
    providers = {
        "fb": "Facebook",
        "gp": "Google",
        "in": "LinkedIn",
        "tw": "Twitter",
        "gh": "GitHub",
        "ms": "Microsoft",
        "az": "Amazon",
        "sl": "Slack",
        "mm": "Mattermost",
        "oa2": "the first generic provider",
        "oa2second": "the second generic provider",
        "oa2third": "the third generic provider",
    }
    for prefix, name in providers.items():
        yield f"{prefix}_app_id", ("", f"OAuth id at {name}")
        yield f"{prefix}_secret", ("", f"OAuth secret at {name}")
    yield "ms_tenant_id", ("common", "Microsoft tenant")


def _directories() -> Iterator[tuple[str, Row]]:
    """LDAP, OAuth 2 and SAML."""
    for name, default, about in (
        ("password_param", "password", "form field of the password"),
        ("username_param", "username", "form field of the name"),
        ("server_url", "ldap://localhost:8389/", "the directory"),
        ("base_dn", "dc=springframework,dc=org", "root of searches"),
        ("user_search_filter", "(cn={0})", "how a person is found"),
        ("user_dn_pattern", "uid={0}", "how a person is named"),
        ("password_attribute", "userPassword", "attribute of the password"),
        ("bind_dn", "", "who asks the directory"),
        ("bind_pass", "", "the asker's password"),
        ("user_search_base", "", "where people are searched"),
        ("active_directory_domain", "", "domain of an Active Directory"),
        ("ad_mode_enabled", "", "speak to an Active Directory"),
        ("mods_group_node", "", "group of moderators"),
        ("admins_group_node", "", "group of administrators"),
        ("compare_passwords", "", "compare passwords instead of binding"),
        ("displayname_attribute", "cn", "attribute of a person's name"),
        ("ca_certificate", "", "authorities of the directory's certificate, PEM or its Base64; empty: the system's"),
    ):
        yield f"security.ldap.{name}", (default, about)
    yield "security.ldap.username_as_name", (False, "use the login as name")
    yield "security.ldap.start_tls", (False, "encrypt ldap:// with StartTLS, and check the certificate")
    for number in ("", "second", "third"):
        prefix = f"security.oauth{number}."
        for name, default, about in (
            ("profile_url", "", "where profiles are read"),
            ("token_url", "", "where tokens are had"),
            ("authz_url", "", "where people sign in; the sign-in page leads there"),
            ("scope", "", "scope asked for"),
            ("accept_header", "", "Accept header sent"),
            ("domain", "", "domain of people without an address; empty: paraio.com"),
            ("issuer", "", "issuer of ID tokens, which are checked by its published keys; empty: they are not used"),
        ):
            yield prefix + name, (default, about)
        yield prefix + "send_scope_to_token_endpoint", (True, "send the scope with the code")
        yield prefix + "download_avatars", (False, "copy pictures")
        yield prefix + "token_delegation_enabled", (False, "keep the provider's token with the user")
        for name in ("id", "picture", "email", "name", "given_name", "family_name"):
            yield f"{prefix}parameters.{name}", ("sub" if name == "id" else name, f"claim that holds the {name}")
    for name, about in (
        ("sp.entityid", "our entity id, the URL of /saml_auth/{appid}"),
        ("sp.assertion_consumer_service.url", "where assertions are posted; empty: the entity id"),
        ("sp.nameidformat", "format of name ids; empty: unspecified"),
        ("sp.x509cert", "our certificate, Base64 of PEM"),
        ("sp.privatekey", "our private key, Base64 of PEM"),
        ("idp.entityid", "the provider's entity id"),
        ("idp.single_sign_on_service.url", "where the provider signs in"),
        ("idp.x509cert", "the provider's certificate, Base64 of PEM"),
        ("idp.metadata_url", "where the provider describes itself; what is set outright overrides it"),
        ("security.signature_algorithm", "rsa-sha256, rsa-sha384, rsa-sha512 or their URI; empty: rsa-sha256"),
        *((f"attributes.{name}", f"attribute of the {name}; empty: {own}") for name, own in _SAML_ATTRIBUTES.items()),
        ("domain", "domain of people without an address; empty: paraio.com"),
    ):
        yield f"security.saml.{name}", ("", about)
    for name in _SAML_FLAGS:
        yield f"security.saml.security.{name}", (False, name.replace("_", " "))


_SAML_ATTRIBUTES: Final[Mapping[str, str]] = {
    "id": "UserID",
    "picture": "Picture",
    "email": "EmailAddress",
    "name": "GivenName",
    "firstname": "FirstName",
    "lastname": "LastName",
}
_SAML_FLAGS: Final = (
    "authnrequest_signed",
    "authrequest_signed",
    "want_messages_signed",
    "want_assertions_signed",
    "want_assertions_encrypted",
    "want_nameid_encrypted",
    "sign_metadata",
)


def _signing_in() -> Iterator[tuple[str, Row]]:
    yield "app_secret_key", ("", "key of passwordless tokens, at least 32 characters; empty: the app's secret")
    yield (
        "signin_success",
        ("", "where a sign-in leads; jwt=id or jwt=? in it becomes jwt= and an ID token or user token"),
    )
    yield "signin_failure", ("", "where a failed sign-in leads; cause=? in it becomes cause= and a short code")
    yield (
        "security.hosturl_aliases",
        ("", "comma list of other origins that a sign-in may lead to: https://a, https://b"),
    )


APP_OPTIONS: Final[Mapping[str, Row]] = dict(row for group in (_signing_in, _social, _directories) for row in group())
