"""Kinds of user-defined classes (objects.md 21): locks and validators hold whichever door writes."""

from thingstead.core.kinds.base import Draft, Kind, Op, Prepared
from thingstead.model import declared as rules
from thingstead.model.declared import Declared
from thingstead.model.errors import ConstraintViolation
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.values import JsonObject
from thingstead.ports.environment import Clock


class DeclaredKind(Kind):
    """The kind of one class."""

    adds = False

    def __init__(self, declared: Declared, clock: Clock) -> None:
        self.declared = declared
        self._clock = clock
        self.patches_old = any(field.locked for field in declared.fields.values())

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Keep what is locked, bring fields to their types, validate. Raises ConstraintViolation."""
        if op == "patch" and old is not None:
            obj.custom = rules.kept(self.declared, obj.custom, old.custom)
        obj.custom = rules.coerced(self.declared, obj.custom)
        if found := rules.broken(self.declared, obj.values(), self._clock.now() // 1000):
            raise ConstraintViolation(". ".join(each.message for each in found), field=found[0].field)
        return Prepared(keys=draft.keys if draft is not None and draft.keys else None)
