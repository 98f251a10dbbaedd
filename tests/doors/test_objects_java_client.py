"""Promise: Para's published Java client, 1.47.2, works unchanged; tests/support/java/Walk.java calls and checks it."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.client import Client
from support.keycloak import CACHE
from support.server import Server

JAVA = Path(__file__).parents[1] / "support" / "java"
INSTALL_SECONDS = 300
SECONDS = 60
CHECKS = 49


def jars() -> Path:
    """The folder of the client and all it needs, from Maven Central; fetched once."""
    made = CACHE / "para-client-1.47.2"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "para-client.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return made
        part = made.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        shutil.copy(JAVA / "pom.xml", part)
        fetch = ("mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={part}")
        ran(*fetch, at=part, seconds=INSTALL_SECONDS)
        part.rename(made)
    return made


def ran(*command: str, at: Path, seconds: int = SECONDS) -> str:
    done = subprocess.run(command, cwd=at, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.servers("javac", "mvn")
@pytest.mark.timeout(420)
def test_the_client_is_driven(tmp_path: Path) -> None:
    path = os.pathsep.join((str(tmp_path), str(jars() / "*")))
    settings = {"para.security.allow_unverified_emails": "true"}
    with Server(tmp_path, settings) as server:
        keys = Client(server.http, server.root).send("GET", "/v1/_setup/cats").json()
        command = ["java", "-XX:TieredStopAtLevel=1", "-cp", path, str(JAVA / "Walk.java")]
        out = ran(*command, server.http, keys["accessKey"], keys["secretKey"], at=tmp_path)
    lines = out.splitlines()
    assert lines[-1] == "done"
    assert [line for line in lines[:-1] if not line.startswith("ok ")] == []
    assert len(lines) == CHECKS + 1
