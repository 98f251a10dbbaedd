"""Promise: the documentation says what the server does. Every setting, flag, error, route and metric stands in the
reference, links lead somewhere, and the commands of README and tutorial print what they promise.

How commands run: the fenced `sh` blocks of a page are typed line by line into one bash, in a folder where `data` is the
data directory of a fresh server, `docs` and `.venv` those of the checkout. Default ports become those of that server. A
block without `sh` at its fence is shown only. Lines `#> ...` are the whole output of the line above; `...` in them
stands for anything.
"""

import ast
import inspect
import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

import thingstead
from support.client import Client
from support.server import Server
from thingstead.core.resources import Pattern
from thingstead.doors import web
from thingstead.doors.agent import errors as agent_errors
from thingstead.doors.agent import routes as agent_routes
from thingstead.doors.context import errors as context_errors
from thingstead.doors.context import routes as context_routes
from thingstead.doors.hypermedia import routes as hypermedia_routes
from thingstead.doors.kits import errors as kits_errors
from thingstead.doors.objects import errors as objects_errors
from thingstead.doors.objects import signin as objects_signin
from thingstead.doors.objects import table as objects_table
from thingstead.doors.things import errors as things_errors
from thingstead.doors.things import resources as things_resources
from thingstead.doors.things import rest as things_rest
from thingstead.doors.things import shadows
from thingstead.model import constraints, errors
from thingstead.model.keys import keys
from thingstead.model.settings import Settings
from thingstead.server import running
from thingstead.server.cli import command as cli

# by name: the package has functions of the same names
south = import_module("thingstead.doors.agent.south")
topics = import_module("thingstead.doors.agent.topics")

REPO = Path(__file__).parent.parent
REFERENCE = REPO / "docs" / "reference"
PAGES = sorted([*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md")])
WALKS = (
    "README.md",
    "docs/tutorial/first-device.md",
    "docs/how-to/clients.md",
    "docs/how-to/links-and-votes.md",
    "docs/how-to/users.md",
    "docs/how-to/back-up.md",
)
SECONDS = 60
END = "\x1e"
FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = {8080: "http", 8883: "mqtts", 1883: "mqtt", 4041: "agent", 7896: "south", 1026: "context"}


# --- walks


def typed(page: str) -> list[tuple[str, str]]:
    """(command, promised output) of each line in the page's `sh` blocks."""
    found: list[tuple[str, list[str]]] = []
    for block in FENCE.findall(page):
        for line in block.splitlines():
            if line.startswith("#> "):
                found[-1][1].append(line.removeprefix("#> "))
            elif line.strip():
                found.append((line, []))
    return [(command, "\n".join(output)) for command, output in found]


def here(text: str, server: Server) -> str:
    """The text with the addresses of this server instead of the default ones."""
    for port, name in PORTS.items():
        text = text.replace(f"127.0.0.1:{port}", server.ready[name].rpartition("/")[2])
    return text


def as_promised(promise: str, output: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, promise.split("..."))), output, re.DOTALL) is not None


@pytest.mark.servers("bash", "curl")
@pytest.mark.parametrize("page", WALKS)
def test_commands_print_what_the_page_says(page: str, tmp_path: Path) -> None:
    lines = typed((REPO / page).read_text())
    assert len(lines) > 1
    for name, target in ((".venv", Path(sys.prefix)), ("docs", REPO / "docs")):
        (tmp_path / name).symlink_to(target)
    with Server(tmp_path, environment={"para_root_secret_override": ""}) as server:
        script = "".join(f"{here(command, server)}\nprintf '{END}%s{END}' $?\n" for command, _ in lines)
        ran = subprocess.run(
            ["bash"],
            input=script,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        *outputs, rest = ran.stdout.split(END)
        assert rest == ""
        assert len(outputs) == 2 * len(lines)
        for (command, promise), output, code in zip(lines, outputs[::2], outputs[1::2], strict=True):
            assert code == "0", (command, output)
            assert as_promised(here(promise, server), output.strip("\n")), (command, output)


def test_a_live_copy_opens_with_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    """back_up.py as its page uses it, while somebody writes; the copy is opened by a server of its own."""
    copied = threading.Event()

    def write(client: Client) -> None:
        while not copied.is_set():
            assert client.send("POST", "/v1/notes", {"text": "meanwhile"}).status_code == 201

    with Server(tmp_path) as server, ThreadPoolExecutor(1) as others:
        client = Client(server.http, server.root)
        assert client.send("PUT", "/v1/things/kit", {"name": "Kit"}).status_code == 201
        for step in range(20):
            report = {"state": {"reported": {"step": step}}}
            assert client.send("POST", "/v1/things/kit/shadow", report).status_code == 200
            assert client.send("PUT", f"/v1/notes/n{step}", {"text": "before"}).status_code == 200
        writing = others.submit(write, client)
        try:
            (tmp_path / "copy").mkdir()
            command = [sys.executable, REPO / "docs/how-to/back_up.py", server.data, tmp_path / "copy" / "data"]
            subprocess.run(command, check=True, timeout=SECONDS)
        finally:
            copied.set()
        writing.result(SECONDS)
    with Server(tmp_path / "copy") as server:
        client = Client(server.http, server.root)
        readings = client.send("GET", "/v1/things/kit/readings?order=asc").json()["items"]
        assert [reading["value"] for reading in readings] == list(range(20))
        assert client.send("GET", "/v1/things/kit").json()["deviceState"] == {"step": 19}
        found = client.send("GET", "/v1/notes?q=before&limit=100").json()["items"]
        assert {note["id"] for note in found} == {f"n{step}" for step in range(20)}


# --- links


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            yield page, target


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ +(.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_relative_links_lead_somewhere() -> None:
    seen = 0
    for page, target in links():
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), (page, target)
        assert not anchor or anchor in anchors(file), (page, target)
        seen += 1
    assert seen > 20


def test_files_that_are_named_exist() -> None:
    named = {name for page in PAGES for name in re.findall(r"`((?:tests|docs|src)/[\w/.-]+)`", page.read_text())}
    assert len(named) > 5
    for name in named:
        assert (REPO / name).exists(), name


def test_the_index_names_every_page() -> None:
    index = REPO / "docs" / "index.md"
    named = {(page.parent / target).resolve() for page, target in links() if page == index}
    assert {page for page in PAGES if page.is_relative_to(REPO / "docs") and page != index} <= named


# --- the reference


def reference(name: str) -> str:
    return (REFERENCE / name).read_text()


def rows(page: str) -> list[list[str]]:
    """The cells of all tables, without back-quotes; heads included."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    cells = [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if set(row[0]) != {"-"}]


def test_settings_are_those_of_the_command() -> None:
    """Keys of the server, then those of each app and those that are only accepted, these two by category."""
    effective, _, rest = reference("settings.md").partition("## Of each app\n")
    options, _, accepted = rest.partition("## Accepted without effect\n")
    head = ["key", "default", "what it is"]
    sections = (effective, options, accepted)
    told = {section: list[list[str]]() for section in sections}
    headings = {section: set[str]() for section in sections}
    for key in keys().values():
        section = effective if key.field else options if key.option else accepted
        told[section].append([shown.replace("`", "") for shown in (key.name, json.dumps(key.default), key.about)])
        headings[section].add(key.category)
    assert rows(effective) == [head, *told[effective]]
    for section in (options, accepted):
        assert set(re.findall(r"^### (.*)$", section, re.MULTILINE)) == headings[section]
        assert sorted(row for row in rows(section) if row != head) == sorted(told[section])


OTHER_NAMES = {"of": "app"}


def test_every_command_and_flag() -> None:
    page = reference("cli.md")
    commands = "serve demo settings export import reindex setup new-app new-keys config doctor"
    for command in commands.split():
        name = command.replace("-", "_")
        function = getattr(cli, name, None) or getattr(cli, name + "_")
        section = page.partition(f"## thingstead {command}")[2].partition("\n## ")[0]
        assert section, command
        told = {row[0].split()[0] for row in rows(section) if row[0].startswith("--")}
        flags = {each for each in inspect.signature(function).parameters.values() if each.kind is each.KEYWORD_ONLY}
        assert told == {"--" + OTHER_NAMES.get(each.name, each.name).replace("_", "-") for each in flags}, command


def tree(root: type[errors.ThingsteadError]) -> Iterator[type[errors.ThingsteadError]]:
    yield root
    for below in root.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below)


def status(table: dict[type[errors.ThingsteadError], int], kind: type[errors.ThingsteadError]) -> str:
    return str(next(table[cls] for cls in kind.__mro__ if cls in table))


def test_every_error_and_its_status_at_each_door() -> None:
    """The columns are computed from the doors' tables, so that a changed table fails here."""
    told = {row[0]: row[1:] for row in rows(reference("errors.md")) if len(row) == 8}
    for kind in tree(errors.ThingsteadError):
        agent = agent_errors.refused(kind("x"))
        context = context_errors.refused(kind("x"))
        expected = [
            status(dict(objects_errors.STATUS), kind),
            str(things_errors.shown(kind("x"))[0]),
            str(hypermedia_routes.refusal(kind("x"), None).status),
            f"{agent.status} {msgspec.json.decode(agent.body)['name']}",
            f"{context.status} {msgspec.json.decode(context.body)['error']}",
            status(dict(kits_errors.STATUS), kind),
        ]
        assert told.get(kind.code, [""])[1:] == expected, kind.code
    for name in {row[3] for row in agent_errors.TABLE} | {row[2] for row in context_errors.TABLE}:
        assert name in reference("errors.md"), name


def test_every_name_of_the_library() -> None:
    told = {row[0] for row in rows(reference("library.md").partition("\n## ")[0])} - {"name"}
    assert told == set(thingstead.__all__)


def test_every_constraint_and_what_is_built_in() -> None:
    page = reference("constraints.md")
    told = {row[0]: row[3] for row in rows(page) if len(row) == 4 and row[0] != "name"}
    assert told.keys() == set(constraints.NAMES)
    given: dict[str, dict[str, object]] = {"size": {"min": 8, "max": 9}}
    for name, message in told.items():
        payload = given.get(name, {"value": 7})
        fields = {"{field}": {name: payload}}
        wrong = next(
            found
            for value in (None, "", -1, 10, True, False, 1 << 60)
            if (found := constraints.broken(fields, {"{field}": value}, 1 << 50))  # pyright: ignore[reportArgumentType]
        )
        shown = message
        for key, value in payload.items():
            shown = shown.replace("{" + key + "}", str(value))
        assert wrong[0].message == shown, name
    built_in = {row[0]: row[1] for row in rows(page) if len(row) == 2 and row[0] != "type"}
    assert built_in.keys() == constraints.BUILT_IN.keys()
    for type_name, fields in constraints.BUILT_IN.items():
        assert all(field in built_in[type_name] for field in fields), type_name


def test_every_metric(server: Server) -> None:
    page = reference("metrics.md")
    with urllib.request.urlopen(f"{server.http}/metrics", timeout=SECONDS) as answer:
        text = answer.read().decode()
    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(names) > 10
    for name in names:
        assert f"`{name}`" in page, name
    for name in re.findall(r"^\| `(\w+)", page, re.MULTILINE):
        assert name in names, name


# --- routes


def routes_told(section: str) -> set[str]:
    """`METHOD /path` of the tables below a heading of routes.md, identifiers as `{}`."""
    page = reference("routes.md").partition(f"## {section}\n")[2].partition("\n## ")[0]
    assert page, section
    told: set[str] = set()
    for row in rows(page):
        for method in row[0].replace(",", " ").split():
            if method.isupper():
                told |= {f"{method} {plain(path)}" for path in row[1].split()}
    return told


def plain(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip("/") or "/"


def dictionary(module: object, name: str) -> ast.Dict:
    """The literal that is assigned to a name or attribute anywhere in a module."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):  # pyright: ignore[reportArgumentType]
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Dict):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if name == getattr(target, "attr", getattr(target, "id", None)):
                return node.value
    raise AssertionError(f"no {name} in {module}")


def keys_of(literal: ast.Dict) -> list[object]:
    return [ast.literal_eval(key) for key in literal.keys if key is not None]


def matched(module: object) -> set[str]:
    """The paths of the sequence patterns in a module's `match` statements; what they capture as `{}`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):  # pyright: ignore[reportArgumentType]
        if isinstance(node, ast.match_case) and isinstance(node.pattern, ast.MatchSequence):
            parts = [
                ast.literal_eval(part.value) if isinstance(part, ast.MatchValue) else "{}"
                for part in node.pattern.patterns
                if not isinstance(part, ast.MatchStar)
            ]
            found.add("/" + "/".join(parts))
    return found


def paths(told: set[str]) -> set[str]:
    return {route.partition(" ")[2] for route in told}


def test_every_route_of_the_objects_door() -> None:
    told = routes_told("Objects, main port")
    table = {f"{route.method} {plain(f'/v1/{route.path}')}" for route in objects_table.ROUTES}
    table |= {f"GET {each.path}" for each in objects_table.OPEN}
    assert told == table | {f"{each.method} {objects_signin.PATH}" for each in objects_table.SIGN_IN}


def test_every_route_of_the_things_door() -> None:
    told = routes_told("Things, main port")

    def path(pattern: Pattern) -> str:
        return "/v1/" + "/".join(part or "{}" for part in pattern)

    table = things_resources.resources(None)  # pyright: ignore[reportArgumentType]  # handlers are not called
    below = {f"{method} {path(pattern)}" for pattern, entry in table.items() for method in entry.methods}
    assert below == {route for route in told if " /v1/" in route}
    assert matched(things_rest) == {path for path in paths(told) if not path.startswith("/v1/")}


def test_every_route_of_the_hypermedia_door() -> None:
    told = routes_told("Hypermedia, main port")
    names = {name for name in paths(told) if name.count("/") == 1} - {"/", "/rels"}
    below = ([""], ["create"], ["x"], ["x", "edit"], ["x", "summary"])
    for segments in ([""], *([name, *rest] for name in hypermedia_routes._LISTS for rest in below)):
        path = "/" + "/".join("{}" if part == "x" else part for part in segments)
        try:
            handlers = hypermedia_routes.route(segments).handlers
        except errors.NotFound:
            assert plain(path) not in paths(told), path
        else:
            assert {f"{method} {plain(path)}" for method in handlers} <= told, path
    assert names == {f"/{name}" for name in hypermedia_routes._LISTS}
    assert {"/rels", "/rels/{}", "/ws/site-{}", "/ws/device-{}", "/ws/sensor-{}"} <= paths(told)


def test_every_route_of_the_agent() -> None:
    north = routes_told("Agent, north port")
    listed = keys_of(dictionary(agent_routes, "_routes"))
    methods = [*keys_of(dictionary(agent_routes, "services")), *keys_of(dictionary(agent_routes, "devices"))]
    assert {f"{method} /iot/{name}" for name in listed for method in methods} <= north
    assert {f"{method} /iot/devices/{{}}" for method in keys_of(dictionary(agent_routes, "_device"))} <= north
    assert {"GET /iot/about", "GET /version", "GET /ready"} <= north
    assert paths(routes_told("Agent, south port")) == {south.JSON, south.ULTRALIGHT, south.JSON + "/attrs/{}"}


def test_every_route_of_the_context_broker_and_of_kits() -> None:
    told = routes_told("Context broker")
    refused = {"/v2/{}", "/v2/entities/{}/attrs"}
    assert matched(context_routes) - refused == paths(told)
    assert paths(routes_told("Kits, main port")) == {"/kits", "/kits/{}", "/kits/{}/data"}


def test_every_name_on_the_main_port() -> None:
    page = reference("routes.md")
    table = dictionary(running, "doors")
    spread = [value for key, value in zip(table.keys, table.values, strict=True) if key is None]
    names = [*keys_of(table), *(name for call in spread for name in ast.literal_eval(call.args[0]))]  # pyright: ignore
    assert {"v1", "metrics"} <= set(names)
    for name in names:
        assert re.search(rf"[` ]/{re.escape(name)}[` /]", page), name


def test_every_route_of_the_web_door() -> None:
    told = paths(routes_told("Web pages, main port"))
    settings = Settings()
    pages = {settings.signin, settings.signout, settings.access_denied}
    assert told == {*(f"/{name}" for name in web.ENDPOINTS[:-1]), *pages, "/saml_auth/{}", f"/{web.ENDPOINTS[-1]}/{{}}"}


def test_every_topic() -> None:
    page = reference("routes.md")
    for pattern in topics.PATTERNS:
        assert pattern in page, pattern
    for pattern in re.findall(r'^ +\("([^"]+)", self\.', inspect.getsource(shadows), re.MULTILINE):
        assert pattern in page, pattern
