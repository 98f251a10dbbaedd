"""Kind `service_group`: groups of the agent, and claims of apikeys that belong to none (core.agents makes both)."""

from collections.abc import Callable

from thingstead.core.agent_keys import SHARERS, claim_key, group_key, owner_of_claim, owner_of_group, share_key
from thingstead.core.kinds.base import Draft, Kind, Op, Prepared
from thingstead.core.sealing import Sealer
from thingstead.model.agent import schema
from thingstead.model.errors import ConstraintViolation
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.values import Json, JsonObject, is_object
from thingstead.ports.store import Key, Store

_SEALED = ("apikey", "trust")


class GroupKind(Kind):
    """Apikeys stand readable in archives, and are sealed and named again when they come back."""

    lasting = True
    alone = True  # each sees which shares of its apikey the ones before it took

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer
        self.restored: Callable[[], None] | None = None  # set by the server: what agents remember of groups is old

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Names come from agents, or from what an archive says."""
        if draft is None or draft.archived is None:
            return await super().prepare(op, obj, draft, old, body, actor)
        secrets = obj.hidden.get("secrets")
        if not is_object(secrets):
            return Prepared()
        apikey = secrets.get("apikey")
        if not isinstance(apikey, str):
            raise ConstraintViolation("'apikey' is missing", field="apikey")
        owner = _owner(obj.app, secrets)
        sealed = {name: self._sealer.seal(text, owner) for name, text in _texts(secrets)}
        obj.hidden["secrets"] = {**secrets, **sealed}
        claimed = secrets.get("claim")
        if isinstance(claimed, str):
            name = claim_key(self._sealer, obj.app, claimed, apikey)
        else:
            config, resource = secrets.get("config"), secrets.get("resource")
            item: Json = {**config, "resource": resource, "apikey": apikey} if is_object(config) else None
            schema.groups({"services": [item]}, "services")
            name = group_key(self._sealer, str(secrets.get("resource")), apikey)
        return Prepared(keys=(name, *await self._share(obj, apikey)), after=self._after)

    async def _share(self, obj: Object, apikey: str) -> tuple[Key, ...]:
        """The first of the apikey's shares that is free, or this object's own; none if all are taken."""
        for n in range(SHARERS):
            key = share_key(self._sealer, apikey, n)
            holder = await self._store.objects.find(key)
            if holder is None or (holder.app, holder.id) == (obj.app, obj.id):
                return (key,)
        return ()

    async def _after(self) -> None:
        if self.restored is not None:
            self.restored()

    def reveal(self, obj: Object) -> JsonObject:
        """With apikey and trust themselves."""
        secrets = obj.hidden.get("secrets")
        if not is_object(secrets):
            return dict(obj.hidden)
        owner = _owner(obj.app, secrets)
        opened = {name: self._sealer.open(text, owner) for name, text in _texts(secrets)}
        return {**obj.hidden, "secrets": {**secrets, **opened}}


def _owner(app: str, secrets: JsonObject) -> str:
    claimed = secrets.get("claim")
    if isinstance(claimed, str):
        return owner_of_claim(app, claimed)
    return owner_of_group(app, str(secrets.get("resource")))


def _texts(secrets: JsonObject) -> list[tuple[str, str]]:
    return [(name, text) for name in _SEALED if isinstance(text := secrets.get(name), str)]
