"""Keys of Para that are accepted and have no effect (objects.md 20): of products that this server does not embed, of
what is always so here, and of client code. They have types and defaults like all others, so that an existing
configuration is read unchanged.

A key is either here or a field of `Settings`, never both: what becomes a field leaves this table. Grouped by category.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from thingstead.model.values import Json

Row: TypeAlias = tuple[Json, str]  # default, whose type is the key's, and meaning

_TLS_FILES: Final[Mapping[str, Row]] = {
    "ssl_keystore": ("", "file of the client's own certificate"),
    "ssl_keystore_password": ("", "its password"),
    "ssl_truststore": ("", "file of trusted certificates"),
    "ssl_truststore_password": ("", "its password"),
}


def _core() -> Iterator[tuple[str, Row]]:
    yield "executor_threads", (2, "worker threads")
    yield "executor_service_enabled", (True, "run background tasks asynchronously; here always")
    yield "sync_index_with_db", (True, "drop index entries missing from the database; here always")


def _security() -> Iterator[tuple[str, Row]]:
    yield "security.remember_me", (True, "deprecated")
    yield "security.saml.security.want_xml_validation", (True, "check responses against the schema; here always")


def _queue() -> Iterator[tuple[str, Row]]:
    yield "indexing_sync_interval_sec", (10, "interval at which index messages are batched, s")


def _metrics() -> Iterator[tuple[str, Row]]:
    yield "metrics.jmx_enabled", (False, "JMX")


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
        _security,
        _queue,
        _metrics,
        _files_and_mail,
        _client,
        _databases,
        _miscellaneous,
        _products,
    ):
        yield from ((f"para.{name}", row) for name, row in group())


ACCEPTED: Final[Mapping[str, Row]] = dict(_all())
