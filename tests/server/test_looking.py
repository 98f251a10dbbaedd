"""Promise: `config` shows what is in force and where it comes from, without secrets; `doctor` finds what is wrong, says
what to do, changes nothing, and ends with 1 if something fails.
"""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import Commands
from support.environment import ManualClock
from support.server import Server
from thingstead.model.keys import keys
from thingstead.server.cli import doctor
from thingstead.server.cli.doctor import Finding, Place, examine
from thingstead.server.running import Addresses
from thingstead.server.settings import load

FREE = Addresses(port=0, mqtt_port=0, mqtt_plain_port=0, agent_port=0, south_port=0, context_port=0)
NOW = 1_800_000_000_000_000


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Commands]:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.lower().startswith(("para_", "thingstead_")):
            monkeypatch.delenv(name)
    return Commands(capsys)


def test_config_shows_values_sources_and_no_secret(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    toml = tmp_path / "data" / "thingstead.toml"
    toml.write_text('para.mail.password = "hunter2"\npara.es.shards = 3\n')
    secret = ("--set", "para.root_secret_override=hunter3", "-D", "para.max_pages=5")
    out, err = commands.run("config", "--data", "data", *secret)
    assert "para.max_pages = 5  # --set" in out
    assert 'para.root_secret_override = "***"  # --set' in out
    assert "para.es.shards = 3  # data/thingstead.toml; no effect here" in out
    assert "para.port = 8080  # default" in out
    assert "hunter" not in out + err
    shown = json.loads(commands.run("config", "--data", "data", "--json", *secret)[0])
    assert shown["settings"]["para.es.shards"] == {"value": 3, "source": "data/thingstead.toml", "effect": False}
    assert shown["settings"]["para.mail.password"]["value"] == "***"
    assert shown["settings"]["para.max_page_limit"]["source"] == "default"
    assert shown["warnings"] == []


def test_settings_lists_every_key(commands: Commands) -> None:
    listed = json.loads(commands.run("settings", "--json")[0])
    assert [entry["name"] for entry in listed] == list(keys())
    lines = commands.run("settings")[0].splitlines()
    assert len(lines) == len(listed)
    assert "para.port = 8080  # main HTTP port; --port wins" in lines
    assert "para.es.shards = 2  # shards (no effect here)" in lines


def test_config_check(commands: Commands) -> None:
    assert commands.run("config", "--check") == ("ok\n", "")
    assert json.loads(commands.run("config", "--check", "--json")[0]) == {"ok": True, "problems": []}
    out, err = commands.run("config", "--check", "--set", "para.prot=1", code=1)
    assert (out, err) == ("not ok\n", "thingstead: unknown setting para.prot in --set; did you mean para.port?\n")
    assert commands.refused("config", "--check", "--set", "para.port=x").startswith("para.port in --set: ")
    assert commands.refused("config", "--set", "para.port=x").startswith("para.port in --set: ")
    out, err = commands.run("config", "--check", "--json", "--set", "para.port=x", code=1)
    assert json.loads(out)["problems"] == ["para.port in --set: expected a whole number, got 'x'"]
    assert err == ""


def found(directory: Path, *texts: str, addresses: Addresses = FREE, now: int = NOW) -> dict[str, list[Finding]]:
    warnings: list[str] = []
    loaded = load(texts, directory, warnings.append)
    findings: dict[str, list[Finding]] = {}
    for finding in examine(Place(directory, addresses, loaded, tuple(warnings), "", ManualClock(now))):
        findings.setdefault(finding.check, []).append(finding)
        assert finding.level == "ok" or finding.advice, finding
    return findings


def worst(findings: list[Finding]) -> str:
    return max((finding.level for finding in findings), key=("ok", "warn", "fail").index)


def levels(findings: dict[str, list[Finding]]) -> dict[str, str]:
    """What is not ok."""
    return {check: level for check, held in findings.items() if (level := worst(held)) != "ok"}


CHECKS = {
    "python",
    "libraries",
    "sqlite",
    "data",
    "space",
    "secrets",
    "lock",
    "index",
    "certificates",
    "clock",
    "limits",
    "ports",
    "settings",
}


def test_before_the_first_start_all_is_well(tmp_path: Path, commands: Commands) -> None:
    assert commands is not None
    findings = found(tmp_path / "data")
    assert set(findings) == CHECKS
    assert set(levels(findings)) <= {"limits", "libraries"}
    assert not (tmp_path / "data").exists()


def test_beside_a_running_server_and_after_it(tmp_path: Path, commands: Commands) -> None:
    with Server(tmp_path) as server:
        data = server.data
        arguments = ["doctor", "--data", str(data), "--port", server.http.rpartition(":")[2], "--json"]
        for name in ("mqtt-port", "mqtt-plain-port", "agent-port", "south-port", "context-port"):
            arguments += [f"--{name}", "0"]
        shown = json.loads(commands.run(*arguments)[0])
        assert shown["ok"] is True
        seen = {finding["check"]: finding["seen"] for finding in shown["findings"]}
        assert f"(process {server.pid})" in seen["lock"]
        assert seen["index"].startswith("the index is at ")
        assert seen["ports"].startswith("a server is running")
        assert server.stop() == 0
    assert not (data / ".doctor").exists()
    assert not [file for file in data.iterdir() if file.name.startswith(".doctor")]
    findings = found(data)
    assert set(levels(findings)) <= {"limits", "libraries", "clock"}
    assert [finding.seen.partition(" ")[0] for finding in findings["certificates"]] == ["ca.pem", "server.pem"]
    in_years = {10: "fail", 0: "ok"}
    for years, level in in_years.items():
        assert worst(found(data, now=NOW + years * 365 * 86_400 * 1_000_000)["certificates"]) == level
    assert worst(found(data, now=1_000_000)["clock"]) == "fail"
    (data / "secret.key").rename(data / "away")
    assert worst(found(data)["secrets"]) == "fail"
    (data / "secret.key").write_bytes(b"short")
    (data / "secret.key").chmod(0o644)
    assert [finding.level for finding in found(data)["secrets"]] == ["fail", "warn"]
    data.chmod(0o755)
    assert "others can read" in found(data)["data"][0].seen
    position = json.loads((data / "index" / "position.json").read_text())
    for seq, level in ((position["seq"] + 1, "fail"), (position["seq"] - doctor.BEHIND - 1, "warn")):
        (data / "index" / "position.json").write_text(json.dumps({**position, "seq": seq}))
        assert worst(found(data)["index"]) == level
    (data / "index" / "position.json").unlink()
    assert "rebuilds it" in found(data)["index"][0].advice
    (data / "store.db").write_bytes(b"not a database, whatever its name says" * 100)
    assert worst(found(data)["index"]) == "warn", "a check that breaks is a finding"
    lines = commands.run("doctor", "--data", str(data), code=1)[0].splitlines()
    assert any(line.startswith("fail secrets ") and " -> " in line for line in lines)


def test_a_taken_port_fails_without_a_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        [finding] = found(tmp_path / "data", addresses=Addresses(port=port, mqtt_port=0, mqtt_plain_port=0))["ports"]
    assert finding.level == "fail"
    assert f"127.0.0.1:{port} (HTTP)" in finding.seen


def test_settings_that_are_doubtful(tmp_path: Path, commands: Commands) -> None:
    beyond = Addresses(host="0.0.0.0", port=0, mqtt_port=0, mqtt_plain_port=0, agent_port=0, south_port=0)
    doubtful = (
        "kits.access=open",
        "para.setup_enabled=true",
        "para.root_secret_override=hunter2",
        "para.es.shards=1",
        "para.gp_app_id=x",
    )
    seen = [finding.seen for finding in found(tmp_path, "para.prot=1", *doubtful, addresses=beyond)["settings"]]
    assert [text.partition(":")[0] for text in seen[:3]] == [
        "unknown setting para.prot in --set; did you mean para.port?",
        "without effect here",
        "open to everybody",
    ]
    assert len(seen) == 5
    assert not any("hunter2" in text for text in seen)
    out = commands.run("doctor", "--set", "para.port=x", "--mqtt-port", "0", "--mqtt-plain-port", "0", code=1)[0]
    assert "fail settings     para.port in --set: expected a whole number" in out


def test_a_check_that_breaks_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[Finding]:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(doctor, "_space", broken)
    findings = found(tmp_path)
    assert set(findings) == CHECKS
    assert "no such thing" in findings["space"][0].seen
