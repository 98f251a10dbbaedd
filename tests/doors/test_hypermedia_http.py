"""The door as an HTTP server (hypermedia.md 1): methods, redirects, CORS, types, bases, relation documents."""

from collections.abc import Iterator

import pytest

from support.chain import Chain, chain, href

HAL = "application/hal+json"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with chain(tmp_path_factory.mktemp("http")) as started:
        yield started


def test_collections_end_in_a_slash(api: Chain) -> None:
    answer = api.request("GET", "/sites?limit=5")
    assert (answer.status_code, answer.headers["location"]) == (301, f"{api.url}/sites/?limit=5")
    assert api.request("POST", "/sites", {"name": "x"}).status_code == 201
    assert api.request("POST", "/sites/", {"name": "x"}).status_code == 201
    assert api.request("GET", "/sites/1/").status_code == 404


@pytest.mark.parametrize("path", ["//", "///sites//", "//sites/create", "//rels///site"])
def test_repeated_slashes_count_as_one(api: Chain, path: str) -> None:
    assert api.request("GET", path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/sites/", "GET, POST, HEAD, OPTIONS"),
        ("DELETE", "/sites/{id}", "GET, HEAD, OPTIONS"),
        ("POST", "/sites/{id}", "GET, HEAD, OPTIONS"),
        ("PATCH", "/sites/{id}/edit", "GET, POST, HEAD, OPTIONS"),
        ("POST", "/aggregate_data/", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("POST", "/rels/site", "GET, HEAD, OPTIONS"),
    ],
)
def test_other_methods(api: Chain, method: str, path: str, allow: str) -> None:
    id = href(api.site()).rpartition("/")[2]
    answer = api.request(method, path.format(id=id), {"name": "x"})
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.json()["status"] == 405


@pytest.mark.parametrize("path", ["/", "/sites/", "/nowhere", "/devices/create", "/sites/0/edit"])
def test_preflight(api: Chain, path: str) -> None:
    answer = api.request("OPTIONS", path, auth="none", Origin="https://viewer.example")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, POST, OPTIONS, HEAD"
    allowed = {name.strip() for name in answer.headers["access-control-allow-headers"].split(",")}
    wanted = {"accept", "origin", "content-type", "authorization", "x-requested-with", "x-csrftoken", "prefer"}
    assert wanted <= allowed
    assert answer.headers["access-control-max-age"] == "86400"


def test_cors_on_every_answer(api: Chain) -> None:
    answers = [
        api.request("GET", "/"),
        api.request("GET", "/nowhere"),
        api.request("GET", "/sites"),
        api.request("GET", "/", Accept="foobar"),
        api.request("POST", "/sites/", b"{"),
        api.request("POST", "/sites/", {"name": "x"}, auth="none"),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 301, 406, 400, 401]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "*"
        assert {"Location", "Link", "ETag"} == set(answer.headers["access-control-expose-headers"].split(", "))


def test_head_is_get_without_the_body(api: Chain) -> None:
    head, get = api.request("HEAD", "/sites/"), api.request("GET", "/sites/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.headers["content-type"] == get.headers["content-type"]


def test_bodies_are_json_whatever_their_type(api: Chain) -> None:
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", HAL):
        assert api.request("POST", "/sites/", {"name": "x"}, Content_Type=kind).status_code == 201


@pytest.mark.parametrize("accept", ["", "application/json", HAL, "application/schema+json"])
def test_forms_are_negotiated(api: Chain, accept: str) -> None:
    answer = api.request("GET", "/sites/create", Accept=accept)
    assert answer.headers["content-type"] == (accept or "application/json")


def test_problems_when_named(api: Chain) -> None:
    answer = api.request("POST", "/sites/", {}, Accept=f"{HAL}, application/problem+json")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    body = answer.json()
    assert (body["title"], body["status"]) == ("Bad Request", 400)
    assert "name is missing" in body["detail"]


def test_a_refused_type_writes_nothing(api: Chain) -> None:
    before = api.server.totals()
    assert api.request("POST", "/sites/", {"name": "x"}, Accept="foobar").status_code == 406
    assert api.server.totals() == before


def test_minimal_answers(api: Chain) -> None:
    answer = api.request("POST", "/sites/", {"name": "x"}, Prefer="return=minimal")
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["preference-applied"] == "return=minimal"
    assert api.get(answer.headers["location"])["name"] == "x"
    answer = api.request("POST", f"{answer.headers['location']}/edit", {"name": "y"}, Prefer="return=minimal")
    assert (answer.status_code, answer.content) == (200, b"")


def test_location_on_single_creates_only(api: Chain) -> None:
    site = api.site()
    answer = api.request("POST", f"/devices/create?site_id={href(site).rpartition('/')[2]}", {"name": "x"})
    assert answer.headers["location"] == href(answer.json())
    assert "location" not in api.request("POST", "/sites/", [{"name": "x"}]).headers
    sensor = api.sensor(answer.json())
    data = api.request("POST", f"/sensordata/?sensor_id={href(sensor).rpartition('/')[2]}", {"value": 1})
    assert "location" not in data.headers
    assert "_links" not in data.json()


def test_the_host_decides_the_base(api: Chain) -> None:
    answer = api.request("GET", "/", Host="chain.example:8080", X_Forwarded_Host="evil.example")
    assert answer.json()["_links"]["ch:sites"]["href"] == "http://chain.example:8080/sites/"


@pytest.mark.parametrize("host", ["a b", "x/y", "<script>", "a@b"])
def test_an_impossible_host(api: Chain, host: str) -> None:
    answer = api.request("GET", "/", Host=host)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "chain.example"}, "https://chain.example"),
        ({"Forwarded": 'for=1.2.3.4;proto=https;host="chain.example:8443"'}, "https://chain.example:8443"),
        ({"X-Forwarded-Proto": "https", "Host": "chain.example"}, "https://chain.example"),
    ],
)
def test_trusted_proxies(tmp_path_factory: pytest.TempPathFactory, headers: dict[str, str], base: str) -> None:
    with chain(tmp_path_factory.mktemp("proxy"), trusted_proxies="10.0.0.0/8, 127.0.0.1") as api:
        site = api.site()
        found = api.get(href(site), **headers)
        assert href(found).startswith(f"{base}/sites/")
        assert href(found, "ch:websocketStream").startswith(f"wss{base.removeprefix('https')}/ws/site-")


def test_every_relation_that_is_used_is_documented(api: Chain) -> None:
    site = api.site()
    device = api.device(site)
    used = {rel for doc in (api.get("/"), site, device, api.sensor(device)) for rel in doc["_links"]}
    for rel in sorted(rel for rel in used if rel.startswith("ch:")):
        where = f"/rels/{rel.removeprefix('ch:')}"
        answer = api.request("GET", where)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        document = api.get(where, Accept="application/json")
        assert set(document) == {"rel", "title", "description", "target", "methods"}
    assert api.request("GET", "/rels/nonsense").status_code == 404
    assert "dataHistory" in api.get("/rels/", Accept="application/json")["relations"]


def test_every_href_is_absolute_and_answers(api: Chain) -> None:
    """Follow every link of every document from the entry point."""
    sensor = api.sensor(api.device(api.site(name="Walked")))
    api.data(sensor, [{"value": n} for n in range(600)])
    api.create(api.get(href(sensor, "ch:metadata")), {"key": "k", "value": "v"})
    todo, seen = [f"{api.url}/"], set[str]()
    while todo:
        where = todo.pop()
        if where in seen:
            continue
        seen.add(where)
        document = api.get(where)
        for rel, link in document.get("_links", {}).items():
            for one in link if isinstance(link, list) else [link]:
                target = one["href"].replace("{&aggtime}", "&aggtime=1d").replace("{rel}", "site")
                assert "://" in target
                if target.startswith("http") and rel not in ("previous", "next", "curies"):
                    todo.append(target)
    assert href(sensor, "ch:dataHistory") in seen
    assert len(seen) > 20
