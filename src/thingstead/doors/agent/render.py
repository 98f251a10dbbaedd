"""Groups and devices as `/iot` shows them (agent.md 3.2, 4.2)."""

from thingstead.core.agents import Device, Group
from thingstead.model.ngsi import iso
from thingstead.model.values import JsonObject


def group(found: Group) -> JsonObject:
    """A group with its stored fields."""
    out: JsonObject = {
        "_id": found.id,
        "service": found.service,
        "subservice": found.path,
        "resource": found.resource,
        "apikey": found.apikey,
        **found.config,
    }
    if found.trust is not None:
        out["trust"] = found.trust
    out["creationDate"] = iso(found.created_ms * 1000)
    return out


def device(found: Device) -> JsonObject:
    """A device's own configuration, not merged with its group's."""
    out: JsonObject = {"device_id": found.device_id}
    if found.apikey:
        out["apikey"] = found.apikey
    out.update(service=found.service, service_path=found.path, entity_name=found.name, entity_type=found.type)
    lists: JsonObject = {
        name: [] for name in ("attributes", "lazy", "commands", "static_attributes", "internal_attributes")
    }
    out.update(lists)
    out.update({name: value for name, value in found.config.items() if name not in _SHOWN_FROM_DEVICE})
    return out


_SHOWN_FROM_DEVICE = frozenset({"device_id", "apikey", "service", "service_path", "entity_name", "entity_type"})
