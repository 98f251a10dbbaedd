"""A client of the hypermedia door that follows links, for tests: plain requests beside the published `chainclient`."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from support.backend import ROOT_SECRET
from support.listening import Listening, listening
from thingstead.core.backend import Backend
from thingstead.doors import hypermedia
from thingstead.ports.environment import Clock

ROOT = ("app:para", ROOT_SECRET)
SECONDS = 30


class Chain:
    """The door of a running backend; `door` ends its streams."""

    def __init__(self, server: Listening, door: hypermedia.Door) -> None:
        self.server = server
        self.written = server.written
        self.door = door
        self.url = server.url

    def request(self, method: str, href: str, body: object = None, **headers: str) -> requests.Response:
        """Any request; a path is taken below the server; `body` is bytes, or what is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        anonymous = given.pop("auth", "") == "none"
        return requests.request(
            method,
            href if "://" in href else self.url + href,
            data=data,
            headers=given,
            auth=None if anonymous or "Authorization" in given else ROOT,
            timeout=SECONDS,
            allow_redirects=False,
        )

    def get(self, href: str, **headers: str) -> Any:
        """The document at a link; AssertionError unless 200."""
        answer = self.request("GET", href, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, href: str, body: object, status: int = 201) -> Any:
        """What a post is answered with; AssertionError unless `status`."""
        answer = self.request("POST", href, body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def create(self, collection: Any, body: object) -> Any:
        """A post to the create form of a document in hand."""
        return self.post(href(collection, "createForm"), body)

    def site(self, **body: object) -> Any:
        """A new site."""
        return self.post("/sites/create", {"name": "Marsh", **body})

    def device(self, site: Any, **body: object) -> Any:
        """A new device of a site."""
        return self.create(self.get(href(site, "ch:devices")), {"name": "0x8123", **body})

    def sensor(self, device: Any, **body: object) -> Any:
        """A new sensor of a device."""
        return self.create(self.get(href(device, "ch:sensors")), {"metric": "temperature", "unit": "celsius", **body})

    def data(self, sensor: Any, body: object) -> Any:
        """Readings posted to a sensor."""
        return self.create(self.get(href(sensor, "ch:dataHistory")), body)


def href(document: Any, rel: str = "self") -> str:
    """The href of a link."""
    found: str = document["_links"][rel]["href"]
    return found


def id_of(document: Any) -> str:
    """The last segment of a resource's `self`."""
    return href(document).rpartition("/")[2]


@contextmanager
def chain(directory: Path, *, clock: Clock | None = None, **settings: Any) -> Generator[Chain]:
    """A fresh backend with this door alone."""
    doors: list[hypermedia.Door] = []

    def made(backend: Backend) -> hypermedia.Door:
        doors.append(hypermedia.app(backend))
        return doors[0]

    with listening(directory, made, clock=clock, **settings) as server:
        yield Chain(server, doors[0])
