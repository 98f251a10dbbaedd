"""The process: one server a data directory, an orderly end with clients connected, root's keys shown once, the demo."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from websockets.sync.client import connect

from support.client import Client
from support.server import Server
from support.sign import Signer

SECONDS = 10
NO_OVERRIDE = {"para_root_secret_override": ""}


def start(data: Path, *arguments: str) -> subprocess.Popen[str]:
    """`thingstead serve` on free ports, with its output kept apart."""
    names = ("port", "mqtt-port", "mqtt-plain-port", "agent-port", "south-port", "context-port")
    ports = [f"--{name}=0" for name in names if f"--{name}" not in arguments]
    command = [sys.executable, "-m", "thingstead", "serve", "--data", str(data), *ports, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_second_server_on_the_same_data_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        second = start(server.data, "--json")
        out, err = second.communicate(timeout=SECONDS)
        assert second.returncode == 1
        assert out == ""
        assert (
            err.strip()
            == f"thingstead: the data directory {server.data} is in use by another server (process {server.pid})"
        )
        assert Client(server.http, server.root).send("GET", "/v1/_me").status_code == 200


def test_sigterm_ends_it_with_clients_connected_and_loses_nothing(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        client = Client(server.http, server.root)
        site = client.send("POST", "/v1/sites", {"name": "s"}).json()["id"]
        address = urlsplit(server.mqtt)
        with (
            connect(f"{server.http.replace('http', 'ws', 1)}/ws/site-{site}") as stream,
            socket.create_connection((address.hostname, address.port)) as silent,
        ):
            assert silent
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < SECONDS
            assert (tmp_path / "server.out").read_text().count("\n") == 1, "the ready line is all there is"
            with pytest.raises(Exception, match="1001"):
                stream.recv(SECONDS)
        server.restart()
        assert client.send("GET", f"/v1/sites/{site}").status_code == 200


def test_roots_keys_are_shown_once_and_kept_for_the_owner_only(tmp_path: Path) -> None:
    with Server(tmp_path, environment=NO_OVERRIDE) as server:
        kept = server.data / "root-keys.json"
        keys = json.loads(kept.read_text())
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
        assert stat.S_IMODE((server.data / "secret.key").stat().st_mode) == 0o600
        assert server.log.count(keys["secretKey"]) == 1
        assert keys["secretKey"] not in json.dumps(server.ready)
        anybody = Client(server.http)
        assert anybody.send("GET", "/v1/_setup").json()["secretKey"] == keys["secretKey"]
        assert "secretKey" not in anybody.send("GET", "/v1/_setup").json()
        root = Client(server.http, Signer("app:para", keys["secretKey"]))
        assert root.send("GET", "/v1/_me").status_code == 200
        server.restart()
        assert server.log.count(keys["secretKey"]) == 1
        assert "secretKey" not in anybody.send("GET", "/v1/_setup").json()
        stored = b"".join(file.read_bytes() for file in server.data.glob("*.db*"))
        assert keys["secretKey"].encode() not in stored


WRONG = [
    (["--set", "para.max_pages=many"], "para.max_pages", 1),
    (["--set", "hypermedia.read=maybe"], "hypermedia.read", 1),
    (["--set", "nonsense"], "KEY=VALUE", 1),
    (["--set", "para.worker_id=5000"], "para.worker_id", 1),
    (["--set", "chain.timezone=Nowhere/X"], "chain.timezone", 1),
    (["--set", "trusted_proxies=foo"], "trusted_proxies", 1),
    (["--set", "things.default_broker=AWS"], "things.default_broker", 1),
    (["--port", "70000"], "65535", 2),
]


@pytest.mark.parametrize(("arguments", "named", "code"), WRONG)
def test_a_wrong_argument_is_named_and_nothing_starts(
    tmp_path: Path, arguments: list[str], named: str, code: int
) -> None:
    process = start(tmp_path / "data", *arguments)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == code
    assert named in out + err
    assert "Traceback" not in err


def test_an_unknown_setting_is_a_warning_with_the_nearest_known_one(tmp_path: Path) -> None:
    with Server(tmp_path, settings={"hypermedia.raed": "open"}) as server:
        assert "unknown setting hypermedia.raed in --set; did you mean hypermedia.read?" in server.log


def test_the_demo_kit_reports_and_is_shown(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "thingstead", "demo", "--port", "0", "--data", str(tmp_path / "demo")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        shown: dict[str, str] = {}
        for line in process.stderr:
            words = line.split()
            if len(words) == 2 and words[1].startswith("http"):
                shown[words[0]] = words[1]
            if line.startswith("Ctrl-C"):
                break
        deadline = time.monotonic() + SECONDS
        data: dict[str, list[object]] = {}
        while time.monotonic() < deadline and min(map(len, data.values()), default=0) < 2:
            with urlopen(shown["kits"], timeout=SECONDS) as answer:
                data = json.load(answer)["data"]
        assert set(data) == {"temperature", "humidity", "light", "co2"}
        assert min(map(len, data.values())) >= 2
        for name in ("hypermedia", "context", "health"):
            with urlopen(shown[name], timeout=SECONDS) as answer:
                assert answer.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        process.stderr.close()
