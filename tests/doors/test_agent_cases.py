"""Promise: through the real ports, a measure by HTTP ends as the entity that the functional cases of agent.md 19 name,
with one reading per attribute and measure.
"""

from pathlib import Path
from typing import Any

from support.agent_cases import BASE, CASES, ID, TYPE, same
from support.agent_doors import open_doors
from support.aio import run


def test_cases(tmp_path: Path) -> None:
    async def work() -> None:
        async with open_doors(tmp_path) as doors:
            for n, case in enumerate(CASES):
                tenant = {"fiware-service": f"case{n}", "fiware-servicepath": "/gardens"}
                key = f"key{n}"
                body: Any = {"services": [{**BASE, "apikey": key, **case.group}]}
                made = await doors.call("north", "POST", "/iot/services", body, tenant)
                assert (made.status, made.body) == (200, b""), case.name
                head = await doors.backend.store.readings.head()
                answer = await doors.measure(case.measure, k=key)
                assert (answer.status, answer.body) == (200, b"{}"), case.name
                taken = await doors.backend.store.readings.head() - head
                leaves = [v for e in case.entities for v in map(_value, e.values()) if v not in (None, {})]
                assert taken == sum(len(v) if isinstance(v, dict) else 1 for v in leaves), case.name
                entity = await doors.entity(ID, tenant)
                assert (entity.pop("id"), entity.pop("type")) == (ID, TYPE)
                whole: dict[str, Any] = {}
                for part in case.entities:
                    whole |= part
                expected = case.last if case.last is not None else whole
                if case.entities:
                    assert same(entity, _normal(expected)), (case.name, entity)

    run(work(), 60)


def _value(attribute: dict[str, Any]) -> Any:
    return attribute["value"]


def _normal(entity: dict[str, Any]) -> dict[str, Any]:
    """Times as the context broker shows them."""

    def shown(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("type") == "DateTime" and str(value["value"]).endswith("00Z"):
                return {**value, "value": value["value"].replace("00Z", "00.000Z")}
            return {key: shown(inner) for key, inner in value.items()}
        return value

    return {name: shown(attribute) for name, attribute in entity.items()}
