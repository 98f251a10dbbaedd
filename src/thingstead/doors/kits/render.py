"""Kit documents (things.md 10.1, 10.2). Pure. Nothing is ever added inside `details` or a data point; times are ms."""

from collections.abc import Mapping, Sequence

from thingstead.core.history import Point
from thingstead.model.objects import Object
from thingstead.model.values import Json, JsonObject


def kit_id(thing: Object) -> str:
    """The id of a kit: its `kitId`, else the thing's id."""
    return _text(thing.custom.get("kitId")) or thing.id


def kit(thing: Object, email: str | None, *, stranger: bool) -> JsonObject:
    """A kit without data. Strangers do not see personal data; `email` is that of the thing's creator."""
    id = kit_id(thing)
    ip: Json = None
    admin: Json = None
    if not stranger:
        ip = _text(thing.custom.get("ip"))
        admin = _text(thing.custom.get("admin")) or email
    description = _text(thing.custom.get("description")) or thing.name
    return {"id": id, "details": {"id": id, "ip": ip, "admin": admin, "description": description}}


def data(points: Mapping[str, Sequence[Point]]) -> JsonObject:
    """The data points of a kit by sensor."""
    return {
        path: [{"timestamp": time // 1000, "value": value} for time, value in found] for path, found in points.items()
    }


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None
