"""Promise: `thingstead export`, `import` and `reindex` do their work at a running server and in a directory that has
none, say how far they are, and fail with one line."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.client import Client
from support.server import ROOT_SECRET, Server
from support.sign import Signer
from thingstead.server.cli.progress import Bar

SECONDS = 60


def command(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "para_root_secret_override": ROOT_SECRET}
    line = [sys.executable, "-m", "thingstead", *map(str, words)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == code, done
    return done


def test_an_app_moves_from_a_server_to_a_directory_and_back(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Server(tmp_path / "a") as server, Server(tmp_path / "b") as other:
        root = Client(server.http, server.root)
        keys = root.send("GET", "/v1/_setup/farm").json()
        farm = Client(server.http, Signer("app:farm", keys["secretKey"]))
        for n in range(50):
            assert farm.send("PUT", f"/v1/cat/c{n}", {"n": n, "deep": {"a": [n]}}).status_code == 200
        at = ("--url", server.http, "--app", "app:farm", "--json")
        farm_zip, root_zip = tmp_path / "farm.zip", tmp_path / "root.zip"
        told = json.loads(command("export", farm_zip, *at).stdout)
        assert told == {"appid": "farm", "file": str(farm_zip), "bytes": farm_zip.stat().st_size, "objects": 50}
        assert farm_zip.stat().st_mode & 0o777 == 0o600
        assert json.loads(command("reindex", *at).stdout)["reindexed"] == 50
        command("export", root_zip, "--url", server.http)
        own = tmp_path / "keys.json"
        own.write_text(json.dumps({"accessKey": "app:farm", "secretKey": keys["secretKey"]}))
        at_own = ("--url", server.http, "--keys", own, "--json")
        assert json.loads(command("reindex", *at_own).stdout)["reindexed"] == 50
        own.write_text(json.dumps({"accessKey": "app:farm", "secretKey": "wrong" * 10}))
        for refused in (command("export", *at_own, code=1), command("import", root_zip, *at_own, code=1)):
            assert (refused.stdout, refused.stderr.count("\n")) == ("", 1)
            assert "answered 401" in refused.stderr
        in_use = command("import", root_zip, "--data", other.data, code=1)
        assert "in use by another server" in in_use.stderr
        other.stop()
        imported = command("import", root_zip, "--data", other.data)
        assert imported.stdout == "2 objects imported into para\n"
        summary = json.loads(command("import", farm_zip, "--data", other.data, "--app", "farm", "--json").stdout)
        assert (summary["count"], summary["name"]) == (50, "farm.zip")
        again = tmp_path / "folder"
        again.mkdir()
        command("export", again, "--data", other.data, "--app", "farm")
        assert [file.suffix for file in again.iterdir()] == [".zip"]
        assert json.loads(command("reindex", "--data", other.data, "--app", "farm", "--json").stdout)["reindexed"] == 51
        other.restart()
        moved = Client(other.http, Signer("app:farm", keys["secretKey"]))  # the same keys
        assert moved.send("GET", "/v1/cats?limit=1").json()["totalHits"] == 50
        assert moved.send("GET", "/v1/cat/c7").content == farm.send("GET", "/v1/cat/c7").content


FAILING = [
    (("export", "--data", "{tmp}/none"), "there is no data in"),
    (("import", "{tmp}/none.zip", "--url", "http://127.0.0.1:9"), "No such file"),
    (("reindex", "--url", "ftp://127.0.0.1:9"), "--url takes"),
    (("reindex", "--url", "http://127.0.0.1:99999"), "--url takes"),
    (("reindex", "--url", "http://127.0.0.1:9", "--app", "x"), "cannot be asked"),
]


@pytest.mark.parametrize(("words", "reason"), FAILING)
def test_a_failure_is_one_line(tmp_path: Path, words: tuple[str, ...], reason: str) -> None:
    done = command(*(word.format(tmp=tmp_path) for word in words), code=1)
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere() -> None:
    now = [0.0]
    for stream, expected in (
        (Terminal(), "\r[###############               ] 1,500 of 3,000 objects\x1b[K\r\x1b[K"),
        (io.StringIO(), "1,500 of 3,000 objects\n"),
    ):
        bar = Bar("objects", stream=stream, timer=lambda: now[0])
        bar(1, 3000)  # too soon
        now[0] += 10
        bar(1500, 3000)
        bar(1600, 3000)
        bar.close()
        assert stream.getvalue() == expected
    quiet = io.StringIO()
    Bar("objects", quiet=True, stream=quiet, timer=lambda: now[0])(1, 2)
    assert quiet.getvalue() == ""
