"""The settings in force: what each source says, by precedence, as values of the right type (objects.md 20).

`--set` (or `-D`) goes before environment variables, they before `thingstead.toml`, it before `application.conf`, and
all before defaults. Blank counts as unset. An unknown key is a warning with the nearest known one; a value that does
not fit is an error that names key and source. No text of this module holds the value of a secret.
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from thingstead.model import ant, cookies, protected, weblogin
from thingstead.model.errors import InvalidInput
from thingstead.model.keys import IMPLIED, Key, keys, value
from thingstead.model.mail import address
from thingstead.model.settings import LEVELS, Settings
from thingstead.model.values import Json
from thingstead.server import sources
from thingstead.transports.http import TrustedProxies

_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
TAKEN = ("v1", "jwt_auth", "kits", "things", "api", "mqtt", "$iothub", "health", "metrics", "console", "docs", "chain")


class Given(msgspec.Struct, frozen=True):
    """A value that some source gives, and which."""

    value: Json
    source: str


class Loaded(msgspec.Struct, frozen=True):
    """The settings in force, and which of the keys were given where; also of keys without effect."""

    settings: Settings
    given: Mapping[str, Given]

    @property
    def idle(self) -> str:
        """What to tell of keys that are set to no effect, to another value than their default; "" if there are none."""
        found = [name for name, held in self.given.items() if keys()[name].idle and held.value != keys()[name].default]
        return f"without effect here: {', '.join(sorted(found))}" if found else ""


def load(texts: Sequence[str], directory: Path | None, warn: Callable[[str], None]) -> Loaded:
    """Read every source. `texts` holds `KEY=VALUE`; unknown keys are told to `warn`. Raises InvalidInput."""
    known = keys()
    given: dict[str, Given] = {}
    from_sets = sources.sets(texts)
    triples = (
        *sources.files(directory, sources.naming(from_sets, os.environ)),
        *sources.environment(list(known), os.environ),
        *from_sets,
    )
    for source, name, text in triples:
        if sources.is_naming(name):
            continue
        key = known.get(name)
        if key is None:
            warn(_unknown(name, source, known))
        elif not isinstance(text, str) or text.strip():
            given[name] = Given(value(key, text, source), source)
    environment = given["para.env"].value if "para.env" in given else ""
    for name, implied in IMPLIED.get(str(environment), {}).items():
        given.setdefault(name, Given(implied, f"para.env={environment}"))
    fields = {known[name].field: held.value for name, held in given.items() if known[name].field}
    fields["per_app"] = {known[name].option: held.value for name, held in given.items() if known[name].option}
    settings = msgspec.convert(fields, Settings)
    _check(settings)
    return Loaded(settings, given)


def _unknown(name: str, source: str, known: Mapping[str, Key]) -> str:
    if name in os.environ and source == "the environment":
        variables = {sources.variable(key): key for key in known}
        near = difflib.get_close_matches(name.lower(), variables, n=1)
    else:
        near = difflib.get_close_matches(name, known, n=1)
    return f"unknown setting {name} in {source}" + (f"; did you mean {near[0]}?" if near else "")


def _check(settings: Settings) -> None:
    """Refuse what a type cannot say. Raises InvalidInput naming the key."""
    try:
        TrustedProxies(settings.trusted_proxies)
    except ValueError as error:
        raise InvalidInput(f"trusted_proxies: {error}", field="trusted_proxies") from None
    try:
        ZoneInfo(settings.chain_timezone)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        if settings.chain_timezone != "UTC":  # the one zone that needs no time zone data
            raise InvalidInput(
                f"chain.timezone: {settings.chain_timezone!r} is no time zone known here", field="chain.timezone"
            ) from None
    try:
        address(settings.support_email, "para.support_email")
    except InvalidInput:
        raise InvalidInput("para.support_email is no e-mail address", field="para.support_email") from None
    if settings.things_default_broker != "Local":
        raise InvalidInput("things.default_broker: only Local is configured", field="things.default_broker")
    _check_web(settings)
    if not _PATH.fullmatch(settings.root_path):
        raise InvalidInput("para.context_path: only letters, digits, . _ ~ - and /", field="para.context_path")
    if settings.file_logger_level.upper() not in LEVELS:
        raise InvalidInput(f"para.file_logger_level: one of {', '.join(LEVELS)}", field="para.file_logger_level")
    if "/" in settings.logs_name or settings.logs_name in (".", ".."):
        raise InvalidInput("para.logs_name: a file's name without folders is needed", field="para.logs_name")


def _check_web(settings: Settings) -> None:
    """Refuse what web pages cannot work with. Raises InvalidInput naming the key."""
    protected.rules(settings.security_protected)
    for pattern in settings.security_ignored:
        ant.checked(pattern, "para.security.ignored")
    for key, path in (
        ("signin", settings.signin),
        ("signout", settings.signout),
        ("access_denied", settings.access_denied),
    ):
        if not path.startswith("/") or not _PATH.fullmatch(path) or path.split("/")[1] in TAKEN:
            raise InvalidInput(f"para.security.{key}: a path of its own is needed, such as /{key}", field=key)
    for key, url in (
        ("signin_success", settings.signin_success),
        ("signin_failure", settings.signin_failure),
        ("signout_success", settings.signout_success),
    ):
        if weblogin.configured(url) is None:
            raise InvalidInput(f"para.security.{key}: a path or an http(s) URL is needed", field=key)
    for key, name in (
        ("para.auth_cookie", settings.auth_cookie),
        ("para.returnto_cookie", settings.returnto_cookie),
        ("para.security.csrf_cookie", settings.csrf_cookie or "none"),
    ):
        if not cookies.usable(name):
            raise InvalidInput(f"{key}: {name!r} cannot be the name of a cookie", field=key)
