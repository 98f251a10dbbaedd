"""Rate limits of requests (identity.md 13, 17): sign-ins, refusals and requests per client address, guests, users,
things and apps.

Promises: what is not limited costs a look-up; what is over a limit is counted, and is a TooManyRequests that says in
`details` how long to wait (`retry_after`, s). Sizes are the doors' part, connections the transports'.
"""

from collections.abc import Mapping
from typing import Final

from thingstead.model.errors import TooManyRequests
from thingstead.model.principals import Principal
from thingstead.model.rates import Rate, is_loopback, network
from thingstead.model.settings import Settings
from thingstead.ports.environment import Clock

REFUSED: Final = 600  # what -1 means for limits.refused: a minute and address
GUEST: Final = 600  # and for limits.guest


class Limits:
    """See the module's docstring. Addresses are those of clients, as text without a port."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._lenient: Final = {
            name for name in ("refused", "guest") if getattr(settings, f"limits_{name}") < 0
        }  # at loopback these do not count: there is this machine, or a proxy that nobody declared
        self._sign_in = Rate(settings.limits_sign_in)
        self._refused = Rate(REFUSED if settings.limits_refused < 0 else settings.limits_refused)
        self._address = Rate(settings.limits_address)
        self._principals: Final[Mapping[str, Rate]] = {
            "guest": Rate(GUEST if settings.limits_guest < 0 else settings.limits_guest),
            "user": Rate(settings.limits_user),
            "thing": Rate(settings.limits_thing),
            "app": Rate(settings.limits_app),
        }
        self._limited: Final = frozenset(kind for kind, rate in self._principals.items() if rate.most)
        self.addresses: Final = bool(settings.limits_address)
        """Whether `entering` must be asked of every request."""
        self._wary_until = 0
        self.reached: dict[tuple[str, str], int] = {}
        """How often a limit was reached, by (door, limit)."""

    @property
    def wary(self) -> bool:
        """Whether `passwords` must be asked: some address has had its refusals lately."""
        return self._wary_until > 0 and self._wary_until > self._clock.now()

    def signing_in(self, address: str, door: str) -> None:
        """Somebody wants to sign in. Raises TooManyRequests after too many tries that `sign_in_failed` counted."""
        wait = self._sign_in.over(network(address), self._clock.now())
        if wait:
            raise self._over(door, "sign_in", wait, address, "sign in", self._sign_in.most)

    def sign_in_failed(self, address: str) -> None:
        """Somebody was not signed in."""
        self._sign_in.hit(network(address), self._clock.now())

    def entering(self, address: str, door: str) -> None:
        """A request comes, whoever sent it. Raises TooManyRequests."""
        wait = self._address.hit(network(address), self._clock.now())
        if wait:
            raise self._over(door, "address", wait, address, "send requests", self._address.most)

    def passwords(self, address: str, door: str) -> None:
        """A password comes with a request: not even looked at where too many proofs failed. Raises TooManyRequests."""
        client = network(address)
        if "refused" in self._lenient and is_loopback(client):
            return
        wait = self._refused.over(client, self._clock.now())
        if wait:
            raise self._over(door, "refused", wait, address, "prove who they are", self._refused.most)

    def known(self, principal: Principal, address: str, door: str) -> None:
        """A request whose sender is known. Raises TooManyRequests."""
        kind = principal.kind
        if kind not in self._limited:
            return
        rate = self._principals[kind]
        key = f"{principal.app} {principal.id}"
        if kind == "guest":
            client = network(address)
            if "guest" in self._lenient and is_loopback(client):
                return
            key = f"{principal.app} {client}"
        wait = rate.hit(key, self._clock.now())
        if wait:
            raise self._over(door, kind, wait, principal.id or address, "send requests", rate.most)

    def limits(self, principal: Principal) -> bool:
        """Whether `known` counts requests of such a principal."""
        return principal.kind in self._limited

    def failed(self, address: str, door: str) -> TooManyRequests | None:
        """A proof did not hold, or there was none. What to answer instead, if there were too many of these."""
        client = network(address)
        if "refused" in self._lenient and is_loopback(client):
            return None
        now = self._clock.now()
        wait = self._refused.hit(client, now)
        if not wait:
            return None
        self._wary_until = max(self._wary_until, now + wait)
        return self._over(door, "refused", wait, address, "be refused", self._refused.most)

    def count(self, door: str, limit: str) -> None:
        """Something was over a limit that somebody else keeps."""
        key = (door, limit)
        self.reached[key] = self.reached.get(key, 0) + 1

    def _over(self, door: str, limit: str, wait: int, actor: str, right: str, most: int) -> TooManyRequests:
        self.count(door, limit)
        seconds = -(-wait // 1_000_000)
        details = {
            "rule": f"limits.{limit}={most} a minute",
            "actor": actor,
            "right": right,
            "retry_after": str(seconds),
        }
        return TooManyRequests(f"Too many requests; try again in {seconds} s.", details=details)
