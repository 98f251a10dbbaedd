"""`_export`, `_import` and `_reindex` on the wire (objects.md 13): headers, tokens, signatures, limits, progress."""

import asyncio
import base64
import hashlib
import io
import json
import socket
import time
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from support.aio import until
from support.backend import owner
from support.client import Client
from support.listening import Listening, listening
from support.sign import Signer
from thingstead.core.objects import Draft
from thingstead.doors import objects
from thingstead.doors.objects import archives

APP = "arch"
LIMIT = 3_000_000


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    directory = tmp_path_factory.mktemp("data")
    with listening(directory, objects.app, max_import_size=LIMIT, max_entity_size=2048) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(door: Listening) -> Client:
    _, secret = door.run(door.backend.tenants.create(APP))
    client = Client(door.url, Signer(f"app:{APP}", secret))
    for n in range(3):
        assert client.send("PUT", f"/v1/cat/c{n}", {"age": n, "deep": {"a": [1]}}).status_code == 200
    return client


def zipped(*items: Any, level: int = 6) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as opened:
        opened.writestr("x_part1.json", json.dumps(items))
    return file.getvalue()


def bearer(app: Client) -> str:
    assert app.signer is not None
    now = int(time.time())
    claims = {"appid": app.signer.access_key, "iat": now, "exp": now + 60}
    return "Bearer " + jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, OctKey.import_key(app.signer.secret))


def test_an_export_is_a_zip_with_a_name(app: Client) -> None:
    answer = app.send("GET", "/v1/_export")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/zip"
    name = answer.headers["Content-Disposition"].rpartition("=")[2]
    assert answer.headers["Content-Disposition"] == f"attachment;filename={name}"
    assert answer.headers["Cache-Control"] == "no-store"
    stem = name.removesuffix(".zip")
    time.strptime(stem, f"{APP}_%Y%m%d_%H%M%S")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == [f"{stem}_part1.json", f"{stem}_part2.json"]
        first, last = (json.loads(opened.read(each)) for each in opened.namelist())
    assert last == []
    assert [item["properties"] for item in first if item["type"] == "cat"] == [
        {"age": n, "deep": {"a": [1]}} for n in range(3)
    ]
    head = app.send("HEAD", "/v1/_export")
    assert (head.status_code, head.content) == (200, b"")


def test_an_import_as_the_command_line_tool_sends_it(app: Client) -> None:
    """With a token and without a signature; larger than other bodies may be."""
    items = [{"id": f"i{n}", "type": "dog", "note": hashlib.sha256(b"%d" % n).hexdigest()} for n in range(200)]
    data = zipped(*items)
    assert len(data) > 2048
    headers = {"Authorization": bearer(app), "Content-Type": "application/zip"}
    answer = Client(app.url).send("PUT", "/v1/_import?filename=b.zip", data, **headers)
    assert answer.status_code == 200
    summary = answer.json()
    assert {
        "type": "paraimport",
        "appid": APP,
        "creatorid": APP,
        "name": "b.zip",
        "count": 200,
    }.items() <= summary.items()
    assert app.send("GET", f"/v1/paraimports/{summary['id']}").json()["count"] == 200
    assert app.send("GET", "/v1/dogs?limit=1").json()["totalHits"] == 200
    assert app.send("GET", "/v1/_me").json()["datatypes"]["dogs"] == "dog"


def test_signed_imports_with_and_without_the_hash_in_a_header(app: Client) -> None:
    data = zipped({"id": "s", "type": "cow"})
    assert app.send("PUT", "/v1/_import", data, Content_Type="application/zip").json()["name"] == f"{APP}_backup.zip"
    digest = hashlib.sha256(data).hexdigest()
    assert app.send("PUT", "/v1/_import", data, X_Amz_Content_Sha256=digest).json()["count"] == 1
    for other in (hashlib.sha256(b"").hexdigest(), "UNSIGNED-PAYLOAD"):
        sent = app.signer.headers("PUT", f"{app.url}/v1/_import", b"") if app.signer else {}
        sent["X-Amz-Content-Sha256"] = other
        answer = Client(app.url).send("PUT", "/v1/_import", data, **sent)
        assert answer.status_code == 403, answer.text


def test_a_signed_body_that_cannot_be_proven_yet_is_bounded(app: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "UNPROVEN", 10)
    answer = app.send("PUT", "/v1/_import", zipped({"id": "s"}))
    assert answer.status_code == 413
    assert "X-Amz-Content-Sha256" in answer.json()["message"]
    monkeypatch.setattr(archives, "UNPROVEN_AT_ONCE", 0)
    assert app.send("PUT", "/v1/_import", zipped({"id": "s"})).status_code == 429
    headers = {"Authorization": bearer(app)}
    assert Client(app.url).send("PUT", "/v1/_import", zipped({"id": "s"}), **headers).status_code == 200


REFUSED: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("no zip", b"garbage", {}, 400, "Import failed - the archive cannot be read"),
    ("empty", b"", {}, 400, "Import failed - the archive cannot be read"),
    ("type", zipped(), {"Content_Type": "application/json"}, 400, "Import failed - the content type must be"),
    ("large", b"x" * (LIMIT + 1), {}, 413, "Import failed - the archive is larger than"),
    ("bomb", zipped({"a": "x" * 5_000_000}), {}, 400, "Import failed - x_part1.json: the archive unpacks to more"),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row[0])
def test_refused_imports(door: Listening, app: Client, row: tuple[str, bytes, dict[str, str], int, str]) -> None:
    _, data, headers, status, message = row
    before = door.totals()
    answer = app.send("PUT", "/v1/_import", data, **headers)
    assert answer.status_code == status
    assert answer.json()["code"] == status
    assert answer.json()["message"].startswith(message)
    assert door.totals() == before


def test_nobody_else_gets_at_an_app(door: Listening, app: Client) -> None:
    draft = Draft(type="thing", body={"name": "Kit"}, credentials=True)
    made = door.run(door.backend.objects.create(APP, draft, owner(APP)))
    details: Any = made.once["deviceDetails"]
    basic = "Basic " + base64.b64encode(f"{details['thingName']}:{details['secret']}".encode()).decode()
    stranger = Client(app.url, Signer(f"app:{APP}", "not the secret"))
    for method, path in (("GET", "_export"), ("PUT", "_import"), ("POST", "_reindex")):
        body = zipped({"id": "x", "type": "cat"}) if method == "PUT" else None
        assert Client(app.url).send(method, f"/v1/{path}", body).status_code == 401
        assert stranger.send(method, f"/v1/{path}", body).status_code == 403
        assert Client(app.url).send(method, f"/v1/{path}", body, Authorization=basic).status_code == 403
        assert app.send("DELETE", f"/v1/{path}").status_code == 405


def test_reindex_needs_no_body(app: Client) -> None:
    for path in ("/v1/_reindex", "/v1/_reindex?destinationIndex=elsewhere"):
        answer = app.send("POST", path)
        assert answer.status_code == 200
        assert set(answer.json()) == {"reindexed", "tookMillis"}
        assert answer.json()["reindexed"] >= 3
    assert app.send("GET", "/v1/cats?limit=1").json()["totalHits"] >= 3


def test_progress_is_told_in_lines(app: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_TOLD_SECONDS", 0.005)
    data = zipped(*({"id": f"p{n}", "type": "bird"} for n in range(3000)))
    answer = app.send("PUT", "/v1/_import?progress&filename=p.zip", data)
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert lines[-1]["count"] == 3000
    assert len(lines) > 2
    assert all(0 < line["done"] <= line["total"] == 3000 for line in lines[:-1])
    answer = app.send("POST", "/v1/_reindex?progress")
    assert json.loads(answer.content.splitlines()[-1])["reindexed"] >= 3000
    bad = app.send("PUT", "/v1/_import?progress", b"garbage")
    assert (bad.status_code, bad.json()["code"]) == (400, 400)


def test_a_client_that_goes_away_ends_the_export(door: Listening, app: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    drafts = [Draft(type="fish", body={"note": hashlib.sha512(b"%d" % n).hexdigest() * 40}) for n in range(4000)]
    door.run(door.backend.objects.create_many(APP, drafts, owner(APP)))
    scanned: list[int] = []
    reads = door.backend.store.objects
    scan = reads.scan

    async def counted(*args: Any, **more: Any) -> Any:
        scanned.append(1)
        return await scan(*args, **more)

    monkeypatch.setattr(reads, "scan", counted)
    assert app.signer is not None
    sent = app.signer.headers("GET", f"{app.url}/v1/_export")
    host, port = urlsplit(app.url).netloc.split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**sent, "Host": f"{host}:{port}"}.items())
        connection.sendall(f"GET /v1/_export HTTP/1.1\r\n{lines}\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")

    async def quiet() -> bool:
        before = len(scanned)
        await asyncio.sleep(0.3)
        return len(scanned) == before

    door.run(until(quiet))
    assert len(scanned) < 4000 // 300
