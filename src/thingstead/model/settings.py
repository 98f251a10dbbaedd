"""Every setting, with its default: one struct handed to whoever needs it. Pure; server/settings reads it from outside.

A setting's key is written beside it; keys of Para begin with `para.` (objects.md 20), other seeds' keep their names.
Keys that apps may set for themselves stand in model/app_options, those without effect in model/accepted; model/keys is
the table of all.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF")
Access = Literal["open", "auth", ""]  # "": by the binding: open on a listener bound to loopback (doors.md 28)


def _key(name: str, about: str, low: int | None = None, high: int | None = None) -> Meta:
    return Meta(description=about, extra={"key": name}, ge=low, le=high)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. Sizes in bytes, durations in the unit that the key's description names."""

    env: Annotated[str, _key("para.env", "embedded, development, production or another; see the notes")] = "embedded"
    app_name: Annotated[str, _key("para.app_name", "display name; its identifier is the root app's id")] = "para"
    port: Annotated[int, _key("para.port", "main HTTP port; --port wins", 0, 65535)] = 8080
    context_path: Annotated[str, _key("para.context_path", "path in front of all paths of the main port")] = ""
    api_enabled: Annotated[bool, _key("para.api_enabled", "serve /v1 and /jwt_auth")] = True
    dao: Annotated[str, _key("para.dao", "engine of the store; H2DAO: the embedded one")] = "H2DAO"
    search: Annotated[str, _key("para.search", "engine of the index; LuceneSearch: the embedded one")] = "LuceneSearch"
    cache: Annotated[str, _key("para.cache", "engine of the cache; CaffeineSearch: in the process")] = "CaffeineSearch"
    q: Annotated[str, _key("para.q", "engine of the queue that the river polls; LocalQueue: the store's own")] = (
        "LocalQueue"
    )
    fs: Annotated[str, _key("para.fs", "engine of the files; LocalFileStore: a folder")] = "LocalFileStore"
    search_enabled: Annotated[bool, _key("para.search_enabled", "index and search; off: nothing is found")] = True
    read_from_index: Annotated[
        bool, _key("para.read_from_index", "show what is found as the index keeps it, not from the store; to recover")
    ] = False
    cluster_name: Annotated[
        str, _key("para.cluster_name", "for plug-ins: tells deployments apart that share a service")
    ] = "para-prod"
    core_package_name: Annotated[str, _key("para.core_package_name", "package of user-defined classes")] = ""
    plugin_folder: Annotated[
        str, _key("para.plugin_folder", "folder of plug-ins, if relative in the data directory; empty: none")
    ] = "lib/"
    root_secret_override: Annotated[str, _key("para.root_secret_override", "fixed secret of the root app")] = ""
    setup_enabled: Annotated[
        bool, _key("para.setup_enabled", "answer the first _setup with root's keys also where not bound to loopback")
    ] = False
    default_app: Annotated[str, _key("default_app", "app behind bare /, /kits and /v2; empty: the root app")] = ""
    request_expires_after: Annotated[int, _key("para.request_expires_after", "life of a signed request, s", 1)] = 900
    max_entity_size: Annotated[int, _key("para.max_entity_size_bytes", "largest request body", 1024)] = 1_048_576
    max_items_per_page: Annotated[int, _key("para.max_items_per_page", "page size", 1)] = 30
    max_pages: Annotated[int, _key("para.max_pages", "highest page number", 1)] = 1000
    max_page_limit: Annotated[int, _key("para.max_page_limit", "largest page size", 1)] = 256
    max_datatypes_per_app: Annotated[int, _key("para.max_datatypes_per_app", "custom types per app", 0)] = 256
    max_batch_delete: Annotated[int, _key("para.max_batch_delete", "ids in one batch delete; 0: no limit", 0)] = 1000
    vote_locked_after: Annotated[
        int, _key("para.vote_locked_after", "time in which a vote can be taken back, s", 0)
    ] = 30
    vote_expires_after: Annotated[
        int, _key("para.vote_expires_after", "time after which a voter can vote again, s; 0: never", 0)
    ] = 2_592_000
    validate_batch_updates: Annotated[
        bool, _key("para.validate_batch_updates", "batch updates are validated; what is invalid is left out")
    ] = True
    import_batch_size: Annotated[int, _key("para.import_batch_size", "objects per write of an import", 1, 5000)] = 100
    reindex_batch_size: Annotated[
        int, _key("para.reindex_batch_size", "objects read at once by a re-index", 1, 5000)
    ] = 100
    max_import_size: Annotated[int, _key("para.max_import_size_bytes", "largest archive", 1024)] = 1_073_741_824
    max_import_unpacked: Annotated[
        int, _key("para.max_import_unpacked_bytes", "most that an archive may hold, unpacked", 1024)
    ] = 17_179_869_184
    max_import_ratio: Annotated[
        int, _key("para.max_import_ratio", "most that an archive over 1 MiB may shrink, unpacked to packed", 1)
    ] = 100
    max_import_entries: Annotated[int, _key("para.max_import_entries", "entries of an archive", 1)] = 100_000
    worker_id: Annotated[int, _key("para.worker_id", "node number in generated ids, 1-1023", 1, 1023)] = 1
    instance_id: Annotated[str, _key("para.instance_id", "name in metrics; empty: para.worker_id")] = ""
    cache_enabled: Annotated[bool, _key("para.cache_enabled", "object cache; true in production")] = False
    cache_size: Annotated[int, _key("para.caffeine.cache_size", "most objects in the cache", 1, 10_000_000)] = 10_000
    cache_minutes: Annotated[
        int, _key("para.caffeine.evict_after_minutes", "life of an object in the cache", 1, 525_600)
    ] = 10
    metrics_enabled: Annotated[bool, _key("para.metrics_enabled", "time calls and count")] = True
    metrics_logging_rate: Annotated[
        int, _key("para.metrics.logging_rate", "seconds between entries in para-metrics.log; 0: none", 0)
    ] = 60
    graphite_host: Annotated[str, _key("para.metrics.graphite.host", "where the metrics of all apps are pushed")] = ""
    graphite_port: Annotated[int, _key("para.metrics.graphite.port", "its port", 1, 65535)] = 2003
    graphite_prefix_system: Annotated[
        str, _key("para.metrics.graphite.prefix_system", "prefix of their names; may hold {{INSTANCE_ID}}")
    ] = ""
    graphite_prefix_apps: Annotated[
        str, _key("para.metrics.graphite.prefix_apps", "prefix of an app's names; may hold {{APP_ID}} as well")
    ] = ""
    graphite_period: Annotated[
        int, _key("para.metrics.graphite.period", "seconds between pushes to Graphite; 0: none", 0)
    ] = 0
    local_storage: Annotated[
        str, _key("para.localstorage.folder", "folder of stored files; empty: files in the data directory")
    ] = ""
    local_storage_max_mb: Annotated[
        int, _key("para.localstorage.max_filesize_mb", "largest stored file, MB", 1, 1_000_000)
    ] = 10
    emailer: Annotated[
        str, _key("para.emailer", "engine of letters; NoopEmailer: logs only; javamail, empty: SMTP by para.mail.host")
    ] = ""
    support_email: Annotated[str, _key("para.support_email", "sender of e-mail")] = "support@myapp.co"
    mail_host: Annotated[str, _key("para.mail.host", "SMTP server")] = ""
    mail_port: Annotated[int, _key("para.mail.port", "its port; 0: 465 with para.mail.ssl, else 587", 0, 65535)] = 0
    mail_username: Annotated[str, _key("para.mail.username", "name at the SMTP server; empty: none is given")] = ""
    mail_password: Annotated[str, _key("para.mail.password", "password at the SMTP server")] = ""
    mail_tls: Annotated[bool, _key("para.mail.tls", "send only over STARTTLS")] = True
    mail_ssl: Annotated[bool, _key("para.mail.ssl", "TLS from the first byte, in place of STARTTLS")] = False
    emails_max_recipients: Annotated[
        int, _key("para.emails.max_recipients", "addresses in one POST /v1/_emails", 1, 10_000)
    ] = 200
    print_version: Annotated[bool, _key("para.print_version", "show the version at /v1/ and at the start")] = True
    print_logo: Annotated[bool, _key("para.print_logo", "show the logo at the start")] = True
    pidfile_enabled: Annotated[bool, _key("para.pidfile_enabled", "write para_<port>.pid into the data directory")] = (
        True
    )
    logs_dir: Annotated[str, _key("para.logs_dir", "folder of the log files; empty: logs in the data directory")] = ""
    logs_name: Annotated[str, _key("para.logs_name", "stem of the log files' names")] = "para"
    file_logger_level: Annotated[str, _key("para.file_logger_level", "least level of the lines in para.log")] = "INFO"
    access_log_enabled: Annotated[bool, _key("para.access_log_enabled", "write the access log")] = True
    debug_request_signatures: Annotated[
        bool, _key("para.debug_request_signatures", "log what was signed when a signature does not match")
    ] = False
    admin_ident: Annotated[str, _key("para.admin_ident", "identifier of the user who becomes an administrator")] = ""
    jwt_expires_after: Annotated[int, _key("para.jwt_expires_after", "life of a user's token, s", 1)] = 86_400
    jwt_refresh_interval: Annotated[
        int, _key("para.jwt_refresh_interval", "age at which clients refresh a token, s", 1)
    ] = 3_600
    id_token_expires_after: Annotated[int, _key("para.id_token_expires_after", "life of an ID token, s", 1)] = 60
    session_timeout: Annotated[int, _key("para.session_timeout", "life of the login cookie, s", 1)] = 86_400
    csrf_protection: Annotated[
        bool, _key("para.security.csrf_protection", "writes of people who are signed in on web pages need a CSRF token")
    ] = True
    csrf_cookie: Annotated[str, _key("para.security.csrf_cookie", "cookie that holds the CSRF token; empty: none")] = (
        "para-csrf-token"
    )
    auth_cookie: Annotated[str, _key("para.auth_cookie", "login cookie of the root app")] = "para-auth"
    returnto_cookie: Annotated[
        str, _key("para.returnto_cookie", "cookie that remembers which page was wanted before the login")
    ] = "para-returnto"
    security_protected: Annotated[
        Mapping[str, Any],
        _key(
            "para.security.protected", "paths of web pages that need a login, by name: [pattern, ..., [role, method]]"
        ),
    ] = {}
    signin: Annotated[str, _key("para.security.signin", "path of the sign-in page")] = "/signin"
    signin_success: Annotated[
        str,
        _key("para.security.signin_success", "where a sign-in to the root app leads; /: to the page that was wanted"),
    ] = "/"
    signin_failure: Annotated[str, _key("para.security.signin_failure", "where a failed sign-in leads")] = (
        "/signin?error"
    )
    signout: Annotated[str, _key("para.security.signout", "path that ends a login")] = "/signout"
    signout_success: Annotated[str, _key("para.security.signout_success", "where a sign-out leads")] = "/signin"
    access_denied: Annotated[str, _key("para.security.access_denied", "path of the page for those who lack a role")] = (
        "/403"
    )
    returnto: Annotated[
        str, _key("para.security.returnto", "parameter that names the page to go to after a sign-in")
    ] = "returnto"
    min_password_length: Annotated[int, _key("para.min_password_length", "shortest password", 1, 5_000)] = 8
    pass_reset_timeout: Annotated[
        int, _key("para.pass_reset_timeout", "life of a token that resets a password or confirms an e-mail, s", 1)
    ] = 1_800
    max_pass_matching_attempts: Annotated[
        int, _key("para.max_pass_matching_attemts", "wrong passwords in a row before a lock", 1)
    ] = 20
    pass_matching_lock_hours: Annotated[
        int, _key("para.pass_matching_lock_period_hours", "length of that lock, h", 1)
    ] = 1
    allow_unverified_emails: Annotated[
        bool, _key("para.security.allow_unverified_emails", "who signs up with a password is active at once")
    ] = False
    one_session_per_user: Annotated[
        bool, _key("para.security.one_session_per_user", "a new token of a user ends the ones before")
    ] = True
    wildcard_covers_admin: Annotated[
        bool, _key("para.security.wildcard_covers_admin", "a grant on * covers an app's administration too")
    ] = False
    security_ignored: Annotated[
        list[str],
        _key("para.security.ignored", "Ant patterns of paths that need no login; given, they replace the list"),
    ] = []
    per_app: Mapping[str, Any] = {}
    """What the configuration says of keys of model/app_options, without `para.`; it counts for the root app only."""
    limits_sign_in: Annotated[
        int, _key("limits.sign_in", "sign-ins that fail, a minute and client address; 0: no limit", 0)
    ] = 60
    limits_refused: Annotated[
        int,
        _key(
            "limits.refused",
            "proofs missing or wrong, a minute and client address; 0: no limit; -1: 600, and no limit at loopback",
            -1,
        ),
    ] = -1
    limits_address: Annotated[
        int, _key("limits.address", "HTTP requests a minute and client address; 0: no limit", 0)
    ] = 0
    limits_guest: Annotated[
        int,
        _key(
            "limits.guest",
            "requests of guests of an app, a minute and address; 0: no limit; -1: 600, and no limit at loopback",
            -1,
        ),
    ] = -1
    limits_user: Annotated[int, _key("limits.user", "requests of a user in a minute; 0: no limit", 0)] = 30_000
    limits_thing: Annotated[int, _key("limits.thing", "HTTP requests of a thing in a minute; 0: no limit", 0)] = 0
    limits_app: Annotated[int, _key("limits.app", "requests of an app in a minute; 0: no limit", 0)] = 0
    audit_enabled: Annotated[bool, _key("audit.enabled", "keep the audit trail as objects that apps can read")] = True
    audit_max_entries: Annotated[
        int, _key("audit.max_entries", "entries of an app's trail; the oldest go first", 1)
    ] = 10_000
    audit_max_days: Annotated[int, _key("audit.max_days", "age at which entries of the trail go, days", 1)] = 90
    cors_enabled: Annotated[bool, _key("para.cors_enabled", "browsers of other sites may call /v1 and /jwt_auth")] = (
        True
    )
    gzip_enabled: Annotated[bool, _key("para.gzip_enabled", "compress answers of the HTTP listeners")] = False
    health_check_enabled: Annotated[bool, _key("para.health_check_enabled", "check the health of the parts")] = True
    health_check_interval: Annotated[
        int, _key("para.health.check_interval", "time between two health checks, s", 1)
    ] = 60
    markdown_soft_break: Annotated[
        str, _key("para.markdown_soft_break", "HTML of a line end in a paragraph of Markdown")
    ] = "<br>"
    markdown_allowed_follow_domains: Annotated[
        str, _key("para.markdown_allowed_follow_domains", "comma list of hosts; links to them have no nofollow")
    ] = ""
    http_certificate: Annotated[
        str, _key("http.certificate", "file: PEM certificate chain; the main port is then HTTPS")
    ] = ""
    http_key: Annotated[str, _key("http.key", "file: PEM private key of http.certificate")] = ""
    http_max_connections: Annotated[
        int, _key("http.max_connections", "connections of each HTTP listener at once", 1)
    ] = 10_000
    http_max_connections_per_address: Annotated[
        int,
        _key(
            "http.max_connections_per_address",
            "of one client at one listener; trusted proxies have no limit; 0: no limit; -1: 1000, and none at loopback",
            -1,
        ),
    ] = -1
    http_head_timeout: Annotated[
        int, _key("http.head_timeout", "time for the head of a request, from its first byte or the connection's, s", 1)
    ] = 20
    http_idle_timeout: Annotated[
        int,
        _key("http.idle_timeout", "time in which a client must send more of a body, or take more of an answer, s", 1),
    ] = 60
    http_max_frame: Annotated[
        int, _key("http.max_frame", "largest message of a WebSocket, at least mqtt.max_packet", 1024)
    ] = 1_048_576
    webhooks_enabled: Annotated[bool, _key("para.webhooks_enabled", "send events to webhooks")] = False
    max_failed_webhook_attempts: Annotated[
        int, _key("para.max_failed_webhook_attempts", "failures before a webhook is disabled", 1)
    ] = 10
    webhooks_max_attempts: Annotated[
        int, _key("webhooks.max_attempts", "tries of one delivery before it is given up; 1: none after the first", 1)
    ] = 8
    webhooks_max_backlog: Annotated[
        int, _key("webhooks.max_backlog", "deliveries that may wait for one webhook; what comes then is dropped", 1)
    ] = 10_000
    outbound_allow: Annotated[
        str,
        _key("para.outbound_allow", "comma list of networks and hosts, not public, that apps may have the server call"),
    ] = ""
    default_queue_name: Annotated[str, _key("para.default_queue_name", "name of the river's queue")] = "para-default"
    queue_link_enabled: Annotated[bool, _key("para.queue_link_enabled", "river: objects come from the queue")] = False
    queue_polling_interval: Annotated[
        int, _key("para.queue.polling_interval_seconds", "pause after the queue was found empty, s", 1)
    ] = 10
    queue_polling_sleep: Annotated[
        int, _key("para.queue.polling_sleep_seconds", "pause after it was found empty three times, s", 1)
    ] = 60
    river_max_indexing_retries: Annotated[
        int, _key("para.river.max_indexing_retries", "tries to index objects that are not there yet", 0)
    ] = 5
    hypermedia_read: Annotated[Access, _key("hypermedia.read", "who may read through hypermedia")] = ""
    hypermedia_write: Annotated[Access, _key("hypermedia.write", "who may write through hypermedia")] = "auth"
    agent_access: Annotated[Access, _key("agent.access", "who may call /iot")] = ""
    context_access: Annotated[Access, _key("context.access", "who may call /v2")] = ""
    kits_access: Annotated[Access, _key("kits.access", "who may call /kits")] = "auth"
    agent_autocreate_tenants: Annotated[
        bool, _key("agent.autocreateTenants", "an unknown fiware-service makes an app")
    ] = True
    agent_status_codes: Annotated[
        Literal["seed", "upstream"], _key("agent.statusCodes", "success statuses of /iot")
    ] = "seed"
    agent_timestamp: Annotated[bool, _key("agent.timestamp", "add TimeInstant where a group says nothing")] = False
    chain_timezone: Annotated[str, _key("chain.timezone", "zone of times without offset")] = "UTC"
    chain_max_body: Annotated[int, _key("chain.max_body", "largest hypermedia body", 1024)] = 67_108_864
    chain_max_points: Annotated[int, _key("chain.max_points", "most points of one window", 1)] = 1_000_000
    chain_ws_queue: Annotated[int, _key("chain.ws_queue", "messages a slow stream may lag behind", 1)] = 10_000
    mqtt_host: Annotated[str, _key("mqtt.host", "host name that devices are told; empty: the bound address")] = ""
    mqtt_max_connections: Annotated[
        int, _key("mqtt.max_connections", "MQTT connections at once, WebSockets included", 1)
    ] = 50_000
    mqtt_max_connections_per_address: Annotated[
        int,
        _key("mqtt.max_connections_per_address", "of one client; 0: no limit; -1: 5000, and no limit at loopback", -1),
    ] = -1
    mqtt_connects: Annotated[
        int,
        _key("mqtt.connects", "MQTT connects, a minute and address; 0: no limit; -1: 6000, and none at loopback", -1),
    ] = -1
    mqtt_failed_authentications: Annotated[
        int, _key("mqtt.failed_authentications", "of one address in a minute, then it is refused for a minute", 1)
    ] = 10
    mqtt_publish_rate: Annotated[
        int, _key("mqtt.publish_rate", "messages that a client may publish in a second; 0: no limit", 0)
    ] = 0
    mqtt_max_packet: Annotated[int, _key("mqtt.max_packet", "largest MQTT packet", 1024)] = 131_072
    things_default_broker: Annotated[str, _key("things.default_broker", "service broker of new things")] = "Local"
    trusted_proxies: Annotated[
        str, _key("trusted_proxies", "comma list of addresses whose X-Forwarded-* headers count")
    ] = ""

    @property
    def root_path(self) -> str:
        """`para.context_path` as it stands in front of paths: "" or `/some/path`."""
        bare = self.context_path.strip().strip("/")
        return "/" + bare if bare else ""


DEFAULTS = Settings()
