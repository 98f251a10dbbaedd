"""Promise: `setup`, `new-app` and `new-keys` do on a data directory what they do by asking a running server; two
writers never meet; what fails is one line and exit code 1, and no secret is shown but the new one.
"""

import json
import stat
from pathlib import Path

import pytest

from support.client import Client
from support.commands import Commands
from support.server import Server
from support.sign import Signer

NO_OVERRIDE = {"para_root_secret_override": ""}


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(capsys)


def keys(commands: Commands, *arguments: str) -> Signer:
    found = json.loads(commands.run(*arguments, "--json")[0])
    assert set(found) == {"accessKey", "secretKey"}
    return Signer(found["accessKey"], found["secretKey"])


def works(server: Server, signer: Signer) -> bool:
    return Client(server.http, signer).send("GET", "/v1/_me").status_code == 200


def test_on_a_data_directory(tmp_path: Path, commands: Commands) -> None:
    data = str(tmp_path / "data")
    assert "there is no data in" in commands.refused("new-app", "first", "--data", data)
    assert not (tmp_path / "data").exists()
    root = keys(commands, "setup", "--data", data)
    kept = tmp_path / "data" / "root-keys.json"
    assert json.loads(kept.read_text()) == {"accessKey": root.access_key, "secretKey": root.secret}
    assert commands.run("setup", "--data", data) == ("All set!\n", "")
    child = keys(commands, "new-app", "app:first", "--name", "The first", "--data", data)
    assert "the app 'first' exists" in commands.refused("new-app", "first", "--data", data)
    newer, newest = keys(commands, "new-keys", "first", "--data", data), keys(commands, "new-keys", "--data", data)
    assert json.loads(kept.read_text())["secretKey"] == newest.secret
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "App not found" in commands.refused("new-keys", "nobody", "--data", data)
    assert "ASCII" in commands.refused("new-app", "!!", "--data", data)
    with Server(tmp_path, environment=NO_OVERRIDE) as server:
        assert [works(server, signer) for signer in (root, newest, child, newer)] == [False, True, False, True]
        assert Client(server.http, newest).send("GET", "/v1/apps/app:first").json()["name"] == "The first"
        assert "secretKey" not in Client(server.http).send("GET", "/v1/_setup").json()
        line = commands.refused("new-app", "second", "--data", data)
        in_use = f"the data directory {data} is in use by another server (process {server.pid})"
        assert line == f"{in_use}; ask that server with --url"


def test_by_asking_a_running_server(tmp_path: Path, commands: Commands) -> None:
    with Server(tmp_path, environment=NO_OVERRIDE, settings={"para.context_path": "ctx"}) as server:
        url = ("--url", f"{server.http}/ctx/")
        data = ("--data", str(server.data))
        root = keys(commands, "setup", *url)
        assert json.loads(commands.run("setup", *url, "--json")[0]) == {"code": 200, "message": "All set!"}
        child = keys(commands, "new-app", "first", "--name", "The f&rst", *url, *data)
        client = Client(server.http, root)
        assert client.send("GET", "/ctx/v1/apps/app:first").json()["name"] == "The f&rst"
        assert "exists" in commands.refused("new-app", "first", *url, *data)
        newer = keys(commands, "new-keys", "first", *url, *data)
        assert newer.secret != child.secret
        assert Client(server.http, newer).send("GET", "/ctx/v1/_me").status_code == 200
        assert "no app 'nobody'" in commands.refused("new-keys", "nobody", *url, *data)
        mine = tmp_path / "mine.json"
        mine.write_text(json.dumps({"accessKey": newer.access_key, "secretKey": newer.secret}))
        newest = keys(commands, "new-keys", "first", *url, "--keys", str(mine))
        assert json.loads(mine.read_text())["secretKey"] == newest.secret
        line = commands.refused("new-app", "third", *url, "--keys", str(mine))
        assert "answered 403: Only root app can create" in line
        assert newest.secret not in line
        root = keys(commands, "new-keys", *url, *data)
        assert keys(commands, "new-app", "fourth", *url, *data).access_key == "app:fourth"
        assert "cannot be read" in commands.refused("new-app", "fifth", *url, "--keys", str(tmp_path / "none"))
        log = server.log + "".join(file.read_text() for file in (server.data / "logs").iterdir())
        assert server.stop() == 0
    for signer in (root, child, newer, newest):
        assert log.count(signer.secret) == 0


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://user:pw@x/", "http://x/?a=b"])
def test_a_url_that_is_none(commands: Commands, url: str) -> None:
    assert "--url takes" in commands.refused("setup", "--url", url)


def test_a_server_that_is_not_there(commands: Commands) -> None:
    assert "cannot be asked" in commands.refused("setup", "--url", "127.0.0.1:1")


def test_a_fixed_secret_of_root_is_not_replaced(tmp_path: Path, commands: Commands) -> None:
    data = str(tmp_path / "data")
    fixed = ("--set", "para.root_secret_override=" + "x" * 40)
    assert commands.run("setup", "--data", data, *fixed)[0] == "All set!\n"
    assert "para.root_secret_override" in commands.refused("new-keys", "--data", data, *fixed)
