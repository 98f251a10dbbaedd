"""The unique names of service groups and devices, and whose their sealed secrets are (agent.md 3-5).

Apikeys are secrets: a name holds their keyed hash, so that one finds what an apikey belongs to without opening any.
"""

from typing import Final

from thingstead.core.sealing import Sealer
from thingstead.ports.store import Key

GROUP_TYPE: Final = "service_group"
SHARERS: Final = 8  # groups, and places of devices without group, that are told apart under one apikey


def group_key(sealer: Sealer, resource: str, apikey: str) -> Key:
    """One group over all tenants has it."""
    return Key("group", f"{resource}\x1f{sealer.fingerprint(apikey)}")


def share_key(sealer: Sealer, apikey: str, n: int) -> Key:
    """What is found by an apikey alone: the n-th of at most SHARERS."""
    return Key("apikey", f"{sealer.fingerprint(apikey)}\x1f{n}")


def claim_key(sealer: Sealer, app: str, path: str, apikey: str) -> Key:
    """Notes that devices under an apikey that is no group's are at a path."""
    return Key("claim", f"{path}\x1f{sealer.fingerprint(apikey)}", app)


def device_key(sealer: Sealer, app: str, path: str, apikey: str, device_id: str) -> Key:
    """One thing of a tenant has it."""
    return Key("device", f"{path}\x1f{sealer.fingerprint(apikey)}\x1f{device_id}", app)


def owner_of_group(app: str, resource: str) -> str:
    """Whose a group's secrets are."""
    return f"group\x1f{app}\x1f{resource}"


def owner_of_claim(app: str, path: str) -> str:
    """Whose the apikey of a claim is."""
    return f"claim\x1f{app}\x1f{path}"


def owner_of_device(app: str, path: str, device_id: str) -> str:
    """Whose a device's secrets are."""
    return f"device\x1f{app}\x1f{path}\x1f{device_id}"
