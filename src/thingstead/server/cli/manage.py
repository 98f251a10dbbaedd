"""Setting up from the command line: root's keys, new apps, new keys; on a data directory, or by asking a running
server.

On a data directory the same core runs as in a server, under the directory's lock: while a server has it, `--url` is the
way, with the HTTP API that Para's clients use and with root's keys. Secrets come from files and the environment and go
to standard output only, never into arguments, URLs or logs.
"""

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from thingstead import __version__
from thingstead.core.backend import Backend
from thingstead.core.tenants import Keys, identifier_of
from thingstead.model import ids, signatures
from thingstead.model.errors import AppNotFound, Conflict, InvalidInput, Unavailable
from thingstead.model.settings import Settings
from thingstead.model.values import JsonObject, is_object, parse_object
from thingstead.ports.environment import Clock
from thingstead.server.data import ROOT_KEYS_FILE, DataDirectory, write_secret
from thingstead.server.environment import SystemClock, SystemEntropy

if TYPE_CHECKING:
    from http.client import HTTPResponse

SECONDS: Final = 30
MAX_ANSWER: Final = 1_048_576
TOKEN_LIFE: Final = 50  # s; a token that asks for keys may live 60 (identity.md 6.4)


class Place(msgspec.Struct, frozen=True):
    """Where to work: a data directory, or the server at `url` with root's keys from a file."""

    directory: Path
    settings: Settings
    url: str = ""
    keys_file: Path | None = None


async def set_up(place: Place) -> Keys | None:
    """Make the root app if there is none; its keys, if they were not shown yet. Raises Unavailable, StoreFailed."""
    if place.url:
        return _keys(Server(place.url).send("GET", "/_setup"))
    async with opened(place, new=True) as (data, backend):
        keys = await backend.tenants.show_root_keys()
        if keys is not None:
            data.write_root_keys(keys.access_key, keys.secret_key)
        return keys


async def new_app(place: Place, app: str, name: str, creator: str) -> Keys:
    """Make an app. Raises Conflict if it exists, InvalidInput, Unavailable, StoreFailed."""
    identifier = ids.app_identifier(app)
    if not identifier:
        raise InvalidInput("an app's identifier needs ASCII letters or digits", field="app")
    if not place.url:
        async with opened(place) as (_, backend):
            made, secret = await backend.tenants.create(identifier, name=name or None, creatorid=creator or None)
            return Keys(made.object.id, secret)
    given = {key: text for key, text in (("name", name), ("creatorid", creator)) if text}
    root = _root_keys(place)
    keys = _keys(Server(place.url).send("GET", f"/_setup/{identifier}", urlencode(given, quote_via=quote), root))
    if keys is None:
        raise Conflict(f"the app '{identifier}' exists; `thingstead new-keys` gives it a new secret", field="app")
    return keys


async def new_keys(place: Place, app: str) -> Keys:
    """Replace an app's secret; "" is the root app, whose file of keys is then brought up to date.

    Raises AppNotFound, InvalidInput, Unavailable, StoreFailed.
    """
    root = ids.app_identifier(place.settings.app_name)
    identifier = identifier_of(app) if app else root
    if identifier == root and place.settings.root_secret_override:
        message = "root's secret is the one of para.root_secret_override: change it there"
        raise InvalidInput(message, field="para.root_secret_override")
    if not place.url:
        async with opened(place) as (data, backend):
            keys = await backend.tenants.new_keys(identifier)
            if identifier == root:
                data.write_root_keys(keys.access_key, keys.secret_key)
            return keys
    held = _root_keys(place)
    server = Server(place.url)
    asks = _of(server, held, identifier)
    keys = _keys(server.send("POST", "/_newkeys", "", asks))
    if keys is None:
        raise Unavailable("the server answered without keys")
    if asks is held and place.keys_file is not None:
        write_secret(place.keys_file, _document(keys))
    elif asks is held and (place.directory / ROOT_KEYS_FILE).exists():
        write_secret(place.directory / ROOT_KEYS_FILE, _document(keys))
    return keys


def _document(keys: Keys) -> bytes:
    return json.dumps({"accessKey": keys.access_key, "secretKey": keys.secret_key}).encode() + b"\n"


@asynccontextmanager
async def opened(place: Place, *, new: bool = False) -> AsyncGenerator[tuple[DataDirectory, Backend]]:
    """The locked directory and a backend over it; it must have data unless `new`."""
    from thingstead.server.compose import build

    if not new and not (place.directory / "store.db").exists():
        raise Unavailable(f"there is no data in {place.directory}: name it with --data, or `thingstead setup` first")
    try:
        data = DataDirectory(place.directory)
    except Unavailable as error:
        hint = "; ask that server with --url" if " is in use by " in error.message else ""
        raise Unavailable(error.message + hint) from None
    try:
        built = await build(data.path, place.settings, data.secret_key(SystemEntropy()))
        try:
            yield data, built.backend
        finally:
            await built.close()
    finally:
        data.close()


def _root_keys(place: Place) -> Keys:
    """Root's keys: from `--keys`, else the fixed secret, else the data directory's file."""
    override = place.settings.root_secret_override
    if place.keys_file is None and override:
        return Keys(ids.APP_PREFIX + ids.app_identifier(place.settings.app_name), override)
    file = place.keys_file or place.directory / ROOT_KEYS_FILE
    try:
        keys = _keys(parse_object(file.read_bytes()))
    except OSError as error:
        raise InvalidInput(f"root's keys: {file} cannot be read: {error.strerror}", field="--keys") from None
    if keys is None:
        raise InvalidInput(f"root's keys: {file} holds no accessKey and secretKey", field="--keys")
    return keys


def _keys(answer: JsonObject) -> Keys | None:
    access, secret = answer.get("accessKey"), answer.get("secretKey")
    return Keys(access, secret) if isinstance(access, str) and isinstance(secret, str) else None


def keys_at(server: "Server", place: Place, app: str) -> Keys:
    """The keys of an app at a server; "" is the app whose keys are at hand. Raises AppNotFound, InvalidInput, ..."""
    held = _root_keys(place)
    return _of(server, held, identifier_of(app)) if app else held


def _of(server: "Server", held: Keys, identifier: str) -> Keys:
    """The keys of an app: those at hand, or others, which root may ask for with a short token (identity.md 6.4)."""
    if identifier_of(held.access_key) == identifier:
        return held
    answer = server.send("GET", "/_me", bearer=server.token(held, getCredentials=ids.APP_PREFIX + identifier))
    keys = _keys(credentials) if is_object(credentials := answer.get("credentials")) else None
    if keys is None:
        raise AppNotFound(f"there is no app '{identifier}', or the keys given are not root's", field="app")
    return keys


class Server:
    """A running server's `/v1`, asked one question at a time."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        """`url` may end with the server's context path. Raises InvalidInput if it is no http or https URL."""
        wrong = InvalidInput("--url takes http://HOST:PORT or https://HOST:PORT", field="--url")
        try:
            parts = urlsplit(url if "//" in url else "http://" + url)
            name, self._port = parts.hostname, parts.port
        except ValueError:
            raise wrong from None
        if parts.scheme not in ("http", "https") or not name or parts.query or parts.username:
            raise wrong
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.netloc
        self._name = name
        self._base = parts.path.rstrip("/").removesuffix("/v1") + "/v1"
        self.clock = clock or SystemClock()

    def send(
        self, method: str, path: str, query: str = "", keys: Keys | None = None, *, bearer: str = ""
    ) -> JsonObject:
        """The answer's object. Raises Unavailable if there is none or it is an error, with the server's words."""
        from http.client import HTTPException

        with self.ask(method, path, query, keys, bearer=bearer) as answer:
            try:
                body = answer.read(MAX_ANSWER)
            except (OSError, HTTPException) as error:
                raise Unavailable(f"{self._origin} broke its answer off: {error}") from None
        return parse_object(body) if body else {}

    def ask(
        self,
        method: str,
        path: str,
        query: str = "",
        keys: Keys | None = None,
        *,
        bearer: str = "",
        archive: IO[bytes] | None = None,
        seconds: float = SECONDS,
    ) -> "HTTPResponse":
        """The answer, to be read by the caller, who gets `seconds` for each piece of it. Redirects are not followed:
        they would carry what proves us to somebody else.

        Raises Unavailable if there is none or it is an error, with the server's words.
        """
        from http.client import HTTPConnection, HTTPException, HTTPSConnection

        secure = self._origin.startswith("https:")
        connection = (HTTPSConnection if secure else HTTPConnection)(self._name, self._port, timeout=seconds)
        headers = {"Host": self._host, "Connection": "close", "User-Agent": f"thingstead/{__version__}"}
        if keys is not None:
            headers |= self._signed(method, path, query, keys)
        elif bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        if archive is not None:
            size = os.fstat(archive.fileno()).st_size
            headers |= {"Content-Type": "application/zip", "Content-Length": str(size)}
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent: the answer says why
                connection.request(method, self._base + path + ("?" + query if query else ""), archive, headers)
            answer = connection.getresponse()
            if answer.status // 100 != 2:
                raise Unavailable(f"{self._origin} answered {answer.status}: {_said(answer.read(MAX_ANSWER))}")
        except (OSError, HTTPException) as error:
            connection.close()
            raise Unavailable(f"{self._origin} cannot be asked: {error}") from None
        except BaseException:
            connection.close()
            raise
        return answer

    def token(self, keys: Keys, **claims: str) -> str:
        """A short token of an app."""
        from joserfc import jwt
        from joserfc.jwk import OctKey

        now = self.clock.now() // 1_000_000
        said = {"appid": keys.access_key, "iat": now, "exp": now + TOKEN_LIFE, **claims}
        return jwt.encode({"alg": "HS256"}, said, OctKey.import_key(keys.secret_key.encode()))

    def _signed(self, method: str, path: str, query: str, keys: Keys) -> dict[str, str]:
        from datetime import UTC, datetime

        stamp = datetime.fromtimestamp(self.clock.now() // 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        host = {"host": self._host, "x-amz-date": stamp}
        given = signatures.Authorization(keys.access_key, stamp[:8], "", ("host", "x-amz-date"), "")
        text = signatures.signed_text(given, method, self._base + path, query, host, b"")
        signature = signatures.sign(signatures.signing_key(keys.secret_key, stamp[:8]), stamp, text)
        credential = f"{keys.access_key}/{stamp[:8]}/us-east-1/para/aws4_request"
        return {
            "X-Amz-Date": stamp,
            "Authorization": f"{signatures.SCHEME} Credential={credential}, SignedHeaders=host;x-amz-date, "
            f"Signature={signature}",
        }


def _said(body: bytes) -> str:
    try:
        message = parse_object(body).get("message")
    except InvalidInput:
        message = None
    return message if isinstance(message, str) and message else "no reason given"
