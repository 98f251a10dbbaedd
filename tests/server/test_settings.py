"""Promise: settings come from the command line, the environment, thingstead.toml and an existing application.conf, in
that order; blank is unset; what is unknown or wrong is told by key and source, and nothing that is told holds a secret.
"""

import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thingstead.model.errors import InvalidInput
from thingstead.server.settings import Loaded, load

Load = Callable[..., Loaded]
HOCON = """
// an existing Para configuration
para {
  app_name = "My App"
  max_pages: 70
  print_version = off
  cluster_name = prod-1   # unquoted
  root_secret_override = ${?NOT_THERE}
  mail { host = "smtp.example.org", port = 2525 }
  security.protected { admin = ["/admin", "/admin/**", ["admin"]] }
}
para.max_pages = 71
"para.support_email" = "a@b.c"
"""


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> Load:
    """Reads settings with `data` as data directory and `work` as working directory, and nothing in the environment."""
    for name in ("data", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in list(os.environ):
        if name.lower().startswith(("para_", "thingstead_")):
            monkeypatch.delenv(name)
    return lambda *texts: load(texts, tmp_path / "data", told.append)


def test_the_order_of_precedence(read: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    def held() -> tuple[int, str]:
        loaded = read(*given)
        source = loaded.given["para.max_pages"].source if "para.max_pages" in loaded.given else "default"
        return loaded.settings.max_pages, source

    given: list[str] = []
    conf, toml = tmp_path / "data" / "application.conf", tmp_path / "data" / "thingstead.toml"
    assert held() == (1000, "default")
    conf.write_text("para.max_pages = 1")
    assert held() == (1, str(conf))
    toml.write_text("[para]\nmax_pages = 2\n")
    assert held() == (2, str(toml))
    monkeypatch.setenv("PARA_MAX_PAGES", "3")
    assert held() == (3, "the environment (PARA_MAX_PAGES)")
    monkeypatch.setenv("para_max_pages", "4")
    assert held() == (4, "the environment (para_max_pages)")
    given.append("para.max_pages=5")
    assert held() == (5, "--set")
    given.append("para.max_pages= ")
    monkeypatch.setenv("para_max_pages", "")
    assert held() == (5, "--set"), "the last that is not blank"
    given.clear()
    assert held() == (3, "the environment (PARA_MAX_PAGES)")
    assert told == []


def test_what_is_set_to_no_effect_is_told() -> None:
    sets = ["para.s3.bucket=mine", "para.db.user=para", "para.es.shards=9", "para.sql.password=hush", "para.port=1"]
    loaded = load([*sets, "para.gp_app_id=x"], None, pytest.fail)
    assert loaded.idle == "without effect here: para.es.shards, para.s3.bucket, para.sql.password"
    assert load(["para.db.user=para"], None, pytest.fail).idle == ""
    schema = "para.security.saml.security.want_xml_validation"  # which is always done
    assert load([f"{schema}=false"], None, pytest.fail).idle == f"without effect here: {schema}"
    assert load([f"{schema}=true"], None, pytest.fail).idle == ""


def test_an_existing_application_conf(read: Load, tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "work" / "application.conf").write_text(HOCON)
    loaded = read()
    assert (loaded.settings.app_name, loaded.settings.max_pages, loaded.settings.print_version) == ("My App", 71, False)
    assert loaded.given["para.cluster_name"].value == "prod-1"
    assert loaded.given["para.mail.port"].value == 2525
    assert loaded.given["para.support_email"].value == "a@b.c"
    assert loaded.given["para.security.protected"].value == {"admin": ["/admin", "/admin/**", ["admin"]]}
    assert "para.root_secret_override" not in loaded.given
    assert told == []


def test_it_may_be_json_and_the_data_directory_goes_first(read: Load, tmp_path: Path) -> None:
    (tmp_path / "work" / "application.conf").write_text("para.max_pages = 8")
    (tmp_path / "data" / "application.conf").write_text(json.dumps({"para": {"max_pages": "9", "port": None}}))
    assert read().settings.max_pages == 9


@pytest.mark.parametrize("name", ["config.file", "para.config.file"])
def test_config_file_names_it(read: Load, tmp_path: Path, name: str) -> None:
    (tmp_path / "data" / "application.conf").write_text("para.max_pages = 8")
    (tmp_path / "other.conf").write_text("para.max_pages = 9")
    assert read(f"{name}={tmp_path / 'other.conf'}").settings.max_pages == 9


def test_config_file_in_the_environment_and_a_resource(
    read: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    (tmp_path / "work" / "mine.conf").write_text("para.max_pages = 9")
    assert read("config.resource=mine.conf").settings.max_pages == 9
    monkeypatch.setenv("para_config_file", str(tmp_path / "work" / "mine.conf"))
    assert read().settings.max_pages == 9
    assert told == []


@pytest.fixture
def web() -> Iterator[str]:
    """A web server with one file, which asks for no credentials but finds them in the URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.startswith("/a.conf")
            self.send_response(200 if found else 404)
            self.end_headers()
            if found:
                self.wfile.write(b"para.max_pages = 9")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_config_url(read: Load, web: str, tmp_path: Path) -> None:
    loaded = read(f"config.url={web}/a.conf?token=hunter2")
    assert loaded.settings.max_pages == 9
    assert "hunter2" not in loaded.given["para.max_pages"].source
    (tmp_path / "b.conf").write_text("para.max_pages = 10")
    assert read(f"config.url={(tmp_path / 'b.conf').as_uri()}").settings.max_pages == 10
    with pytest.raises(InvalidInput, match=r"config.url.*cannot be read.*404"):
        read(f"config.url={web}/none.conf?token=hunter2")


WRONG = [
    ("config.file=/nowhere/x.conf", "", "config.file: there is no file /nowhere/x.conf"),
    ("config.resource=none.conf", "", "config.resource: there is no file none.conf"),
    ("config.url=ftp://x/y", "", "is no http, https or file URL"),
    ("nonsense", "", "--set takes KEY=VALUE"),
    ("=x", "", "--set takes KEY=VALUE"),
    ("", "para { a = ", "application.conf"),
    ("", "[1, 2]", "application.conf holds no object"),
    ("", "\udcff", "application.conf"),
    ("", "para.port = many", "para.port in "),
    ("", "para.port = [1]", "a whole number"),
    ("", "para.max_pages = 10 seconds", "a whole number"),
    ("", 'include file("/nowhere")\npara.port = {}x', "application.conf"),
    ("para.context_path=/a b", "", "para.context_path"),
    ("para.file_logger_level=loud", "", "para.file_logger_level"),
    ("para.logs_name=../x", "", "para.logs_name"),
    ("trusted_proxies=foo", "", "trusted_proxies"),
]


@pytest.mark.parametrize(("text", "conf", "said"), WRONG)
def test_what_is_wrong_is_refused_by_name(read: Load, tmp_path: Path, text: str, conf: str, said: str) -> None:
    if conf:
        (tmp_path / "data" / "application.conf").write_bytes(conf.encode(errors="surrogateescape"))
    with pytest.raises(InvalidInput) as refused:
        read(*filter(None, [text]))
    assert said in refused.value.message
    assert "\n" not in refused.value.message


def test_a_source_that_is_no_utf8_or_too_long(read: Load, tmp_path: Path) -> None:
    conf = tmp_path / "data" / "application.conf"
    conf.write_bytes(b"#" * 1_048_577)
    with pytest.raises(InvalidInput, match="longer than"):
        read()
    conf.unlink()
    (tmp_path / "data" / "thingstead.toml").write_text("para = [")
    with pytest.raises(InvalidInput, match=r"thingstead\.toml"):
        read()


def test_an_unknown_key_is_a_warning_with_the_nearest_known_one(
    read: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    (tmp_path / "data" / "application.conf").write_text('para.root_secret_overide = "hunter2"\nzzz.qqq = 1')
    monkeypatch.setenv("para_max_page", "7")
    monkeypatch.setenv("THINGSTEAD_SECRET_KEY", "0" * 64)
    read("hypermedia.raed=open")
    assert told == [
        f"unknown setting para.root_secret_overide in {tmp_path / 'data' / 'application.conf'}; "
        "did you mean para.root_secret_override?",
        f"unknown setting zzz.qqq in {tmp_path / 'data' / 'application.conf'}",
        "unknown setting para_max_page in the environment; did you mean para_max_pages?",
        "unknown setting hypermedia.raed in --set; did you mean hypermedia.read?",
    ]


def test_production_implies_the_cache_unless_it_is_set(read: Load) -> None:
    assert "para.cache_enabled" not in read("para.env=development").given
    implied = read("para.env=production").given["para.cache_enabled"]
    assert (implied.value, implied.source) == (True, "para.env=production")
    assert read("para.env=production", "para.cache_enabled=false").given["para.cache_enabled"].value is False


@pytest.mark.parametrize(("given", "held"), [("", ""), ("/", ""), ("ctx", "/ctx"), ("/ctx/", "/ctx"), ("/a/b", "/a/b")])
def test_the_context_path_has_one_form(read: Load, given: str, held: str) -> None:
    assert read(f"para.context_path={given}").settings.root_path == held
