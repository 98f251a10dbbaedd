"""Who reads an app's audit trail, at `audit` (identity.md 17): the app, its administrators, and users to whom it was
granted by name.
"""

from thingstead.doors.objects.read import Call
from thingstead.model.audit import TYPE, trail_of
from thingstead.model.errors import Forbidden


def tenant_of(call: Call, type_name: str | None) -> str:
    """The tenant that holds objects of a type: the app's own, or its trail for entries of it. Raises Forbidden."""
    if type_name != TYPE:
        return call.app.identifier
    principal = call.principal
    if principal.kind not in ("app", "user"):  # users come as far as their permissions let them
        details = {"rule": "apps and administrators", "actor": principal.id, "right": "read the audit trail"}
        raise Forbidden("The audit trail is for the app and its administrators.", details=details)
    return trail_of(call.app.identifier)
