"""Keys of Para that are accepted and have no effect (objects.md 20): products that this server does not embed, and what
other issues bring. They have types and defaults like all others, so that an existing configuration is read unchanged.

A key is either here or a field of `Settings`, never both: what becomes a field leaves this table. Grouped by category.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from thingstead.model.values import Json

Row: TypeAlias = tuple[Json, str]  # default, whose type is the key's, and meaning

_EMPTY_OBJECT: Final[Json] = {}
_EMPTY_LIST: Final[Json] = []
_TLS_FILES: Final[Mapping[str, Row]] = {
    "ssl_keystore": ("", "file of the client's own certificate"),
    "ssl_keystore_password": ("", "its password"),
    "ssl_truststore": ("", "file of trusted certificates"),
    "ssl_truststore_password": ("", "its password"),
}


def _core() -> Iterator[tuple[str, Row]]:
    yield "q", ("LocalQueue", "queue plugin")
    yield "search_enabled", (True, "index and search; here always on")
    yield "cluster_name", ("para-prod", "isolates deployments that share plugins")
    yield "admin_ident", ("", "identifier of the first administrator")
    yield "executor_threads", (2, "worker threads")
    yield "executor_service_enabled", (True, "run background tasks asynchronously; here always")
    yield "sync_index_with_db", (True, "drop index entries missing from the database; here always")
    yield "read_from_index", (False, "answer searches from the index")


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


def _security() -> Iterator[tuple[str, Row]]:
    yield "security.csrf_protection", (True, "CSRF checks")
    yield "security.csrf_cookie", ("para-csrf-token", "name of the CSRF cookie")
    yield "auth_cookie", ("para-auth", "name of the login cookie")
    yield "jwt_expires_after", (86_400, "life of a token, s")
    yield "jwt_refresh_interval", (3_600, "when to refresh a token, s")
    yield "id_token_expires_after", (60, "life of a short id token, s")
    yield "session_timeout", (86_400, "life of a login session, s")
    yield "min_password_length", (8, "shortest password")
    yield "pass_reset_timeout", (1_800, "life of a reset token, s")
    yield "max_pass_matching_attemts", (20, "login attempts before a lock")
    yield "pass_matching_lock_period_hours", (1, "length of a lock, h")
    yield "returnto_cookie", ("para-returnto", "cookie that remembers the wanted URL")
    yield "security.allow_unverified_emails", (False, "skip the verification of e-mail addresses")
    yield "security.protected", (_EMPTY_OBJECT, "named path patterns that need a login")
    yield "security.ignored", (_EMPTY_LIST, "paths that need no login")
    yield "security.signin", ("/signin", "page to sign in at")
    yield "security.signout", ("/signout", "page to sign out at")
    yield "security.signin_success", ("/", "where a sign-in leads")
    yield "security.signin_failure", ("/signin?error", "where a failed sign-in leads")
    yield "security.signout_success", ("/signin", "where a sign-out leads")
    yield "security.access_denied", ("/403", "where a 403 leads")
    yield "security.returnto", ("returnto", "redirect parameter")
    yield "security.remember_me", (True, "deprecated")
    yield "app_secret_key", ("", "signing salt; here every app has a secret of its own")


def _queue() -> Iterator[tuple[str, Row]]:
    yield "indexing_sync_interval_sec", (10, "interval at which index messages are batched, s")


def _metrics() -> Iterator[tuple[str, Row]]:
    yield "metrics.jmx_enabled", (False, "JMX")


def _directories() -> Iterator[tuple[str, Row]]:
    """LDAP, OAuth 2 and SAML (identity.md)."""
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
    ):
        yield f"security.ldap.{name}", (default, about)
    yield "security.ldap.username_as_name", (False, "use the login as name")
    for number in ("", "second", "third"):
        prefix = f"security.oauth{number}."
        for name, about in (
            ("profile_url", "where profiles are read"),
            ("token_url", "where tokens are had"),
            ("scope", "scope asked for"),
            ("accept_header", "Accept header sent"),
            ("domain", "domain of people without an address"),
        ):
            yield prefix + name, ("", about)
        yield prefix + "download_avatars", (False, "copy pictures")
        yield prefix + "token_delegation_enabled", (False, "keep the provider's token with the user")
        for name in ("id", "picture", "email", "name", "given_name", "family_name"):
            yield f"{prefix}parameters.{name}", ("sub" if name == "id" else name, f"claim that holds the {name}")
    for name, about in (
        ("sp.entityid", "our entity id"),
        ("sp.assertion_consumer_service.url", "where assertions are posted"),
        ("sp.nameidformat", "format of name ids"),
        ("sp.x509cert", "our certificate"),
        ("sp.privatekey", "our private key"),
        ("idp.entityid", "the provider's entity id"),
        ("idp.single_sign_on_service.url", "where the provider signs in"),
        ("idp.x509cert", "the provider's certificate"),
        ("idp.metadata_url", "where the provider describes itself"),
        ("security.signature_algorithm", "algorithm of signatures"),
        *((f"attributes.{name}", f"attribute of the {name}") for name in _SAML_ATTRIBUTES),
        ("domain", "domain of people without an address"),
    ):
        yield f"security.saml.{name}", ("", about)
    for name in _SAML_FLAGS:
        yield f"security.saml.security.{name}", (name == "want_xml_validation", name.replace("_", " "))


_SAML_ATTRIBUTES: Final = ("id", "picture", "email", "name", "firstname", "lastname")
_SAML_FLAGS: Final = (
    "authnrequest_signed",
    "want_messages_signed",
    "want_assertions_signed",
    "want_assertions_encrypted",
    "want_nameid_encrypted",
    "sign_metadata",
    "want_xml_validation",
)


def _files_and_mail() -> Iterator[tuple[str, Row]]:
    yield "s3.bucket", ("org.paraio.us-east-1", "bucket")
    yield "s3.max_filesize_mb", (10, "largest file, MB")
    yield "aws_ses_region", ("eu-west-1", "region of SES")


def _client() -> Iterator[tuple[str, Row]]:
    yield "client.ssl_protocols", ("TLSv1.3", "TLS versions of client code")
    yield from ((f"client.{name}", row) for name, row in _TLS_FILES.items())
    yield "user_agent_id_enabled", (True, "client code sends a User-Agent")


def _databases() -> Iterator[tuple[str, Row]]:
    yield "lucene.dir", ("./", "folder of Lucene's index")
    yield "db.dir", ("./data", "folder of H2")
    yield "db.hostname", ("", "turns on H2's TCP server")
    yield "db.user", ("para", "user of H2")
    yield "db.password", ("secret", "password of H2")
    yield "db.tcpServer", ("", "options of H2's TCP server")
    yield "sql.url", ("", "SQL database, without `jdbc:`")
    yield "sql.driver", ("", "its driver")
    yield "sql.user", ("user", "its user")
    yield "sql.password", ("secret", "its password")


def _miscellaneous() -> Iterator[tuple[str, Row]]:
    yield "shared_table_name", ("0", "table of apps that share one")
    yield "fail_on_write_errors", (True, "a storage error fails the request; here always")
    yield "prepend_shared_appids_with_space", (False, "internal")
    yield "default_separator", (":", "separator in ids; here always this one")
    yield "default_encoding", ("UTF-8", "charset; here always this one")


def _products() -> Iterator[tuple[str, Row]]:
    """Databases, indexes and caches that a plugin would bring; objects.md 20 describes no more of them than this."""
    products: dict[str, dict[str, Json]] = {
        "es": {
            "flavor": "elasticsearch",
            "shards": 2,
            "shards_for_child_apps": 1,
            "replicas": 0,
            "replicas_for_child_apps": 0,
            "auto_expand_replicas": "0-1",
            "use_nested_custom_fields": False,
            "async_enabled": False,
            "fail_on_indexing_errors": False,
            "restclient_scheme": "http",
            "restclient_host": "localhost",
            "restclient_port": 9200,
            "restclient_context_path": "",
            "basic_auth_login": "",
            "basic_auth_password": "",
            "sign_requests_to_aws": False,
            "aws_region": "eu-west-1",
            "root_index_sharing_enabled": False,
            "track_total_hits": "true",
            "bulk.size_limit_mb": 5,
            "bulk.action_limit": 1000,
            "bulk.concurrent_requests": 1,
            "bulk.flush_interval_ms": 5000,
            "bulk.backoff_initial_delay_ms": 50,
            "bulk.max_num_retries": 8,
            "bulk.flush_immediately": True,
            "proxy_enabled": False,
            "proxy_reindexing_enabled": False,
            "proxy_path": "_elasticsearch",
        },
        "mongodb": {
            "uri": "",
            "database": "para",
            "host": "localhost",
            "port": 27017,
            "user": "",
            "password": "",
            "ssl_enabled": False,
            "ssl_allow_all": False,
        },
        "cassandra": {
            "hosts": "localhost",
            "keyspace": "para",
            "user": "",
            "password": "",
            "port": 9042,
            "replication_factor": 1,
            "ssl_enabled": False,
            "ssl_protocols": "TLSv1.3",
            **dict.fromkeys(_TLS_FILES, ""),
        },
        "dynamodb": {
            "sse_enabled": False,
            "backups_enabled": False,
            "provisioned_mode_enabled": False,
            "replica_regions": "",
            "max_read_capacity": 10,
            "max_write_capacity": 5,
        },
        "hc": {
            "async_enabled": True,
            "ec2_discovery_enabled": True,
            "jmx_enabled": True,
            "mancenter_enabled": False,
            "ttl_seconds": 3600,
            "max_size": 5000,
            "eviction_percentage": 25,
            "eviction_policy": "LRU",
            "discovery_group": "hazelcast",
            "mancenter_url": "http://localhost:8001/mancenter",
            "aws_access_key": "",
            "aws_secret_key": "",
            "aws_region": "",
        },
    }
    for product, defaults in products.items():
        for name, default in defaults.items():
            yield f"{product}.{name}", (default, name.replace("_", " ").replace(".", ": "))


def _all() -> Iterator[tuple[str, Row]]:
    for group in (
        _core,
        _social,
        _security,
        _queue,
        _metrics,
        _directories,
        _files_and_mail,
        _client,
        _databases,
        _miscellaneous,
        _products,
    ):
        yield from ((f"para.{name}", row) for name, row in group())


ACCEPTED: Final[Mapping[str, Row]] = dict(_all())
