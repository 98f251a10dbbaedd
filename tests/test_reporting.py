"""Promise: metrics reach para-metrics.log, Graphite and Prometheus; an app's reach its own Graphite while it wants."""

import socketserver
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.client import Client
from support.server import Server

SECONDS = 30


@contextmanager
def graphite() -> Iterator[tuple[int, list[str]]]:
    """A listener for the plaintext protocol: its port, and the lines it got."""
    lines: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines.extend(line.decode() for line in self.rfile)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], lines
        finally:
            server.shutdown()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_from_a_request_to_every_report(tmp_path: Path) -> None:
    with graphite() as (port, lines), graphite() as (own_port, own):
        settings = {
            "para.metrics.logging_rate": "1",
            "para.metrics.graphite.period": "1",
            "para.metrics.graphite.host": "127.0.0.1",
            "para.metrics.graphite.port": f"{port}",
            "para.metrics.graphite.prefix_system": "para.{{INSTANCE_ID}}",
            "para.metrics.graphite.prefix_apps": "apps.{{APP_ID}}",
            "para.instance_id": "node.1",
            "para.outbound_allow": "127.0.0.0/8",
        }
        with Server(tmp_path, settings) as server:
            client = Client(server.http, server.root)
            keys = client.send("GET", "/v1/_setup/garden").json()
            assert client.send("POST", "/v1/cats", {"name": "Tom"}).status_code == 201
            assert client.send("GET", "/v1/cats").status_code == 200

            def told(name: str, at: list[str]) -> bool:
                found = [line.split() for line in at]
                return any(words[0] == name and float(words[1]) >= 1 for words in found)

            eventually(lambda: told("para.node_1.RestUtils.crud.create.count", lines))
            eventually(lambda: told("para.node_1.RestUtils.search.default.count", lines))
            name, value, stamp = next(line for line in lines if ".p999 " in line).split()
            assert (len(value.partition(".")[2]), abs(int(stamp) - time.time()) < 60) == (2, True), name
            assert all(len(line.split()) == 3 for line in lines)

            file = server.data / "logs" / "para-metrics.log"
            eventually(lambda: "name=_system.RestUtils.crud.create, count=1," in file.read_text())
            text = file.read_text()
            assert "app:para (root)" in text
            assert "type=TIMER, name=_system.Search.rebuildIndex, count=0, max=0.00" in text

            target = {"settings": {"metricsGraphiteReporter": {"host": "127.0.0.1", "port": own_port}}}
            assert client.send("PATCH", "/v1/app/garden", target).status_code == 200
            assert keys["accessKey"] == "app:garden"
            eventually(lambda: any(line.startswith("apps.garden.DAO.create.count ") for line in own))
            assert not any(line.startswith("para.") for line in own)
            mirror = client.send("GET", "/v1/sysprop/Registry%3AGraphiteReporter").json()
            assert mirror["garden"] == {"host": "127.0.0.1", "port": own_port}

            assert client.send("PATCH", "/v1/app/garden", {"settings": {}}).status_code == 200
            path = "/v1/sysprop/Registry%3AGraphiteReporter"
            eventually(lambda: "garden" not in client.send("GET", path).json())
            count = len(own)
            before = len(lines)
            eventually(lambda: len(lines) > before + 500)
            assert len(own) <= count + 1000, "at most the push that was on its way"

            with urllib.request.urlopen(f"{server.http}/metrics", timeout=SECONDS) as answer:
                shown = answer.read().decode()
            assert 'thingstead_http_request_seconds_count{port="main"}' in shown
            assert 'thingstead_messages_dropped_total{door="agent"} 0.0' in shown


def test_reports_that_fail_disturb_nothing(tmp_path: Path) -> None:
    settings = {
        "para.metrics.logging_rate": "1",
        "para.metrics.graphite.period": "1",
        "para.metrics.graphite.host": "127.0.0.1",
        "para.metrics.graphite.port": "1",
    }
    with Server(tmp_path, settings) as server:
        eventually(lambda: "metrics: Graphite of _system fails" in server.log)
        client = Client(server.http, server.root)
        assert client.send("POST", "/v1/cats", {"name": "Tom"}).status_code == 201
        assert server.log.count("metrics: Graphite of _system fails") == 1


def test_an_apps_graphite_is_at_a_public_address(tmp_path: Path) -> None:
    """Unless it is root's: an app cannot look around in the server's network."""
    with graphite() as (port, lines), graphite() as (roots_port, roots):
        settings = {"para.metrics.graphite.period": "1", "para.metrics.graphite.prefix_apps": "apps.{{APP_ID}}"}
        with Server(tmp_path, settings) as server:
            client = Client(server.http, server.root)
            assert client.send("GET", "/v1/_setup/garden").status_code == 200
            for app, there in (("garden", port), ("para", roots_port)):
                target = {"settings": {"metricsGraphiteReporter": {"host": "localhost", "port": there}}}
                assert client.send("PATCH", f"/v1/app/{app}", target).status_code == 200
            eventually(lambda: any(line.startswith("apps.para.DAO.create.count ") for line in roots))
            eventually(lambda: "Graphite of garden fails: [Errno 13] the address is not public" in server.log)
            assert lines == []


def test_off(tmp_path: Path) -> None:
    with Server(tmp_path, {"para.metrics_enabled": "false", "para.metrics.logging_rate": "1"}) as server:
        client = Client(server.http, server.root)
        assert client.send("POST", "/v1/cats", {"name": "Tom"}).status_code == 201
        assert client.send("GET", "/v1/cats").json()["totalHits"] == 1
        assert (server.data / "logs" / "para-metrics.log").read_text() == ""
