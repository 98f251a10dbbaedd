"""Promise: the example packages install with pip, are found through their entry points, and do what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.aio import run, until
from support.client import Client
from support.server import Server
from thingstead.conformance.index import IndexSuite
from thingstead.conformance.queue import CHECKS as QUEUE_CHECKS

REPO = Path(__file__).parents[2]
EXAMPLES = REPO / "examples"
SECONDS = 120


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all examples installed, to be put on PYTHONPATH."""
    target = tmp_path_factory.mktemp("site")
    packages = [EXAMPLES / name for name in ("engine", "post", "resource", "listener", "program")]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--target", str(target), *map(str, packages)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=target)
    assert ran.returncode == 0, ran.stderr
    return target


def environment(installed: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed), **more}


def test_engine_listener_and_resource_in_one_server(installed: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.txt"
    settings = {"para.search": "PlainIndex"}
    with Server(tmp_path, settings, environment(installed, LEDGER=str(ledger))) as server:
        root = Client(server.http, server.root)
        assert root.send("GET", "/v1/greetings/ann").status_code == 404
        put = root.send("PUT", "/v1/greetings/ann", {"text": "Good morning"})
        assert (put.status_code, put.json()) == (200, {"name": "ann", "text": "Good morning"})
        assert root.send("GET", "/v1/greetings/ann").json()["text"] == "Good morning"
        for wrong in ({"text": 5}, [], {"text": ""}):
            refused = root.send("PUT", "/v1/greetings/bob", wrong)
            assert (refused.status_code, "text" in refused.json()["message"]) == (400, True), wrong
        assert root.send("PUT", "/v1/greetings/bob", b"{").status_code == 400
        not_allowed = root.send("POST", "/v1/greetings/ann", {})
        assert (not_allowed.status_code, not_allowed.headers["allow"]) == (405, "DELETE, GET, PUT")
        assert Client(server.http).send("GET", "/v1/greetings/ann").status_code == 401
        found = root.send("GET", "/v1/greeting?q=morning").json()
        assert [item["id"] for item in found["items"]] == ["greeting:ann"]
        assert (server.data / "plain-index" / "lock").exists()
        assert not (server.data / "index").exists()
        assert root.send("DELETE", "/v1/greetings/ann").json() == {"deleted": True}
        assert root.send("GET", "/v1/_setup/cats").status_code == 200
        assert root.send("DELETE", "/v1/app/app:cats").status_code == 200
        lines = ledger.read_text().splitlines()
        assert [line for line in lines if line in ("create para", "app_created cats", "app_deleted cats")] == [
            "create para",
            "app_created cats",
            "app_deleted cats",
        ]
        assert "delete para" in lines
        assert not [line for line in lines if line.startswith("read")]


PUSH = """
import asyncio, sys, thingstead
async def push(data):
    async with thingstead.open(data, settings={"para.q": "FileQueue"}) as para:
        await para.backend.river.push('{"appid": "para", "type": "cat", "id": "tom", "_create": true}')
        assert type(para.queue).__name__ == "FileQueue"
asyncio.run(push(sys.argv[1]))
"""


def test_a_queue_and_a_mailer(installed: Path, tmp_path: Path) -> None:
    """What a program pushes into the queue of `para.q`, a server takes out; letters are the emailer's."""
    data = tmp_path / "data"
    pushed = [sys.executable, "-c", PUSH, str(data)]
    subprocess.run(pushed, env=environment(installed, LEDGER=os.devnull), check=True, timeout=SECONDS)
    assert (data / "queue.db").exists()
    settings = {"para.q": "FileQueue", "para.emailer": "FolderMailer", "para.queue_link_enabled": "true"}
    settings["para.aws_ses_region"] = "us-east-1"
    with Server(tmp_path, settings, environment(installed, LEDGER=os.devnull)) as server:
        root = Client(server.http, server.root)

        async def written() -> bool:
            return root.send("GET", "/v1/cat/tom").status_code == 200

        run(until(written))
        letter = {"name": "Ann", "email": "ann@example.org", "subject": "Hi", "message": "Hello"}
        addresses = [f"{n}@example.org" for n in range(52)]
        assert root.send("POST", "/v1/_emails", {**letter, "toEmails": addresses}).status_code == 200
        kept = [json.loads(file.read_text()) for file in (data / "letters").glob("*.json")]
        assert sorted([each["to"], *each["blind"]] for each in kept) == sorted([addresses[:50], addresses[50:]])
        assert {each["subject"] for each in kept} == {"Hi"}
        assert "thingstead: without effect here: para.aws_ses_region" in server.log.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test", "checks"),
    [
        ("engine/test_plain_index.py", sum(name.startswith("test_") for name in dir(IndexSuite))),
        ("post/test_post.py", len(QUEUE_CHECKS)),
    ],
)
def test_an_engine_keeps_the_promises_of_its_port(installed: Path, tmp_path: Path, test: str, checks: int) -> None:
    """As its author runs the suite: thingstead installed, its own tests nowhere near."""
    copied = tmp_path / Path(test).name
    copied.write_text((EXAMPLES / test).read_text())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(copied)]
    ran = subprocess.run(
        command,
        env=environment(installed, THINGSTEAD_INDEX_EXAMPLES="10"),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stdout
    assert f"{checks} passed" in ran.stdout, ran.stdout


def test_the_program_runs_without_a_server(installed: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        ran = subprocess.run(
            [sys.executable, "-m", "kennel", str(tmp_path / "data")],
            env=environment(installed, LEDGER=str(tmp_path / "ledger.txt")),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.splitlines() == [
            f"Rex {number} 2 c{number} ['good-boy']",
            "['chip is required.', 'legs: must be even']",
            f"{number} good boys, healthy: True",
        ]
    assert (tmp_path / "ledger.txt").read_text().splitlines() == ["create para", "update para"] * 2
