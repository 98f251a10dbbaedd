"""Promise: POST /v1/_emails sends what it says to whom it says, through the right server, and refuses by field.

A real server of ours, and a real mail server. Whatever is refused, nothing is sent.
"""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.aio import run
from support.backend import open_backend, owner
from support.client import Client
from support.server import Server
from thingstead.conformance.mail_host import MailHost
from thingstead.model.errors import ConstraintViolation, InvalidInput, NotFound, Unavailable
from thingstead.model.values import JsonObject

PNG = base64.b64encode(b"\x89PNG").decode()
GOOD: dict[str, Any] = {
    "name": "Ann Smith",
    "email": "ann@example.org",
    "toEmails": ["bob@example.org", "Bob@example.org", "eve@example.org"],
    "subject": "Hello, été",
    "message": "<b>hot</b>",
}


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, MailHost]]:
    directory = tmp_path_factory.mktemp("mail")
    with MailHost(directory) as host:
        settings = {
            "para.mail.host": "localhost",
            "para.mail.port": f"{host.port}",
            "para.mail.tls": "false",
            "para.support_email": "plants@example.org",
            "para.emails.max_recipients": "60",
        }
        with Server(directory, settings) as server:
            yield Client(server.http, server.root), host


def test_a_letter(post: tuple[Client, MailHost]) -> None:
    client, host = post
    host.taken.clear()
    answer = client.send("POST", "/v1/_emails", GOOD)
    assert (answer.status_code, answer.json()) == (200, {"code": 200, "message": "OK"})
    [taken] = host.taken
    assert taken.sender == "plants@example.org"
    assert taken.recipients == ["bob@example.org", "eve@example.org"], "each once"
    message = taken.message
    assert (message["From"], message["Reply-To"]) == ("Ann Smith <plants@example.org>", "ann@example.org")
    assert (message["To"], message["Subject"]) == ("bob@example.org", "Hello, été")
    assert (message.get_content_type(), message.get_content().strip()) == ("text/html", "<b>hot</b>")


BODIES = [
    ({"plaintextOnly": True}, "text/plain", "<b>hot</b>"),
    (
        {"markdownEnabled": True, "message": "*hot* <script>x</script>"},
        "text/html",
        "<p><em>hot</em> &lt;script&gt;x&lt;/script&gt;</p>",
    ),
    ({"markdownEnabled": True, "plaintextOnly": True, "message": "*hot*"}, "text/plain", "*hot*"),
    ({"name": None, "email": ""}, "text/html", "<b>hot</b>"),
    ({"toEmails": "bob@example.org"}, "text/html", "<b>hot</b>"),
]


@pytest.mark.parametrize(("more", "content_type", "content"), BODIES)
def test_bodies(post: tuple[Client, MailHost], more: dict[str, Any], content_type: str, content: str) -> None:
    client, host = post
    host.taken.clear()
    assert client.send("POST", "/v1/_emails", {**GOOD, **more}).status_code == 200
    message = host.taken[0].message
    assert (message.get_content_type(), message.get_content().strip()) == (content_type, content)


def test_a_file(post: tuple[Client, MailHost]) -> None:
    client, host = post
    host.taken.clear()
    for kind in ("image/png", "message/rfc822", "multipart/mixed", ""):
        file = f"data:{kind};base64,{PNG}"
        assert client.send("POST", "/v1/_emails", {**GOOD, "file": file}).status_code == 200, kind
    for taken, kind in zip(host.taken, ["image/png", *["application/octet-stream"] * 3], strict=True):
        [attached] = taken.message.iter_attachments()
        assert (attached.get_content_type(), attached.get_content()) == (kind, b"\x89PNG")
        assert (attached.get_filename() or "").startswith("attachment.")


LINES = ("a\r\nBcc: eve@example.org", "a\nb", "a\rb", "a\x00", "a\u2028b", "a\x85b", "a\u202eb")
REFUSED: list[tuple[str, Any]] = [
    *(("subject", value) for value in (None, "", "  ", 5, "x" * 999, *LINES)),
    *(("name", value) for value in (5, ["x"], *LINES)),
    *(("email", value) for value in (5, "nobody", "a@b@c.org", "a b@c.org", "a@c.org,b@c.org", "<a@c.org>", *LINES)),
    *(("toEmails", value) for value in (None, [], {}, 5, [None], [["a@b.org"]], [f"u{n}@b.org" for n in range(61)])),
    *(("toEmails", [value]) for value in ("", "nobody", "@b.org", "a@", "a@b", "a@b..org", "a@-b.org", "a@1.2.3.4")),
    *(
        ("toEmails", ["ok@b.org", value])
        for value in ("a@b.org\nBcc: e@f.org", '"a b"@c.org', "a@[1.2.3.4]", "é@b.org")
    ),
    ("toEmails", ["x" * 65 + "@b.org"]),
    ("toEmails", ["a@" + "b." * 130 + "org"]),
    *(("message", value) for value in (None, "", " \n", 5, "a\x00b")),
    *(("plaintextOnly", value) for value in ("yes", 1)),
    ("markdownEnabled", "true"),
    *(("file", value) for value in (5, "x", f"data:image/png,{PNG}", "data:image/png;base64,***", "http://x/y")),
    ("file", f"data:image/png\r\nX-Evil: 1;base64,{PNG}"),
]


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_refused_by_field(post: tuple[Client, MailHost], field: str, value: Any) -> None:
    client, host = post
    host.taken.clear()
    answer = client.send("POST", "/v1/_emails", {**GOOD, field: value})
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"].startswith(f"Invalid form data: '{field}' ")
    assert host.taken == []


def test_refused_whole(post: tuple[Client, MailHost]) -> None:
    client, host = post
    host.taken.clear()
    assert Client(client.url).send("POST", "/v1/_emails", GOOD).status_code == 401
    assert client.send("GET", "/v1/_emails").status_code == 405
    assert client.send("POST", "/v1/_emails", b"").json()["message"] == "Missing request body."
    assert client.send("POST", "/v1/_emails", [GOOD]).status_code == 400
    large = client.send("POST", "/v1/_emails", {**GOOD, "file": f"data:a/b;base64,{PNG * 200_000}"})
    assert (large.status_code, large.json()["code"]) == (413, 413)
    host.refuse.update({"no@example.org": "550 unknown", "later@example.org": "450 busy"})
    answer = client.send("POST", "/v1/_emails", {**GOOD, "toEmails": ["no@example.org"]})
    assert (answer.status_code, "toEmails" in answer.json()["message"]) == (400, True)
    answer = client.send("POST", "/v1/_emails", {**GOOD, "toEmails": ["later@example.org"]})
    assert (answer.status_code, answer.json()["code"]) == (503, 503)
    assert host.taken == []


def test_an_app_with_a_mail_server_of_its_own(tmp_path: Path) -> None:
    """Nothing of the server's own configuration goes there; without a host, nothing of the app's is taken."""

    async def work(own: MailHost, app: MailHost) -> None:
        settings = {"mail_host": "localhost", "mail_port": own.port, "mail_tls": False, "mail_username": "server"}
        settings |= {"mail_password": "secret of the server", "support_email": "server@example.org"}
        settings |= {"outbound_allow": "127.0.0.0/8"}
        async with open_backend(tmp_path, **settings) as backend:
            await backend.tenants.create("other", name="Evil\r\nBcc: x@y.org")

            async def set_to(values: JsonObject) -> None:
                await backend.objects.patch("para", "app:other", {"settings": values}, owner("para"))

            async def send() -> bool:
                return await backend.mail.send(await backend.tenants.get("other"), ["bob@example.org"], "s", "m")

            await set_to({"mail.username": "ann", "mail.password": "x", "support_email": "boss@example.org"})
            assert await send()
            assert (own.taken[0].sender, own.taken[0].user) == ("server@example.org", "server")
            assert own.taken[0].message["From"] == "server@example.org", "a name that is no header text is left out"

            host: JsonObject = {"mail.host": "localhost", "mail.port": f"{app.port}", "mail.tls": "false"}
            await set_to(host)
            assert await send()
            assert (app.taken[0].sender, app.taken[0].user, app.logins) == ("server@example.org", None, [])
            await set_to({**host, "support_email": "other@example.org"})
            assert await send()
            assert app.taken[1].sender == "other@example.org"
            assert len(own.taken) == 1

            for key, value in (("mail.port", "x"), ("mail.port", 70000), ("mail.host", "a b"), ("support_email", "x")):
                await set_to({**host, key: value})
                with pytest.raises(ConstraintViolation) as caught:
                    await send()
                assert caught.value.field == key

    with MailHost(tmp_path, lenient=True) as own, MailHost(tmp_path) as app:
        run(work(own, app))
        assert app.logins == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "169.254.169.254", "10.0.0.1"])
def test_an_apps_mail_server_is_at_a_public_address(tmp_path: Path, host: str) -> None:
    """Unless it is root's, or the server says otherwise: an app cannot look around in the server's network."""

    async def work(there: MailHost) -> None:
        async with open_backend(tmp_path) as backend:
            await backend.tenants.create("other")
            settings: JsonObject = {"mail.host": host, "mail.port": there.port, "mail.tls": False}
            for name in ("para", "other"):
                await backend.tenants.put_settings(name, settings)
            app = await backend.tenants.get("other")
            with pytest.raises(Unavailable):
                await backend.mail.send(app, ["bob@example.org"], "s", "m")
            assert there.taken == []
            if host == "localhost":
                root = await backend.tenants.get("para")
                assert await backend.mail.send(root, ["bob@example.org"], "s", "m")
                assert len(there.taken) == 1

    with MailHost(tmp_path) as there:
        run(work(there))


def test_templates(tmp_path: Path) -> None:
    async def work() -> None:
        folder = tmp_path / "emails"
        folder.mkdir()
        (folder / "hello.html").write_text("Hi {{name}}{{#plants}}, {{.}}{{/plants}}! {{{raw}}}")
        (folder / "bad.html").write_text("{{#open}}")
        (tmp_path / "secret").write_text("secret")
        async with open_backend(tmp_path) as backend:
            fields: JsonObject = {"name": "<Ann>", "plants": ["fern", "ivy"], "raw": "<b>"}
            assert await backend.mail.filled("hello.html", fields) == "Hi &lt;Ann&gt;, fern, ivy! <b>"
            assert await backend.mail.filled("hello.html", {}) == "Hi ! "
            with pytest.raises(InvalidInput):
                await backend.mail.filled("bad.html", fields)
            for name in ("nobody.html", ""):
                with pytest.raises(NotFound):
                    await backend.mail.filled(name, fields)
            with pytest.raises(InvalidInput):
                await backend.mail.filled("../secret", fields)

    run(work())
