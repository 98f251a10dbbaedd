"""The routes of `/v1`: one row a method and path, read by routing and by the OpenAPI document alike (objects.md 2, 9).

Promises: a path or method that has no row here, and is no custom resource, is answered 404 or 405; the earlier literal
segment of a path wins over a placeholder (`{type}/search` over `{type}/{id}`). Pure data: binding is `routes.py`'s.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from thingstead.doors.objects.apps import Apps, Asked
from thingstead.doors.objects.archives import Archived
from thingstead.doors.objects.batch import Batches
from thingstead.doors.objects.constraints import Constraints
from thingstead.doors.objects.crud import Crud
from thingstead.doors.objects.emails import Emails
from thingstead.doors.objects.links import Linking
from thingstead.doors.objects.permissions import Permitted
from thingstead.doors.objects.read import Call
from thingstead.doors.objects.render import Answer
from thingstead.doors.objects.search import Searches
from thingstead.doors.objects.settings import AppSettings
from thingstead.doors.objects.utilities import Utilities

Shape: TypeAlias = Literal[
    "",
    "Archive",
    "Banner",
    "Changed",
    "Json",
    "Keys",
    "Letter",
    "Message",
    "Methods",
    "Object",
    "Objects",
    "Options",
    "Page",
    "Progress",
    "Setting",
    "SetUp",
    "SignIn",
    "Text",
]
"""What a body is: "" empty, `Archive` a ZIP, `Json` an object without fixed members, `Progress`
the same after lines of JSON that tell how far it is, `Text` bare text, else a shape of
`openapi.py`."""

GROUPS: Final = (AppSettings, Constraints, Permitted, Crud, Batches, Searches, Linking, Emails, Utilities)
"""The classes beside `Apps` and `Archived` whose methods are handlers; each is made with the backend."""


class Route(msgspec.Struct, frozen=True):
    """One operation: `handler` is a method of `Apps`, `Archived` or one of `GROUPS`, not bound yet."""

    method: str
    path: str  # below `/v1/`
    handler: Callable[[Any, Call], Awaitable[Answer]]
    summary: str
    query: tuple[str, ...] = ()  # names of PARAMETERS
    body: Shape = ""
    answer: Shape = ""
    status: int = 200
    timed: str = ""  # the timer is `RestUtils.<name>` (objects.md 18)

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments after `/v1/`; a placeholder begins with `{`."""
        return tuple(self.path.split("/"))


class Open(msgspec.Struct, frozen=True):
    """An operation without credentials; `handler` is a method of `Apps`. `head`: HEAD is answered as GET is."""

    path: str  # whole
    handler: Callable[[Any, Asked], Awaitable[Answer]]
    summary: str
    query: tuple[str, ...] = ()
    answer: Shape = "Json"
    head: bool = True


class SignIn(msgspec.Struct, frozen=True):
    """What `/jwt_auth` does with a method; `signin.py` answers."""

    method: str
    summary: str
    body: Shape = ""


PARAMETERS: Final[Mapping[str, tuple[type, str]]] = {
    "all": (bool, "set by being there: delete the linked objects and their links"),
    "childrenonly": (bool, "set by being there: objects whose `parentid` this one is, instead of linked ones"),
    "count": (bool, "set by being there: how many there are, and none of them"),
    "creatorid": (str, "who the app belongs to"),
    "delta": (str, "`timeago`: milliseconds"),
    "desc": (bool, "the order of `sort`; true unless it is another word than `true`"),
    "destinationIndex": (str, "names nothing here"),
    "field": (str, "the field that the search is about"),
    "fields": (list, "`similar`: fields that are compared; `formatmessage`: what stands for `{0}`, `{1}`"),
    "filename": (str, "`_import`: what the archive is called"),
    "filterid": (str, "`similar`: the id of an object that is left out"),
    "format": (str, "`_config/options`: `json`, `markdown` or `hocon`; `formatdate`: a pattern"),
    "groupby": (str, "`category`, or anything else for none"),
    "id": (str, "`id`: the object's id"),
    "ids": (list, "ids of objects"),
    "lastKey": (str, "search after this cursor, which the page before told"),
    "latlng": (str, "`nearby`: latitude and longitude in degrees, `40.7,-73.9`"),
    "like": (str, "`similar`: a text, or `id:` and the id of an object"),
    "limit": (int, "how many objects a page has"),
    "locale": (str, "`formatdate`: the language of names"),
    "matchall": (bool, "`terms`: all must match; true unless it is another word than `true`"),
    "md": (str, "`md2html`: Markdown"),
    "message": (str, "`formatmessage`: the text with placeholders"),
    "method": (str, "the utility, unless the path names it; `explain`: the method, `GET` unless given"),
    "name": (str, "the app's name"),
    "page": (int, "the page's number; 0 and 1 are the first"),
    "path": (str, "`explain`: the path as it would be sent, with its query"),
    "prefix": (str, "`prefix`: how the value begins"),
    "progress": (bool, "set by being there: lines of JSON while it works"),
    "q": (str, "a query string in Lucene's syntax, `*` for everything; `wildcard`: the pattern"),
    "querytype": (str, "the kind of search, before the one that the path names"),
    "radius": (int, "`nearby`: kilometres, 10 unless given"),
    "replacement": (str, "`nospaces`: what stands for a blank"),
    "resource": (str, "`explain`: the resource, in place of `path`"),
    "select": (list, "members that are shown, repeated or joined with commas; all unless given"),
    "sharedIndex": (bool, "kept with the app; nothing is shared"),
    "sharedTable": (bool, "kept with the app; nothing is shared"),
    "sort": (str, "the field of the order, or several: `a:desc,b:asc`"),
    "string": (str, "`nospaces`, `nosymbols`: the text"),
    "subject": (str, "`explain`: a user, `*` for any, `?` for guests, or the app; who asks unless given"),
    "tags": (list, "`tagged`: all of these"),
    "term": (str, "the value of `field`"),
    "terms": (list, "`terms`: `field:value`, the field may end in `<`, `<=`, `>`, `>=`; `in`: values"),
    "type": (str, "the type, unless the path names it"),
}

_SELECT = ("select",)
_PAGER = ("page", "limit", "sort", "desc", "lastKey")
_SEARCH = (
    *("q", *_PAGER, "select", "count", "querytype", "id", "ids", "terms", "matchall", "tags", "field", "prefix"),
    *("latlng", "radius", "like", "fields", "filterid"),
)
_LINKED = ("childrenonly", "count", "q", "field", "term", *_PAGER, "select")
_UTILITY = ("message", "fields", "string", "replacement", "delta", "format", "locale", "md")

OPEN: Final = (
    Open("/v1", Apps.banner, "Banner and the level of Para's API", answer="Banner"),
    Open("/v1/_health", Apps.health, "What the last check of health found", answer="Message"),
    Open(
        "/v1/_config/options",
        Apps.options,
        "The table of settings and their defaults",
        ("format", "groupby"),
        "Options",
    ),
    Open("/v1/_openapi", Apps.openapi, "This document"),
    Open("/v1/_setup", Apps.setup, "Root's keys, once", answer="SetUp", head=False),  # HEAD would use them up unseen
)

SIGN_IN: Final = (
    SignIn("POST", "Sign a user in", body="SignIn"),
    SignIn("GET", "A new token of a user"),
    SignIn("DELETE", "End a user's tokens"),
)

ROUTES: Final = (
    Route("GET", "_me", Apps.me, "The app or thing that asks", _SELECT, answer="Object"),
    Route("GET", "_types", Apps.types, "Plural and singular names of types", ("count",), answer="Json"),
    Route("POST", "_newkeys", Apps.new_keys, "A new secret for the app", answer="Keys"),
    Route(
        "GET",
        "_setup/{app}",
        Apps.setup_app,
        "Root makes an app; its keys",
        query=("name", "creatorid", "sharedTable", "sharedIndex"),
        answer="SetUp",
    ),
    Route("GET", "_settings", AppSettings.read, "All settings of the app", answer="Json"),
    Route("PUT", "_settings", AppSettings.replace, "Replace all settings", body="Json"),
    Route("GET", "_settings/{key}", AppSettings.read, "One setting; `{}` if there is none", answer="Json"),
    Route("PUT", "_settings/{key}", AppSettings.put, "Keep a setting", body="Setting"),
    Route("DELETE", "_settings/{key}", AppSettings.delete, "Forget a setting"),
    Route("GET", "_constraints", Constraints.read, "What fields must be, by type", answer="Json"),
    Route("GET", "_constraints/{type}", Constraints.read, "What fields of a type must be", answer="Json"),
    Route(
        "PUT",
        "_constraints/{type}/{field}/{name}",
        Constraints.add,
        "Add a constraint; what the type has then",
        body="Json",
        answer="Json",
    ),
    Route("DELETE", "_constraints/{type}/{field}/{name}", Constraints.remove, "Remove a constraint", answer="Json"),
    Route("GET", "_permissions", Permitted.read, "Who may do what", answer="Json"),
    Route(
        "GET",
        "_permissions/{subject}",
        Permitted.of_subject,
        "What a subject may do; `explain` with a parameter: whether and why a made-up request would be allowed",
        ("subject", "resource", "path", "method"),
        answer="Json",
    ),
    Route("DELETE", "_permissions/{subject}", Permitted.revoke, "Take all from a subject", answer="Json"),
    Route(
        "PUT",
        "_permissions/{subject}/{resource}",
        Permitted.grant,
        "Allow a subject some methods on a resource",
        body="Methods",
        answer="Json",
    ),
    Route(
        "DELETE", "_permissions/{subject}/{resource}", Permitted.revoke, "Take a resource from a subject", answer="Json"
    ),
    Route(
        "GET",
        "_permissions/{subject}/{resource}/{method}",
        Permitted.check,
        "Whether a subject may use a method on a resource",
        answer="Text",
    ),
    Route("GET", "_id/{id}", Crud.read, "An object by id alone", _SELECT, answer="Object", timed="crud.read"),
    Route("POST", "_emails", Emails.send, "Send a letter; apps only", body="Letter", answer="Message"),
    Route("GET", "_batch", Batches.read, "Read many objects", ("ids", "select"), answer="Objects", timed="batch.read"),
    Route("POST", "_batch", Batches.create, "Write many objects", _SELECT, "Objects", "Objects", timed="batch.create"),
    Route("PUT", "_batch", Batches.create, "Write many objects", _SELECT, "Objects", "Objects", timed="batch.create"),
    Route("PATCH", "_batch", Batches.patch, "Change many objects", _SELECT, "Objects", "Objects", timed="batch.update"),
    Route("DELETE", "_batch", Batches.delete, "Delete many objects", ("ids",), timed="batch.delete"),
    Route("GET", "search", Searches.anywhere, "Search", ("type", *_SEARCH), answer="Page"),
    Route("GET", "search/{kind}", Searches.anywhere, "Search of a kind", ("type", *_SEARCH), answer="Page"),
    Route("GET", "_export", Archived.export, "All objects of the app as a ZIP", answer="Archive"),
    Route(
        "PUT",
        "_import",
        Archived.unread,
        "The objects of a ZIP into the app",
        ("filename", "progress"),
        "Archive",
        "Progress",
    ),
    Route(
        "POST",
        "_reindex",
        Archived.reindex,
        "The app's part of the index again",
        ("destinationIndex", "progress"),
        answer="Progress",
    ),
    Route("GET", "utils", Utilities.answer, "A utility", ("method", *_UTILITY), answer="Text"),
    Route("GET", "utils/{method}", Utilities.answer, "A utility", _UTILITY, answer="Text"),
    Route("GET", "{type}", Searches.of_type, "Search in a type", _SEARCH, answer="Page"),
    Route("POST", "{type}", Crud.create, "Create", _SELECT, "Object", "Object", 201, "crud.create"),
    Route("GET", "{type}/search", Searches.of_type, "Search in a type", _SEARCH, answer="Page"),
    Route("GET", "{type}/search/{kind}", Searches.of_type, "Search of a kind in a type", _SEARCH, answer="Page"),
    Route("GET", "{type}/{id}", Crud.read, "Read", _SELECT, answer="Object", timed="crud.read"),
    Route(
        "PUT",
        "{type}/{id}",
        Crud.overwrite,
        "Overwrite or create; 201 for a new thing",
        _SELECT,
        body="Object",
        answer="Object",
        timed="crud.overwrite",
    ),
    Route(
        "PATCH",
        "{type}/{id}",
        Crud.patch,
        "Change, or vote: the answer to a vote is whether it counted",
        _SELECT,
        body="Object",
        answer="Changed",
        timed="crud.update",
    ),
    Route("DELETE", "{type}/{id}", Crud.delete, "Delete; 200 also when nothing was there", timed="crud.delete"),
    Route(
        "GET",
        "{type}/{id}/links",
        Linking.find,
        "Linked objects or children",
        ("type", *_LINKED),
        answer="Page",
        timed="links.read",
    ),
    Route("DELETE", "{type}/{id}/links", Linking.unlink_all, "Unlink everything", timed="links.delete"),
    Route(
        "GET",
        "{type}/{id}/links/{other}",
        Linking.find,
        "Linked objects or children of a type",
        _LINKED,
        answer="Page",
        timed="links.read",
    ),
    Route(
        "POST",
        "{type}/{id}/links/{other}",
        Linking.link,
        "Link two objects; the link's id",
        answer="Text",
        timed="links.create",
    ),
    Route(
        "PUT",
        "{type}/{id}/links/{other}",
        Linking.link,
        "Link two objects; the link's id",
        answer="Text",
        timed="links.create",
    ),
    Route(
        "DELETE",
        "{type}/{id}/links/{other}",
        Linking.delete,
        "Delete children, or linked objects, of a type",
        query=("childrenonly", "all"),
        timed="links.delete",
    ),
    Route(
        "GET",
        "{type}/{id}/links/{other}/{id2}",
        Linking.check,
        "Whether two objects are linked",
        answer="Text",
        timed="links.read",
    ),
    Route("DELETE", "{type}/{id}/links/{other}/{id2}", Linking.unlink, "Unlink two objects", timed="links.delete"),
)
