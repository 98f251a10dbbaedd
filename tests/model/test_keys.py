"""Promise: every key of objects.md 20 is there once, with its type and default; values from outside become that type or
are refused with a text that names the key and shows no secret.
"""

import re

import pytest

from thingstead.model.accepted import ACCEPTED
from thingstead.model.app_options import APP_OPTIONS
from thingstead.model.errors import InvalidInput
from thingstead.model.keys import category, keys, secret, value
from thingstead.model.settings import Settings
from thingstead.server.settings import load

# The table of objects.md 20: category, then lines of `key default type`; `-` is no default. `{a,b}` are alternatives.
TABLE = """
# Core
env embedded S
app_name para S
context_path - S
port 8080 I
dao H2DAO S
search LuceneSearch S
cache CaffeineSearch S
q LocalQueue S
fs LocalFileStore S
emailer NoopEmailer S
search_enabled true B
cache_enabled false B
webhooks_enabled false B
api_enabled false B
cluster_name para-prod S
core_package_name - S
admin_ident - S
worker_id 1 S
executor_threads 2 I
max_failed_webhook_attempts 10 I
reindex_batch_size 100 I
sync_index_with_db true B
read_from_index false B
max_datatypes_per_app 256 I
max_entity_size_bytes 1048576 I
health.check_interval 60 I
health_check_enabled true B
root_secret_override - S
executor_service_enabled true B
instance_id - S
# Social keys
{fb,gp,in,tw,gh,ms,az,sl,mm,oa2,oa2second,oa2third}_{app_id,secret} - S
ms_tenant_id common S
# Security
cors_enabled true B
security.csrf_protection true B
security.csrf_cookie para-csrf-token S
auth_cookie para-auth S
request_expires_after 900 I
jwt_expires_after 86400 I
jwt_refresh_interval 3600 I
id_token_expires_after 60 I
session_timeout 86400 I
min_password_length 8 I
pass_reset_timeout 1800 I
max_pass_matching_attemts 20 I
pass_matching_lock_period_hours 1 I
returnto_cookie para-returnto S
support_email support@myapp.co S
security.allow_unverified_emails false B
security.protected {} object
security.ignored [] list
security.signin /signin S
security.signout /signout S
security.signin_success / S
security.signin_failure /signin?error S
security.signout_success /signin S
security.access_denied /403 S
security.returnto returnto S
security.remember_me true B
app_secret_key - S
# River and queue
default_queue_name para-default S
queue_link_enabled false B
queue.polling_sleep_seconds 60 I
queue.polling_interval_seconds 10 I
river.max_indexing_retries 5 I
indexing_sync_interval_sec 10 I
# Metrics
metrics_enabled true B
metrics.logging_rate 60 I
metrics.graphite.host - S
metrics.graphite.port 2003 I
metrics.graphite.{prefix_system,prefix_apps} - S
metrics.graphite.period 0 I
metrics.jmx_enabled false B
# LDAP
security.ldap.password_param password S
security.ldap.username_param username S
security.ldap.server_url ldap://localhost:8389/ S
security.ldap.base_dn dc=springframework,dc=org S
security.ldap.user_search_filter (cn={0}) S
security.ldap.user_dn_pattern uid={0} S
security.ldap.password_attribute userPassword S
security.ldap.username_as_name false B
security.ldap.{bind_dn,bind_pass,user_search_base,active_directory_domain} - S
security.ldap.{ad_mode_enabled,mods_group_node,admins_group_node,compare_passwords} - S
# OAuth 2
security.{oauth,oauthsecond,oauththird}.{profile_url,token_url,scope,accept_header,domain} - S
security.{oauth,oauthsecond,oauththird}.{download_avatars,token_delegation_enabled} false B
security.{oauth,oauthsecond,oauththird}.parameters.id sub S
security.{oauth,oauthsecond,oauththird}.parameters.picture picture S
security.{oauth,oauthsecond,oauththird}.parameters.email email S
security.{oauth,oauthsecond,oauththird}.parameters.name name S
security.{oauth,oauthsecond,oauththird}.parameters.given_name given_name S
security.{oauth,oauthsecond,oauththird}.parameters.family_name family_name S
# SAML
security.saml.sp.{entityid,assertion_consumer_service.url,nameidformat,x509cert,privatekey} - S
security.saml.idp.{entityid,single_sign_on_service.url,x509cert,metadata_url} - S
security.saml.security.{authnrequest_signed,want_messages_signed,want_assertions_signed} false B
security.saml.security.{want_assertions_encrypted,want_nameid_encrypted,sign_metadata} false B
security.saml.security.want_xml_validation true B
security.saml.security.signature_algorithm - S
security.saml.attributes.{id,picture,email,name,firstname,lastname} - S
security.saml.domain - S
# File storage
s3.bucket org.paraio.us-east-1 S
localstorage.folder - S
{s3,localstorage}.max_filesize_mb 10 I
# E-mail
mail.{host,username,password} - S
mail.port - I
mail.tls true B
mail.ssl false B
aws_ses_region eu-west-1 S
# Client
client.ssl_protocols TLSv1.3 S
client.{ssl_keystore,ssl_keystore_password,ssl_truststore,ssl_truststore_password} - S
user_agent_id_enabled true B
# Lucene, H2, SQL
lucene.dir ./ S
db.dir ./data S
db.hostname - S
db.user para S
db.password secret S
db.tcpServer - S
sql.{url,driver} - S
sql.user user S
sql.password secret S
# Local cache
caffeine.evict_after_minutes 10 I
caffeine.cache_size 10000 I
# Miscellaneous
max_items_per_page 30 I
max_pages 1000 I
max_page_limit 256 I
shared_table_name 0 S
fail_on_write_errors true B
import_batch_size 100 I
gzip_enabled false B
vote_expires_after 2592000 I
vote_locked_after 30 I
plugin_folder lib/ S
prepend_shared_appids_with_space false B
{print_version,print_logo} true B
markdown_soft_break <br> S
markdown_allowed_follow_domains - S
default_separator : S
default_encoding UTF-8 S
max_batch_delete 1000 I
validate_batch_updates true B
# Logs
access_log_enabled true B
debug_request_signatures false B
pidfile_enabled true B
logs_dir . S
logs_name para S
file_logger_level INFO S
# Elasticsearch
es.flavor elasticsearch S
es.shards 2 I
es.shards_for_child_apps 1 I
es.{replicas,replicas_for_child_apps} 0 I
es.auto_expand_replicas 0-1 S
es.{use_nested_custom_fields,async_enabled,fail_on_indexing_errors} false B
es.restclient_scheme http S
es.restclient_host localhost S
es.restclient_port 9200 I
es.{restclient_context_path,basic_auth_login,basic_auth_password} - S
es.{sign_requests_to_aws,root_index_sharing_enabled,proxy_enabled,proxy_reindexing_enabled} false B
es.aws_region eu-west-1 S
es.track_total_hits true S
es.bulk.size_limit_mb 5 I
es.bulk.action_limit 1000 I
es.bulk.concurrent_requests 1 I
es.bulk.flush_interval_ms 5000 I
es.bulk.backoff_initial_delay_ms 50 I
es.bulk.max_num_retries 8 I
es.bulk.flush_immediately true B
es.proxy_path _elasticsearch S
# MongoDB
mongodb.{uri,user,password} - S
mongodb.database para S
mongodb.host localhost S
mongodb.port 27017 I
mongodb.{ssl_enabled,ssl_allow_all} false B
# Cassandra
cassandra.hosts localhost S
cassandra.keyspace para S
cassandra.{user,password,ssl_keystore,ssl_keystore_password,ssl_truststore,ssl_truststore_password} - S
cassandra.port 9042 I
cassandra.replication_factor 1 I
cassandra.ssl_enabled false B
cassandra.ssl_protocols TLSv1.3 S
# DynamoDB
dynamodb.{sse_enabled,backups_enabled,provisioned_mode_enabled} false B
dynamodb.replica_regions - S
dynamodb.max_read_capacity 10 I
dynamodb.max_write_capacity 5 I
# Hazelcast
hc.{async_enabled,ec2_discovery_enabled,jmx_enabled} true B
hc.mancenter_enabled false B
hc.ttl_seconds 3600 I
hc.max_size 5000 I
hc.eviction_percentage 25 I
hc.eviction_policy LRU S
hc.discovery_group hazelcast S
hc.mancenter_url http://localhost:8001/mancenter S
hc.{aws_access_key,aws_secret_key,aws_region} - S
"""
# Where we depart: (type, default) here, and why.
DEPARTURES: dict[str, tuple[str, object, str]] = {
    "api_enabled": ("B", True, "D12: on where a server runs"),
    "worker_id": ("I", 1, "the numbers of ids are checked at the start"),
    "logs_dir": ("S", "", "the data directory's logs instead of wherever the server was started"),
    "emailer": ("S", "", "SMTP where a mail server is set"),
    "mail.port": ("I", 0, "no default there; 0 is by the protocol"),
}
BRACES = re.compile(r"\{([^{}]+)\}")


def expanded(name: str) -> list[str]:
    found = BRACES.search(name)
    if found is None:
        return [name]
    return [done for one in found[1].split(",") for done in expanded(name[: found.start()] + one + name[found.end() :])]


def default(text: str, type: str) -> object:
    if type == "B":
        return text == "true"
    if type == "I":
        return 0 if text == "-" else int(text)
    return {"object": {}, "list": []}.get(type, "" if text == "-" else text)


def table() -> dict[str, tuple[str, str, object]]:
    """key -> category, type, default."""
    found: dict[str, tuple[str, str, object]] = {}
    heading = ""
    for line in TABLE.strip().splitlines():
        if line.startswith("# "):
            heading = line.removeprefix("# ")
            continue
        name, text, type = line.split()
        for one in expanded(name):
            held = DEPARTURES.get(one, (type, default(text, type), ""))[:2]
            assert f"para.{one}" not in found, one
            found[f"para.{one}"] = (heading, *held)
    return found


def test_every_key_of_the_table_is_there_with_its_type_default_and_category() -> None:
    told = {key.name: (key.category, key.type, key.default) for key in keys().values() if key.name.startswith("para.")}
    expected = table()
    assert len(expected) > 250
    assert {name: told.get(name) for name in expected} == expected


def test_a_key_is_a_field_or_an_apps_option_or_accepted_without_effect_never_two() -> None:
    fields = [key.name for key in keys().values() if key.field]
    assert len(fields) == len(set(fields)) == len(Settings.__struct_fields__) - 1, "per_app holds the options"
    options = {f"para.{name}" for name in APP_OPTIONS}
    assert set(fields).isdisjoint(ACCEPTED | dict.fromkeys(options)), "a key that became a field leaves its table"
    assert options.isdisjoint(ACCEPTED)


def test_the_configuration_gives_options_of_the_root_app() -> None:
    settings = load(["para.gp_app_id=abc", "para.security.ldap.username_as_name=true"], None, pytest.fail).settings
    assert settings.per_app == {"gp_app_id": "abc", "security.ldap.username_as_name": True}


def test_every_key_has_a_meaning_and_a_category() -> None:
    for key in keys().values():
        assert key.about.strip(), key.name
        assert key.category == category(key.name) != "", key.name


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("para.root_secret_override", True),
        ("para.gh_secret", True),
        ("para.mail.password", True),
        ("para.security.ldap.bind_pass", True),
        ("para.security.saml.sp.privatekey", True),
        ("para.hc.aws_secret_key", True),
        ("para.app_secret_key", True),
        ("para.mongodb.uri", True),
        ("para.sql.url", True),
        ("para.security.ldap.password_param", False),
        ("para.security.ldap.password_attribute", False),
        ("para.security.ldap.compare_passwords", False),
        ("para.min_password_length", False),
        ("para.app_name", False),
    ],
)
def test_secrets_are_known_by_name(name: str, hidden: bool) -> None:
    assert secret(name) is hidden


FITS = [
    ("para.app_name", "x y", "x y"),
    ("para.app_name", 5, "5"),
    ("para.cluster_name", True, "true"),
    ("para.cluster_name", 1.5, "1.5"),
    ("para.port", "9000", 9000),
    ("para.port", " 9000 ", 9000),
    ("para.executor_threads", -1, -1),
    ("para.print_logo", "FALSE", False),
    ("para.print_logo", "on", True),
    ("para.print_logo", "no", False),
    ("para.security.protected", {"a": ["/x"]}, {"a": ["/x"]}),
    ("para.security.protected", '{"a": ["/x"]}', {"a": ["/x"]}),
    ("para.security.ignored", '["/y"]', ["/y"]),
    ("hypermedia.read", "open", "open"),
]


@pytest.mark.parametrize(("name", "given", "held"), FITS)
def test_a_value_that_fits(name: str, given: object, held: object) -> None:
    converted = value(keys()[name], given, "here")
    assert (converted, type(converted)) == (held, type(held))


WRONG = [
    ("para.port", "many", "a whole number, got 'many'"),
    ("para.port", True, "a whole number"),
    ("para.port", 1.5, "a whole number"),
    ("para.port", "1.5", "a whole number"),
    ("para.port", 70_000, "65535"),
    ("para.port", "-1", ">= 0"),
    ("para.executor_threads", "9" * 40, "a whole number"),
    ("para.print_logo", "maybe", "true or false"),
    ("para.print_logo", 1, "true or false"),
    ("para.app_name", ["x"], "a text"),
    ("para.app_name", {"x": 1}, "a text"),
    ("para.security.protected", "[]", "an object"),
    ("para.security.protected", "{", "an object"),
    ("para.security.ignored", "{}", "a list"),
    ("hypermedia.read", "maybe", "maybe"),
]


@pytest.mark.parametrize(("name", "given", "said"), WRONG)
def test_a_value_that_does_not_fit_is_refused_by_name_and_source(name: str, given: object, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        value(keys()[name], given, "some file")
    assert refused.value.message.startswith(f"{name} in some file: ")
    assert said in refused.value.message


def test_a_refusal_shows_no_secret() -> None:
    with pytest.raises(InvalidInput) as refused:
        value(keys()["para.mail.password"], ["hunter2"], "some file")
    assert "hunter2" not in refused.value.message
