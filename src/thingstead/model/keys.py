"""The table of all settings' keys: type, default, meaning and category of each, and how a value from outside becomes
one of its type (objects.md 20). Pure; where values come from is server/settings' matter.

Promises: a key is a field of `Settings`, one of `APP_OPTIONS` or one of `ACCEPTED`, never two of them; a value that
does not fit is refused with a text that names the key and what it expects, and that never holds a secret.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal, TypeAlias, cast, get_type_hints

import msgspec
import msgspec.inspect

from thingstead.model.accepted import ACCEPTED
from thingstead.model.app_options import APP_OPTIONS
from thingstead.model.errors import InvalidInput
from thingstead.model.settings import Settings
from thingstead.model.values import Json, is_object

Type: TypeAlias = Literal["S", "I", "B", "F", "object", "list"]

IMPLIED: Final[Mapping[str, Mapping[str, Json]]] = {"production": {"para.cache_enabled": True}}
"""What `para.env` implies for keys that are set nowhere. Store and search are the embedded ones everywhere."""

TRUE: Final = ("true", "yes", "on")  # HOCON's words
FALSE: Final = ("false", "no", "off")

_EXPECTED: Final[Mapping[Type, str]] = {
    "S": "a text",
    "I": "a whole number",
    "B": "true or false",
    "F": "a number",
    "object": "an object",
    "list": "a list",
}
_TYPES: Final[Mapping[type, Type]] = {str: "S", bool: "B", int: "I", float: "F", dict: "object", list: "list"}

# What no prefix tells; what stands in neither is miscellaneous.
_CORE: Final = """app_name context_path env port dao search cache q fs emailer search_enabled cache_enabled
    webhooks_enabled api_enabled cluster_name core_package_name admin_ident worker_id executor_threads
    max_failed_webhook_attempts reindex_batch_size sync_index_with_db read_from_index max_datatypes_per_app
    max_entity_size_bytes health_check_enabled root_secret_override executor_service_enabled instance_id
    setup_enabled"""
_SECURITY: Final = """cors_enabled auth_cookie request_expires_after jwt_expires_after jwt_refresh_interval
    id_token_expires_after session_timeout min_password_length pass_reset_timeout max_pass_matching_attemts
    pass_matching_lock_period_hours returnto_cookie support_email app_secret_key
    signin_success signin_failure"""
_NAMED: Final[Mapping[str, str]] = {
    **dict.fromkeys(_CORE.split(), "Core"),
    **dict.fromkeys(_SECURITY.split(), "Security"),
    "ms_tenant_id": "Social keys",
    "default_queue_name": "River and queue",
    "queue_link_enabled": "River and queue",
    "indexing_sync_interval_sec": "River and queue",
    "metrics_enabled": "Metrics",
    "aws_ses_region": "E-mail",
    "user_agent_id_enabled": "Client",
    "access_log_enabled": "Logs",
    "logs_dir": "Logs",
    "logs_name": "Logs",
    "file_logger_level": "Logs",
    "pidfile_enabled": "Logs",
    "debug_request_signatures": "Logs",
}
_PREFIXES: Final[Mapping[str, str]] = {  # longer ones first
    "para.security.ldap.": "LDAP",
    "para.security.oauth": "OAuth 2",
    "para.security.saml.": "SAML",
    "para.security.": "Security",
    "para.health.": "Core",
    "para.webhook": "Webhooks",
    "para.queue.": "River and queue",
    "para.river.": "River and queue",
    "para.metrics.": "Metrics",
    "para.s3.": "File storage",
    "para.localstorage.": "File storage",
    "para.mail.": "E-mail",
    "para.client.": "Client",
    "para.lucene.": "Lucene, H2, SQL",
    "para.db.": "Lucene, H2, SQL",
    "para.sql.": "Lucene, H2, SQL",
    "para.caffeine.": "Local cache",
    "para.es.": "Elasticsearch",
    "para.mongodb.": "MongoDB",
    "para.cassandra.": "Cassandra",
    "para.dynamodb.": "DynamoDB",
    "para.hc.": "Hazelcast",
    "hypermedia.": "Hypermedia",
    "chain.": "Hypermedia",
    "agent.": "Agent and context",
    "context.": "Agent and context",
    "kits.": "Things and kits",
    "things.": "Things and kits",
    "mqtt.": "MQTT",
    "limits.": "Limits",
    "audit.": "Limits",
    "webhooks.": "Webhooks",
}
_SOCIAL: Final = re.compile(r"para\.[a-z0-9]+_(?:app_id|secret)")
_SECRET: Final = re.compile(r".*(?:secret|secret_key|password|_pass|privatekey|secret_override|access_key)")
_ADDRESSES: Final = frozenset({"para.mongodb.uri", "para.sql.url"})  # which may hold a password


class Key(msgspec.Struct, frozen=True):
    """One setting. `field` names its field of `Settings`, `option` is its name in `APP_OPTIONS`; "" where not."""

    name: str
    field: str
    type: Type
    default: Json
    about: str
    category: str
    secret: bool
    option: str = ""

    @property
    def idle(self) -> bool:
        """Whether it is accepted without effect."""
        return not self.field and not self.option


@cache
def keys() -> Mapping[str, Key]:
    """Every key: those of `Settings` in their order, then those without effect."""
    found: dict[str, Key] = {}
    described = msgspec.inspect.type_info(Settings)
    assert isinstance(described, msgspec.inspect.StructType)
    for field in described.fields:
        if field.name == "per_app":
            continue
        assert isinstance(field.type, msgspec.inspect.Metadata)
        extra = cast(Mapping[str, str], field.type.extra)
        schema = cast(Mapping[str, str], field.type.extra_json_schema)
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        found[extra["key"]] = _described(extra["key"], field.encode_name, default, schema["description"])
    for option, (default, about) in APP_OPTIONS.items():
        found[f"para.{option}"] = _described(f"para.{option}", "", default, about, option)
    for name, (default, about) in ACCEPTED.items():
        found.setdefault(name, _described(name, "", default, about))
    return found


def _described(name: str, field: str, default: Json, about: str, option: str = "") -> Key:
    return Key(name, field, _TYPES.get(type(default), "S"), default, about, category(name), secret(name), option)


def category(name: str) -> str:
    """The heading under which a key stands."""
    bare = name.removeprefix("para.")
    if bare in _NAMED and bare != name:
        return _NAMED[bare]
    for prefix, heading in _PREFIXES.items():
        if name.startswith(prefix):
            return heading
    if _SOCIAL.fullmatch(name):
        return "Social keys"
    return "Miscellaneous" if bare != name else "Server"


def secret(name: str) -> bool:
    """Whether a key's value must not be shown."""
    return name in _ADDRESSES or _SECRET.fullmatch(name) is not None


def value(key: Key, given: object, source: str) -> Json:
    """A value from outside as one of the key's type. Raises InvalidInput, which names key and source."""
    try:
        converted = _converted(key.type, given)
        if key.field:
            # the field's own bounds and choices
            return cast(Json, msgspec.convert(converted, _hints()[key.field]))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{key.name} in {source}: {error}", field=key.name) from None
    except ValueError:
        shown = "" if key.secret else f", got {_short(given)}"
        raise InvalidInput(f"{key.name} in {source}: expected {_EXPECTED[key.type]}{shown}", field=key.name) from None
    return converted


@cache
def _hints() -> Mapping[str, Any]:
    return get_type_hints(Settings, include_extras=True)


def _converted(type: Type, given: object) -> Json:
    """Raises ValueError if it does not fit."""
    if isinstance(given, str) and type != "S":
        return _read(type, given.strip())
    match type:
        case "S" if isinstance(given, str):
            return given
        case "S" if isinstance(given, bool):
            return "true" if given else "false"
        case "S" if isinstance(given, int | float):
            return str(given)
        case "B" if isinstance(given, bool):
            return given
        case "I" if isinstance(given, int) and not isinstance(given, bool):
            return given
        case "F" if isinstance(given, int | float) and not isinstance(given, bool):
            return float(given)
        case "object" if is_object(given):
            return given
        case "list" if isinstance(given, list):
            return cast(Json, given)
        case _:
            raise ValueError


def _read(type: Type, text: str) -> Json:
    match type:
        case "B" if text.lower() in (*TRUE, *FALSE):
            return text.lower() in TRUE
        case "I" if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            return int(text)
        case "F" if re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", text):
            return float(text)
        case "object" | "list":
            return _converted(type, json.loads(text))
        case _:
            raise ValueError


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "..."
