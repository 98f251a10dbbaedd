"""Promise: unstored objects through `/v1`: written, found, read, batched, deleted, and gone with their app."""

from pathlib import Path

from support.client import Client
from support.server import Server
from support.sign import Signer


def test_unstored_objects_over_http(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        root = Client(server.http, server.root)
        keys = root.send("GET", "/v1/_setup/garden").json()
        app = Client(server.http, Signer(keys["accessKey"], keys["secretKey"]))
        made = app.send("POST", "/v1/cats", {"type": "cat", "id": "a", "stored": False, "name": "Tom"})
        assert (made.status_code, made.json()["stored"]) == (201, False)
        assert app.send("POST", "/v1/_batch", [{"type": "cat", "id": "b", "stored": False}]).json()[0]["id"] == "b"
        assert app.send("GET", "/v1/cats/a").json() == made.json()
        assert {each["id"] for each in app.send("GET", "/v1/_batch?ids=a&ids=b").json()} == {"a", "b"}
        assert app.send("GET", "/v1/cats").json()["totalHits"] == 2
        assert app.send("PATCH", "/v1/cats/a", {"name": "Rex"}).json()["name"] == "Rex"
        assert app.send("PUT", "/v1/cats/b", {"stored": False, "name": "Max"}).status_code == 200
        assert {each["name"] for each in app.send("GET", "/v1/cats").json()["items"]} == {"Rex", "Max"}
        assert app.send("POST", "/v1/things", {"name": "kit", "stored": False}).status_code == 400
        assert app.send("DELETE", "/v1/cats/b").status_code == 200
        assert [each["id"] for each in app.send("GET", "/v1/cats").json()["items"]] == ["a"]
        assert app.send("GET", "/v1/cats/b").status_code == 404

        server.restart()
        assert app.send("GET", "/v1/cats/a").status_code == 404, "no cache survives"
        assert [each["name"] for each in app.send("GET", "/v1/cats").json()["items"]] == ["Rex"]

        assert root.send("DELETE", "/v1/app/garden").status_code == 200
        keys = root.send("GET", "/v1/_setup/garden").json()
        app = Client(server.http, Signer(keys["accessKey"], keys["secretKey"]))
        assert app.send("GET", "/v1/cats").json()["totalHits"] == 0
