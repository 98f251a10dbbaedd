"""Who reads an app's audit trail, at `audit` (identity.md 17): the app, its administrators, and users to whom it was
granted by name.
"""

from thingstead.doors.objects.read import Call
from thingstead.model.audit import TYPE, trail_of
from thingstead.model.errors import Forbidden
from thingstead.model.permissions import Permissions
from thingstead.model.types import plural

_NAMES = (TYPE, plural(TYPE))


def tenant_of(call: Call, type_name: str | None) -> str:
    """The tenant that holds objects of a type: the app's own, or its trail for entries of it. Raises Forbidden."""
    if type_name != TYPE:
        return call.app.identifier
    principal = call.principal
    if not (principal.kind == "app" or (principal.kind == "user" and (principal.groups == "admins" or _granted(call)))):
        details = {"rule": "apps and administrators", "actor": principal.id, "right": "read the audit trail"}
        raise Forbidden("The audit trail is for the app and its administrators.", details=details)
    return trail_of(call.app.identifier)


def _granted(call: Call) -> bool:
    """Whether a grant names the trail for this user or for all: one of everything (`*`) does not."""
    rights = Permissions(call.app.object.own.get("resourcePermissions"), call.app.datatypes, root=call.app.is_root)
    return any(
        rights.covers(subject, name, "GET")
        for subject in (call.principal.id, "*")
        for key in rights.lists(subject)
        for name in _NAMES
        if key.split("/")[0] in _NAMES
    )
