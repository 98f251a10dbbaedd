"""Promise: para.log, para-metrics.log and para-access.log hold what they should, rotate, and stop no request; the PID
file is there while the server is; `Started ParaServer` is told when it is ready.
"""

import contextlib
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from support.client import Client
from support.commands import logging_restored
from support.server import Server
from thingstead import __version__
from thingstead.model.errors import InvalidInput
from thingstead.server.logs import files as logfiles
from thingstead.server.logs import lines as logs
from thingstead.server.logs.files import LogFile, LogFiles

SECONDS = 20


@pytest.fixture
def restored() -> Iterator[None]:
    with logging_restored():
        yield


def test_each_line_goes_where_it_belongs(tmp_path: Path, restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    files = LogFiles(tmp_path / "logs", "mine")
    logs.configure(files, "info")
    logging.getLogger("somebody").debug("too little")
    logging.getLogger("somebody").info("for the file")
    logging.getLogger("somebody").warning("for both")
    logging.getLogger(logs.AUDIT).info("audited")
    logging.getLogger(logs.METRICS).info("counted")
    structlog.get_logger().warning("structured", key="a b")
    files.access.put("accessed")
    files.close()
    names = ("mine", "mine-metrics", "mine-access")
    written = {name: (tmp_path / "logs" / f"{name}.log").read_text() for name in names}
    shown = capsys.readouterr().err
    told = re.findall(r'event=("[^"]*"|\S+)', written["mine"])
    assert told == ['"for the file"', '"for both"', "audited", "structured"]
    assert re.findall(r'event=("[^"]*"|\S+)', shown) == ['"for both"', "audited", "structured"]
    assert 'key="a b"' in shown
    assert re.findall(r"event=(\S+)", written["mine-metrics"]) == ["counted"]
    assert written["mine-access"] == "accessed\n"


def test_a_level_keeps_lines_out_of_the_file(tmp_path: Path, restored: None) -> None:
    files = LogFiles(tmp_path, "para")
    logs.configure(files, "ERROR")
    logging.getLogger("somebody").warning("little")
    logging.getLogger("somebody").error("much")
    files.close()
    assert re.findall(r"event=(\S+)", (tmp_path / "para.log").read_text()) == ["much"]


def test_files_rotate_and_old_ones_go(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "x.log", 1_000)
    for number in range(200):
        file.put(f"{number:0100}")
        file.drain()
    file.close()
    assert len(list(tmp_path.iterdir())) == 1 + logfiles.KEPT
    assert all(part.stat().st_size <= 1_100 for part in tmp_path.iterdir())
    assert (tmp_path / "x.log").read_text().splitlines()[-1] == f"{199:0100}"


def test_the_queue_is_bounded_and_says_what_it_dropped(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "x.log", 1 << 30)
    for _ in range(logfiles.QUEUE_LINES + 7):
        file.put("line")
    file.close()
    lines = (tmp_path / "x.log").read_text().splitlines()
    assert len(lines) == logfiles.QUEUE_LINES + 1
    assert lines[-1].startswith("7 lines were dropped")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_file_that_fails_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    file = LogFile(Path("/dev/full"), 1 << 30)
    for _ in range(3):
        file.put("a line")
        file.drain()
    assert len(capsys.readouterr().err.splitlines()) == 1
    with contextlib.suppress(OSError):
        file.close()


def test_a_folder_that_cannot_be_is_refused_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InvalidInput, match=r"para\.logs_dir: no log files in"):
        LogFiles(tmp_path / "taken", "para")


def test_a_server_writes_its_files(tmp_path: Path) -> None:
    with Server(tmp_path, settings={"para.debug_request_signatures": "true", "para.context_path": "/ctx"}) as server:
        folder = server.data / "logs"
        port = server.http.rpartition(":")[2]
        assert (server.data / f"para_{port}.pid").read_text() == f"{server.pid}\n"
        assert re.search(r"^Started ParaServer in [\d.]+ seconds$", server.log, re.MULTILINE)
        client = Client(server.http, server.root)
        assert client.send("GET", "/ctx/v1/_me?token=hunter2").status_code == 200
        assert client.send("GET", "/v1/_me").status_code == 404
        assert client.send("GET", "/ctx2/v1/_me").status_code == 404
        headers = server.root.headers("GET", f"{server.http}/v1/_me")  # as a proxy that adds the path makes it
        assert Client(server.http).send("GET", "/ctx/v1/_me", **headers).status_code == 200
        wrong = {**headers, "Authorization": headers["Authorization"][:-4] + "0000"}
        assert Client(server.http).send("GET", "/ctx/v1/_me", **wrong).status_code in (400, 401, 403)
        hal = Client(server.http).send("GET", "/ctx/", Accept="application/hal+json").json()
        assert hal["_links"]["self"]["href"].startswith(f"{server.http}/ctx/")
        assert server.stop() == 0
        assert not list(server.data.glob("para_*.pid"))
    lines = (folder / "para-access.log").read_text().splitlines()
    assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET /ctx/v1/_me\?token=\*\*\* HTTP/1.1" 200 \d+ "-" "-"', lines[0])
    assert [line.split('" ')[1][:3] for line in lines[1:3]] == ["404", "404"]
    log = (folder / "para.log").read_text()
    assert "Started ParaServer in " in log
    assert "event=ended" in log
    assert "signature of app:para does not match; signed here: 'GET\\\\n/" in log.replace("\\\\\\\\", "\\\\")
    assert server.root.secret not in log
    assert "hunter2" not in log


def test_what_is_switched_off_is_off(tmp_path: Path) -> None:
    off = ("access_log_enabled", "pidfile_enabled", "api_enabled")
    settings = {
        **{f"para.{name}": "false" for name in off},
        "para.logs_dir": str(tmp_path / "l"),
        "para.logs_name": "x",
    }
    with Server(tmp_path, settings=settings) as server:
        assert not list(server.data.glob("*.pid"))
        assert Client(server.http, server.root).send("GET", "/v1/_me").status_code == 404
        assert Client(server.http).send("POST", "/jwt_auth", {}).status_code == 404
        assert Client(server.http).send("GET", "/health").status_code == 200
        assert server.stop() == 0
    assert (tmp_path / "l" / "x-access.log").read_text() == ""
    assert "Started" in (tmp_path / "l" / "x.log").read_text()


@pytest.mark.parametrize("word", ["true", "false"])
def test_without_json_the_start_is_told_on_standard_output(tmp_path: Path, word: str) -> None:
    """Logo and version as well, on standard error, unless they are switched off."""
    names = ("mqtt-port", "mqtt-plain-port", "agent-port", "south-port", "context-port")
    ports = [f"--{name}=0" for name in names]
    given = ["-Dpara.port=0", f"-Dpara.print_logo={word}", f"-Dpara.print_version={word}"]
    command = [sys.executable, "-m", "thingstead", *given, "serve", "--data", str(tmp_path / "d"), *ports]
    with (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Started ParaServer in ")
        finally:
            process.terminate()
            rest, _ = process.communicate(timeout=SECONDS)
    assert (rest, process.returncode) == ("", 0)
    shown = (tmp_path / "err").read_text()
    assert (r"\__, /__/" in shown) is (word == "true")
    assert (__version__ in shown) is (word == "true")
    assert "8080" not in shown
