"""Every provider of sign-ins that is reached over OAuth, by its name (identity.md 8.2-8.4). Mattermost is not."""

from thingstead.core.outbound import Outbound
from thingstead.core.signin.calls import Calls
from thingstead.core.signin.id_tokens import IdTokens
from thingstead.core.signin.oauth import OAuth
from thingstead.core.signin.oauth_generic import GenericOAuth
from thingstead.core.signin.twitter import Twitter
from thingstead.core.tenants import Tenants
from thingstead.model.oauth import SOCIAL
from thingstead.model.oauth_generic import ALIASES
from thingstead.ports.environment import Clock, Entropy


class SocialProviders:
    """The providers. `at`, for tests: a server that stands for all their hosts, each below its own name."""

    def __init__(self, tenants: Tenants, outbound: Outbound, clock: Clock, entropy: Entropy, *, at: str = "") -> None:
        calls = Calls(outbound, at=at)
        id_tokens = IdTokens(calls, clock)
        self.fixed = {known.name: OAuth(known, tenants, calls) for known in SOCIAL}
        self.twitter = Twitter(tenants, calls, clock, entropy)
        self.generic = {f"oauth2{alias}": GenericOAuth(alias, tenants, calls, id_tokens) for alias in ALIASES}
        self.by_name: dict[str, OAuth | Twitter | GenericOAuth] = {
            **self.fixed,
            "twitter": self.twitter,
            **self.generic,
        }
