"""LDAP directories and Active Directory: how a person is named and looked for there, and what an entry says about one
(identity.md 8.5). Pure; `core/signin/ldap.py` talks to the directory.

Promises: what somebody types stays one value of a name (RFC 4514) or of a filter (RFC 4515), whatever it holds; a group
is had by a whole part of a name, never by a text that happens to stand in one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from thingstead.model.constraints import is_email
from thingstead.model.errors import InvalidInput
from thingstead.model.pem import pem
from thingstead.model.pictures import picture
from thingstead.model.users import Profile
from thingstead.model.values import Json

PREFIX: Final = "security.ldap."
DEFAULT_BASE: Final = "dc=springframework,dc=org"
DEFAULT_FILTER: Final = "(cn={0})"
AD_FILTER: Final = "(&(objectClass=user)(userPrincipalName={0}))"
DOMAIN: Final = "paraio.com"  # of people without an address
MAX_NAME: Final = 256
MAX_PASSWORD: Final = 5_000

Attributes = Mapping[str, Sequence[bytes]]
"""An entry's values; names are compared without regard to case."""

_PHOTOS: Final = ("jpegPhoto", "thumbnailPhoto", "photo")
_NAMED: Final = ("uid", "cn", "userPrincipalName", "sAMAccountName")  # what may hold the very name that was typed


class Server(msgspec.Struct, frozen=True):
    """Where a directory answers."""

    host: str
    port: int
    tls: bool  # from the first byte


class Directory(msgspec.Struct, frozen=True, kw_only=True):
    """How an app asks its directory."""

    server: Server
    start_tls: bool = False
    certificates: str = ""  # PEM of the authorities that are trusted; "": those of the system
    base: str = ""
    patterns: tuple[str, ...] = ()  # relative to `base`, which they end with
    search_base: str = ""  # complete
    filter: str = DEFAULT_FILTER
    bind_dn: str = ""
    bind_password: str = ""
    password_attribute: str = "userPassword"  # noqa: S105
    compare: bool = False
    active: bool = False  # an Active Directory
    domain: str = ""  # of it
    mods: str = ""
    admins: str = ""
    name_attribute: str = "cn"
    login_as_name: bool = False


class Asked(msgspec.Struct, frozen=True):
    """A search for one person, below `base`."""

    base: str
    filter: str


def directory(option: Callable[[str], Json]) -> Directory:
    """The directory that an app's options describe; `option` gives them by key. Raises InvalidInput naming the key."""

    def text(name: str) -> str:
        return str(option(PREFIX + name)).strip()

    base, domain = text("base_dn"), text("active_directory_domain").strip("@.").lower()
    active = bool(domain) or text("ad_mode_enabled").lower() in ("true", "yes", "on")
    if domain and base in ("", DEFAULT_BASE):
        base = domain_base(domain)
    asked = text("user_search_filter")
    if active and asked in ("", DEFAULT_FILTER):
        asked = AD_FILTER
    return Directory(
        server=server(text("server_url")),
        start_tls=option(f"{PREFIX}start_tls") is True,
        certificates=_certificates(text("ca_certificate")),
        base=base,
        patterns=tuple(
            joined(pattern.strip(), base) for pattern in text("user_dn_pattern").split("|") if pattern.strip()
        ),
        search_base=joined(text("user_search_base"), base),
        filter=asked or DEFAULT_FILTER,
        bind_dn=text("bind_dn").replace("%20", " "),
        bind_password=str(option(f"{PREFIX}bind_pass")),
        password_attribute=text("password_attribute") or "userPassword",
        compare=bool(text("compare_passwords")),
        active=active,
        domain=domain,
        mods=text("mods_group_node"),
        admins=text("admins_group_node"),
        name_attribute=text("displayname_attribute") or "cn",
        login_as_name=option(f"{PREFIX}username_as_name") is True,
    )


def _certificates(text: str) -> str:
    try:
        return pem(text, "CERTIFICATE")
    except ValueError as error:
        raise InvalidInput(f"para.{PREFIX}ca_certificate is {error}", field="ca_certificate") from None


def server(url: str) -> Server:
    """Where `ldap://host[:port]` or `ldaps://host[:port]` is; a path is ignored. Raises InvalidInput.

    >>> server("ldaps://dc1.corp.example/")
    Server(host='dc1.corp.example', port=636, tls=True)
    """
    refused = InvalidInput(f"para.{PREFIX}server_url must be ldap://host:port or ldaps://host:port", field="server_url")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refused from None
    if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or parts.username is not None or port == 0:
        raise refused
    tls = parts.scheme == "ldaps"
    return Server(parts.hostname, port or (636 if tls else 389), tls)


def joined(relative: str, base: str) -> str:
    """A relative name below a base, either of which may be blank."""
    return ",".join(filter(None, (relative, base)))


def credentials(token: str) -> tuple[str, str] | None:
    """Name and password of `{name}:{password}`; None where either cannot be one.

    An empty password is none: a directory takes a bind without a password for an anonymous one, and lets it pass.
    """
    name, colon, password = token.partition(":")
    name = name.strip()
    if not colon or not name or not password or len(name) > MAX_NAME or len(password) > MAX_PASSWORD:
        return None
    if "\0" in password or not all(c.isprintable() for c in name):
        return None
    try:
        token.encode()
    except UnicodeEncodeError:
        return None
    return name, password


# --- how a person is named and looked for


def escape_name(value: str) -> str:
    """A value as it stands in a distinguished name (RFC 4514, 2.4).

    >>> escape_name(" Smith, J+R ")
    '\\\\ Smith\\\\, J\\\\+R\\\\ '
    """
    bare = value.lstrip(" ")
    begins = len(value) - len(bare)
    ends = begins + len(bare.rstrip(" "))
    return "".join(
        f"\\{char}" if char in '"#+,;<>\\=' or not begins <= at < ends else _printable(char)
        for at, char in enumerate(value)
    )


def escape_filter(value: str) -> str:
    """A value as it stands in a search filter (RFC 4515, 3).

    >>> escape_filter("a*)(uid=*")
    'a\\\\2a\\\\29\\\\28uid=\\\\2a'
    """
    begins = len(value) - len(value.lstrip(" "))
    ends = len(value.rstrip(" "))
    return "".join(
        f"\\{ord(char):02x}" if char in "\\*()" or not begins <= at < ends else _printable(char)
        for at, char in enumerate(value)
    )


def _printable(char: str) -> str:
    return char if char.isprintable() else "".join(f"\\{byte:02x}" for byte in char.encode())


def names_of(known: Directory, name: str) -> list[str]:
    """The distinguished names that somebody may have, by the patterns."""
    return [pattern.replace("{0}", escape_name(name)) for pattern in known.patterns]


def asked_for(known: Directory, name: str) -> Asked:
    """The search for a person."""
    if not known.active:
        return Asked(known.search_base, _filled(known.filter, name, name))
    bare = name.partition("@")[0]
    base = known.base
    if base in ("", DEFAULT_BASE):
        base = domain_base(name.partition("@")[2]) or base
    return Asked(base, _filled(known.filter, f"{bare}@{known.domain}" if known.domain else name, bare))


def principal(known: Directory, name: str) -> str:
    """Who a person is to an Active Directory; "" if nobody."""
    if not known.domain:
        return name
    bare = name.partition("@")[0]
    return f"{bare}@{known.domain}" if bare else ""


def _filled(pattern: str, first: str, second: str) -> str:
    values = {"{0}": escape_filter(first), "{1}": escape_filter(second)}
    return re.sub(r"\{[01]\}", lambda found: values[found.group()], pattern)


def domain_base(domain: str) -> str:
    """The name of a domain's root.

    >>> domain_base("corp.example.org")
    'dc=corp,dc=example,dc=org'
    """
    return ",".join(f"dc={escape_name(label)}" for label in domain.split(".") if label)


# --- what an entry says


def profile(known: Directory, name: str, dn: str, attributes: Attributes) -> Profile:
    """What a person's own entry says about them.

    An address counts as proven only if the entry holds it: as `mail`, or as the very name that was typed.
    """
    values = {key.lower(): found for key, found in attributes.items()}

    def texts(attribute: str) -> list[str]:
        return [text for text in map(_text, values.get(attribute.lower(), ())) if text]

    mail = next((each for each in texts("mail") if is_email(each)), "")
    proven = bool(mail)
    if not mail and is_email(name):
        mail = name
        proven = any(name.lower() == held.lower() for attribute in _NAMED for held in texts(attribute))
    if not mail:
        mail = f"{name}@{known.domain or DOMAIN}"
    shown = mail.partition("@")[0] if known.login_as_name else ", ".join(texts(known.name_attribute))
    return Profile(
        identifier=f"ldap:{name}",
        email=mail,
        email_proven=proven,
        name=shown,
        avatar=next(
            (found for each in _PHOTOS for data in values.get(each.lower(), ()) if (found := picture(data))), None
        ),
        groups=groups(known, dn, texts("memberOf")),
    )


def wanted(known: Directory) -> list[str]:
    """The attributes that `profile` reads."""
    return ["mail", known.name_attribute, "memberOf", *_NAMED, *_PHOTOS]


def groups(known: Directory, dn: str, member_of: Sequence[str]) -> str | None:
    """The group of somebody with this name and these memberships; None where the app maps no groups."""
    if not known.mods and not known.admins:
        return None
    held = [parts(each) for each in (dn, *member_of)]
    for node, group in ((known.admins, "admins"), (known.mods, "mods")):
        if node and any(_occurs(node, each) for each in held):
            return group
    return "users"


def _occurs(node: str, held: Sequence[str]) -> bool:
    """A node with a `=` is one or more parts in a row; one without is the value of a part."""
    sought = parts(node)
    if "=" not in node:
        return any(part.partition("=")[2] == sought[0] for part in held)
    return any(tuple(held[at : at + len(sought)]) == tuple(sought) for at in range(len(held)))


def parts(dn: str) -> list[str]:
    """The parts of a distinguished name, comparable: unescaped, in lower case, without space around names and values.

    >>> parts(r"CN=Ann\\, B, ou=People")
    ['cn=ann, b', 'ou=people']
    """
    found: list[bytes] = [b""]
    for match in _PIECE.finditer(dn):
        piece = match.group()
        if piece == "," or piece == ";":
            found.append(b"")
        elif match["hex"]:
            found[-1] += bytes.fromhex(match["hex"])
        elif match["escaped"]:
            found[-1] += match["escaped"].encode(errors="replace")
        else:
            found[-1] += piece.encode(errors="replace")
    split = (part.decode(errors="replace").casefold().partition("=") for part in found)
    return [f"{name.strip()}{equals}{value.strip()}" for name, equals, value in split]


_PIECE = re.compile(r"\\(?P<hex>[0-9a-fA-F]{2})|\\(?P<escaped>.)|.", re.DOTALL)


def _text(value: bytes) -> str:
    return value.decode(errors="replace").strip()
