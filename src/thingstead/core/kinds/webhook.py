"""Kind `webhook`: what a subscription must be to be stored (objects.md 15)."""

import base64
from collections.abc import Awaitable, Callable

from thingstead.core.kinds.base import Draft, Kind, Op, Prepared
from thingstead.model import webhooks as rules
from thingstead.model.coercion import flag_of
from thingstead.model.errors import ConstraintViolation
from thingstead.model.objects import Object
from thingstead.model.principals import Principal
from thingstead.model.values import JsonObject
from thingstead.ports.environment import Entropy


class WebhookKind(Kind):
    """A POST makes the secret and says whether it is active; PUT and batches store what they are given."""

    reads_old = True
    alone = False

    def __init__(self, entropy: Entropy, forget: Callable[[str], None]) -> None:
        self._entropy = entropy
        self._forget = forget  # what the outbox keeps of an app's webhooks

    async def prepare(
        self, op: Op, obj: Object, draft: Draft | None, old: Object | None, body: JsonObject, actor: Principal
    ) -> Prepared:
        """Check the address, complete what is missing."""
        own = obj.own
        target = own.get("targetUrl")
        if isinstance(target, str) and target.strip():
            problem = rules.target_problem(target)
            if problem is not None:
                raise ConstraintViolation(f"'targetUrl' {problem}", field="targetUrl")
        own["repeatedDeliveryAttempts"] = rules.repeats(own.get("repeatedDeliveryAttempts"))
        secret = own.get("secret")
        if not isinstance(secret, str) or not secret.strip():
            if op == "patch" and old is not None and old.own.get("secret"):
                own["secret"] = old.own["secret"]
            elif draft is not None and draft.posted:
                own["secret"] = base64.b64encode(self._entropy.token(rules.SECRET_BYTES)).decode()
        if draft is not None and draft.posted and body.get("active") is None:
            own["active"] = rules.selects_any(own)
        if flag_of(body.get("active")):
            own["tooManyFailures"] = False
        return Prepared(after=self._changed(obj.app))

    async def removing(self, obj: Object) -> Prepared:
        """Nothing is sent to it any more."""
        return Prepared(after=self._changed(obj.app))

    def _changed(self, app: str) -> Callable[[], Awaitable[None]]:
        async def after() -> None:
            self._forget(app)

        return after
