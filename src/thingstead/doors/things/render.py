"""Shadow documents (things.md 7.2). Pure. Times inside are microseconds, in documents Unix seconds."""

from collections.abc import Mapping

from thingstead.model import shadow as rules
from thingstead.model.shadow import Shadow
from thingstead.model.values import Json, JsonObject, dump, is_array, is_object


def accepted(sections: Mapping[str, Json], version: int, time: int, token: str | None) -> bytes:
    """The answer to an update: only what the request held, stamped with the time it was accepted."""
    seconds = time // 1_000_000
    metadata: JsonObject = {name: _stamped(section, seconds) for name, section in sections.items() if section}
    return _document({"state": dict(sections), "metadata": metadata, "version": version}, time, token)


def current(shadow: Shadow, time: int, token: str | None) -> bytes:
    """The answer to a get: both sections and their difference."""
    state = _state(shadow)
    metadata = _metadata(shadow)
    difference = rules.delta(shadow)
    if difference:
        state["delta"] = difference
        metadata["delta"] = rules.timestamps(difference, shadow.desired_at)
    return _document({"state": state, "metadata": metadata, "version": shadow.version}, time, token)


def delta(difference: JsonObject, shadow: Shadow, time: int, token: str | None) -> bytes:
    """What is desired and not yet reported so."""
    metadata = rules.timestamps(difference, shadow.desired_at)
    return _document({"version": shadow.version, "state": difference, "metadata": metadata}, time, token)


def documents(previous: Shadow, now: Shadow, time: int, token: str | None) -> bytes:
    """The shadow before and after an update; no delta inside."""
    return _document({"previous": _snapshot(previous), "current": _snapshot(now)}, time, token)


def deleted(version: int, time: int, token: str | None) -> bytes:
    """The answer to a delete."""
    return _document({"version": version}, time, token)


def rejected(code: int, message: str, time: int, token: str | None) -> bytes:
    """An error, in MQTT and in REST."""
    return _document({"code": code, "message": message}, time, token)


def names(time: int) -> bytes:
    """The list of named shadows: there are none yet; the classic one is not listed."""
    return _document({"results": []}, time, None)


def _document(members: JsonObject, time: int, token: str | None) -> bytes:
    members["timestamp"] = time // 1_000_000
    if token is not None:
        members["clientToken"] = token
    return dump(members)


def _snapshot(shadow: Shadow) -> JsonObject:
    return {"state": _state(shadow), "metadata": _metadata(shadow), "version": shadow.version}


def _state(shadow: Shadow) -> JsonObject:
    sections: JsonObject = {"desired": shadow.desired, "reported": shadow.reported}
    return {name: section for name, section in sections.items() if section}


def _metadata(shadow: Shadow) -> JsonObject:
    sections: JsonObject = {
        "desired": rules.timestamps(shadow.desired, shadow.desired_at),
        "reported": rules.timestamps(shadow.reported, rules.reported_times(shadow)),
    }
    return {name: section for name, section in sections.items() if section}


def _stamped(value: Json, seconds: int) -> Json:
    if is_object(value):
        return {key: _stamped(item, seconds) for key, item in value.items() if item is not None}
    if is_array(value):
        return [{"timestamp": seconds} for _ in value]
    return {"timestamp": seconds}
