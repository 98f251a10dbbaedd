"""Promise: a measure becomes exactly the attributes that agent.md 7 and the functional cases of 19 say."""

from typing import Any

import pytest

from support.agent_cases import BASE, CASES, Case, same
from support.environment import NOON
from thingstead.model.agent import mapping, payload, schema
from thingstead.model.shadow import Attribute
from thingstead.model.values import dump


def shown(values: dict[str, Any], attributes: dict[str, Attribute]) -> dict[str, Any]:
    return {n: {"type": attributes[n].type, "value": v, "metadata": attributes[n].metadata} for n, v in values.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    group = schema.groups({"services": [{**BASE, **case.group}]}, "services")[0]
    prepared = mapping.prepare({}, group, timestamp=False)
    measures = payload.measures(dump(case.measure))
    payload.check(measures)
    updates = [mapping.apply(prepared, measure, NOON) for measure in measures]
    got = mapping.in_order([update for update in updates if update is not None])
    assert len(got) == len(case.entities), got
    for update, expected in zip(got, case.entities, strict=True):
        assert same(shown(update.values, update.attributes), expected), update
    if case.last is not None:
        entity = shown(got[-1].values, got[-1].attributes)
        for name, static in mapping.statics(prepared, got[-1].values.get("TimeInstant")).items():
            entity |= shown({name: static.value}, {name: static.attribute})
        assert same(entity, case.last)
