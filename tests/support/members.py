"""People who sign in with a password, for tests that act as users over HTTP."""

from typing import Any
from urllib.parse import quote

from support.client import Client, Reply


class Member:
    """A user who is signed in with a password; `app` is a client with the app's keys, which activates it."""

    def __init__(self, url: str, app: Client, name: str, groups: str = "users") -> None:
        self._app = app.signer.access_key if app.signer is not None else ""
        self._client = Client(url)
        self._token = f"{name}@example.com:{name}:a good password"
        self._client.send("POST", "/jwt_auth", {"appid": self._app, "provider": "password", "token": self._token})
        self.identifier = f"{name}@example.com"
        self.id: str = app.send("GET", f"/v1/_id/{quote(self.identifier)}").json()["creatorid"]
        body = app.send("GET", f"/v1/users/{self.id}").json()
        assert app.send("PUT", f"/v1/users/{self.id}", {**body, "active": True, "groups": groups}).status_code == 200
        self.sign_in()

    def sign_in(self) -> None:
        reply = self._client.send(
            "POST", "/jwt_auth", {"appid": self._app, "provider": "password", "token": self._token}
        )
        assert reply.status_code == 200, reply.content
        self.bearer = "Bearer " + reply.json()["jwt"]["access_token"]

    def send(self, method: str, path: str, body: Any = None) -> Reply:
        """A request with the token."""
        return self._client.send(method, path, body, Authorization=self.bearer)

    def page(self, path: str) -> tuple[list[str], int]:
        """The ids of a page of hits, sorted, and how many hits there are in all."""
        reply = self.send("GET", path)
        assert reply.status_code == 200, reply.content
        return sorted(item["id"] for item in reply.json()["items"]), reply.json()["totalHits"]
