"""The backend as doors see it: one value that holds the parts of core."""

from pathlib import Path

import msgspec

from thingstead.core.access import Access
from thingstead.core.agents import Agents
from thingstead.core.archives import Archives
from thingstead.core.audit import Audit
from thingstead.core.health import Health
from thingstead.core.identity import Identity
from thingstead.core.ingest import Ingest
from thingstead.core.limits import Limits
from thingstead.core.links import Links
from thingstead.core.mail import Mail
from thingstead.core.measures import Measures
from thingstead.core.metrics import Metrics
from thingstead.core.objects import Objects
from thingstead.core.one_time import OneTimeTokens
from thingstead.core.reindex import Reindexer
from thingstead.core.rendering import Rendering
from thingstead.core.river import River
from thingstead.core.search import Search
from thingstead.core.signin.signing import SignIn
from thingstead.core.tenants import Tenants
from thingstead.core.things import Things
from thingstead.core.token_secrets import TokenSecrets
from thingstead.core.users import Users
from thingstead.core.votes import Votes
from thingstead.core.webhooks import Webhooks
from thingstead.model.settings import Settings
from thingstead.ports.cache import Cache
from thingstead.ports.environment import Clock, Entropy, Ids
from thingstead.ports.files import Files
from thingstead.ports.hub import Hub
from thingstead.ports.queue import Queue
from thingstead.ports.store import Store


class Backend(msgspec.Struct, frozen=True):
    """The parts of core, built and wired by server/compose."""

    settings: Settings
    clock: Clock
    ids: Ids
    entropy: Entropy
    store: Store
    cache: Cache
    metrics: Metrics
    files: Files
    queue: Queue  # of the river and of programs; deliveries are in the store's own
    mail: Mail
    objects: Objects
    things: Things
    ingest: Ingest
    search: Search
    hub: Hub
    tenants: Tenants
    identity: Identity
    access: Access
    users: Users
    one_time: OneTimeTokens
    token_secrets: TokenSecrets
    signin: SignIn
    audit: Audit
    limits: Limits
    agents: Agents
    measures: Measures
    links: Links
    votes: Votes
    rendering: Rendering
    health: Health
    webhooks: Webhooks
    river: River
    archives: Archives
    reindexer: Reindexer
    directory: Path  # the data directory, for files that live as long as a request
