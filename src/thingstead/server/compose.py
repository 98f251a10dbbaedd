"""Building the backend: which engine stands behind which port, and how the parts of core are wired to each other."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import cast

import msgspec

from thingstead.core.access import Access
from thingstead.core.agents import Agents
from thingstead.core.archives import Archives
from thingstead.core.audit import Audit
from thingstead.core.backend import Backend
from thingstead.core.backlog import Backlog
from thingstead.core.cached import SPACE as UNSTORED
from thingstead.core.cached import CachedStore, TimedCache
from thingstead.core.delegated import DelegatedTokens
from thingstead.core.follow import Catalogue
from thingstead.core.health import Health
from thingstead.core.identity import Identity
from thingstead.core.ingest import Ingest
from thingstead.core.kinds.base import Kind
from thingstead.core.kinds.group import GroupKind
from thingstead.core.kinds.links import LinkerKind, VoteKind
from thingstead.core.kinds.plain import AppKind, AuditKind, EntityKind, SensorKind, TagKind
from thingstead.core.kinds.thing import ThingKind
from thingstead.core.kinds.user import UserKind
from thingstead.core.kinds.webhook import WebhookKind
from thingstead.core.limits import Limits
from thingstead.core.links import Links
from thingstead.core.mail import Mail
from thingstead.core.measures import Measures
from thingstead.core.metrics import Metrics
from thingstead.core.objects import Objects
from thingstead.core.one_time import OneTimeTokens
from thingstead.core.outbound import Outbound, connected
from thingstead.core.outbox import Outbox
from thingstead.core.passwords import Passwords
from thingstead.core.reindex import Reindexer
from thingstead.core.rendering import Rendering
from thingstead.core.river import River
from thingstead.core.sealing import Sealer
from thingstead.core.search import Search
from thingstead.core.signin.delegation import Delegation
from thingstead.core.signin.ldap import Ldap
from thingstead.core.signin.password import Password
from thingstead.core.signin.passwordless import Passwordless
from thingstead.core.signin.provider import Provider
from thingstead.core.signin.saml import Saml
from thingstead.core.signin.signing import SignIn
from thingstead.core.signin.social import SocialProviders
from thingstead.core.states import States
from thingstead.core.tenants import Keys, Tenants
from thingstead.core.things import Things
from thingstead.core.token_secrets import TokenSecrets
from thingstead.core.users import Users
from thingstead.core.votes import Votes
from thingstead.core.webhooks import Webhooks
from thingstead.engines.inprocess import InProcessHub
from thingstead.engines.inprocess.index import NoIndex
from thingstead.engines.local.broker import LocalBroker
from thingstead.engines.smtp import SmtpMailer
from thingstead.model.files import clean
from thingstead.model.ids import APP_PREFIX, app_identifier
from thingstead.model.outbound import allowed
from thingstead.model.query import ast
from thingstead.model.query.build import Find, Pager
from thingstead.model.settings import Settings
from thingstead.ports.cache import Cache
from thingstead.ports.engine import Closing, Place
from thingstead.ports.environment import Clock, Entropy, Ids
from thingstead.ports.files import Files
from thingstead.ports.index import Index
from thingstead.ports.mailer import Mailer, MailServer
from thingstead.ports.queue import Queue
from thingstead.ports.store import Store
from thingstead.server.environment import NodeIds, SystemClock, SystemEntropy
from thingstead.server.plugins import Plugins

SEARCH = "search"
AUTHORITY = "ca"
EMAILS = "emails"
_EMAILER = "javamail"  # where `para.emailer` is not set


class Built(msgspec.Struct, frozen=True):
    """A backend over a data directory, and what only the server itself touches."""

    backend: Backend
    local: LocalBroker
    app_kind: AppKind
    passwords: Passwords
    outbound: Outbound  # of sign-ins
    ldap: Ldap
    opened: Sequence[object]  # engines that may be Closing
    root_keys: Keys | None  # generated just now; shown once (doors.md 33)

    async def close(self) -> None:
        """Settle what was submitted, then close hub, search and store, and what else was opened."""
        self.passwords.close()
        self.ldap.close()
        await self.outbound.close()
        await self.backend.audit.close()
        await self.backend.river.close()
        await self.backend.webhooks.close()
        await self.backend.ingest.close()
        await self.backend.hub.close()
        await self.backend.search.close()
        await self.backend.store.close()
        await _close(self.opened)


async def build(
    directory: Path,
    settings: Settings,
    secret_key: bytes,
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    entropy: Entropy | None = None,
    store: Store | None = None,
    plugins: Plugins | None = None,
) -> Built:
    """Open the engines that the settings name over a data directory, and wire core over them; the caller has locked it.

    `store` stands in for the one that the settings name. Raises StoreFailed, NotSupported or Unavailable if an engine
    cannot be opened.
    """
    clock = clock or SystemClock()
    ids = ids or NodeIds(clock, settings.worker_id)
    entropy = entropy or SystemEntropy()
    plugins = plugins or Plugins.of(directory, settings)
    place = Place(directory, settings, clock, entropy)
    if store is None:
        store = cast(Store, await plugins.engine("dao", settings.dao).open(place))
    try:
        place = msgspec.structs.replace(place, store=store.uuid)
        index: Index = NoIndex(await store.journal.last())
        if settings.search_enabled:
            index = cast(Index, await plugins.engine("search", settings.search).open(place))
    except BaseException:
        await store.close()
        raise
    opened: list[object] = []
    try:
        place = msgspec.structs.replace(place, queue=store.queue)
        cache = cast(Cache, await plugins.engine("cache", settings.cache).open(place))
        opened.append(files := cast(Files, await plugins.engine("fs", settings.fs).open(place)))
        opened.append(queue := cast(Queue, await plugins.engine("q", settings.q).open(place)))
        emailer = plugins.engine("emailer", settings.emailer or _EMAILER)
        opened.append(mailer := cast(Mailer, await emailer.open(place)))
        return await _wire(
            directory, settings, secret_key, clock, ids, entropy, store, index, cache, queue, files, mailer, opened
        )
    except BaseException:
        await _close(opened)
        await index.close()
        await store.close()
        raise


async def _close(opened: Sequence[object]) -> None:
    for engine in opened:
        if isinstance(engine, Closing):
            await engine.close()


def templates(folder: Path) -> Callable[[str], str | None]:
    """Reads the templates of letters in a folder; None for one that is not there."""

    def load(name: str) -> str | None:
        file = folder / (clean(name) or "")
        return file.read_text() if file.is_file() else None

    return load


async def _wire(
    directory: Path,
    settings: Settings,
    secret_key: bytes,
    clock: Clock,
    ids: Ids,
    entropy: Entropy,
    store: Store,
    index: Index,
    objects_cache: Cache,
    queue: Queue,
    files: Files,
    mailer: Mailer,
    opened: Sequence[object],
) -> Built:
    allow = allowed(settings.outbound_allow)
    local = LocalBroker.open(directory / AUTHORITY, clock=clock, entropy=entropy)
    hub = InProcessHub()
    metrics = Metrics(clock, perf_counter, enabled=settings.metrics_enabled)
    rows = store
    catalogue = Catalogue(rows, app_identifier(settings.app_name), ids)
    unstored = set(await rows.items.scan(UNSTORED))
    cache = TimedCache(objects_cache, metrics)
    store = CachedStore(rows, cache, enabled=settings.cache_enabled, unstored=unstored, metrics=metrics)

    async def passed(seq: int) -> None:
        await rows.passed(SEARCH, seq)

    search = Search(
        index,
        store.objects.publics,
        clock,
        join=States(store).join,
        passed=passed,
        unstored=unstored,
        from_index=settings.read_from_index,
        metrics=metrics,
    )
    await search.recover(rows.journal, catalogue.current, catalogue.everything, catalogue.unstored)
    sealer = Sealer(secret_key, entropy)
    backlog = Backlog(store.queue, settings.webhooks_max_backlog)
    outbox = Outbox(store, clock, backlog, enabled=settings.webhooks_enabled)
    tenants = Tenants(store, settings, clock, ids, entropy, sealer, hub, search, outbox)
    audit = Audit(store, tenants, search, settings, clock, ids)
    thing = ThingKind(store, clock, {local.name: local}, settings.things_default_broker, sealer)
    app = AppKind(tenants.root, tenants, sealer)
    group = GroupKind(store, sealer)
    secrets = TokenSecrets(sealer, entropy)
    kinds: Mapping[str, Kind] = {
        "app": app,
        "audit": AuditKind(),
        "entity": EntityKind(clock),
        "linker": LinkerKind(store),
        "sensor": SensorKind(store),
        "service_group": group,
        "tag": TagKind(),
        "thing": thing,
        "user": UserKind(store, search, clock, ids, secrets, settings.admin_ident),
        "vote": VoteKind(),
        "webhook": WebhookKind(entropy, outbox.forget),
    }
    objects = Objects(store, clock, ids, hub, search, tenants, outbox, kinds)
    ingest = Ingest(store, clock, ids, hub, search, outbox)
    identity = Identity(store, tenants, settings, clock, secrets)
    passwords = Passwords()
    delegated = DelegatedTokens(sealer)
    users = Users(objects, search, passwords, secrets, delegated, files, audit, settings, clock, ids, entropy)
    outbound = Outbound(allow)
    social = SocialProviders(tenants, outbound, clock, entropy)
    identity.still_valid = Delegation(social.generic.values(), delegated, users.keep_delegated).still_valid
    ldap = Ldap(tenants, allow)
    identity.logins = users
    providers: dict[str, Provider] = {
        **social.by_name,
        "password": Password(users),
        "generic": Password(users),
        "passwordless": Passwordless(users, tenants, secrets, clock),
        "ldap": ldap,
        "saml": Saml(tenants, outbound, store, clock),
    }
    things = Things(store, ids, objects, ingest, thing)
    agents = Agents(objects, things, tenants, settings, sealer)
    group.restored, thing.restored = agents.groups_restored, agents.device_restored
    webhooks = Webhooks(store.queue, objects, tenants, outbox, backlog, settings, clock, ids, entropy)
    river = River(queue, objects, tenants, webhooks, settings)

    def smtp(server: MailServer) -> Mailer:
        connect = partial(connected, allowed=allow, trusted=server.private)
        return SmtpMailer(server, clock, entropy, connect=connect)

    backend = Backend(
        settings=settings,
        rendering=Rendering(settings),
        clock=clock,
        ids=ids,
        entropy=entropy,
        store=store,
        cache=cache,
        metrics=metrics,
        mail=Mail(settings, mailer, smtp, templates(directory / EMAILS)),
        files=files,
        queue=queue,
        objects=objects,
        things=things,
        ingest=ingest,
        search=search,
        hub=hub,
        tenants=tenants,
        identity=identity,
        access=Access(settings, tenants, identity, store),
        users=users,
        token_secrets=secrets,
        one_time=OneTimeTokens(objects, passwords, secrets, audit, settings, clock, entropy),
        signin=SignIn(providers, users, objects, tenants, identity, audit, settings, clock),
        audit=audit,
        limits=Limits(settings, clock),
        agents=agents,
        measures=Measures(agents, ingest, tenants, clock),
        links=Links(objects, search),
        votes=Votes(objects, clock),
        webhooks=webhooks,
        river=river,
        health=_health(store, search, cache, tenants.root, clock, settings),
        archives=Archives(store, objects, kinds, clock, ids, settings),
        reindexer=Reindexer(rows, search, clock, settings, metrics),
        directory=directory,
    )
    root_keys = await tenants.ensure_root()
    await backend.health.check()
    if settings.webhooks_enabled or settings.queue_link_enabled:
        webhooks.start()
        river.start()
    return Built(backend, local, app, passwords, outbound, ldap, opened, root_keys)


def _health(store: Store, search: Search, cache: Cache, root: str, clock: Clock, settings: Settings) -> Health:
    """Store and search are well while the root app can be read from them, a cache while it keeps things, if on."""

    id = APP_PREFIX + root
    find = Find(ast.Equals("id", (id,)), "app", Pager(limit=0), count=True)

    async def stored() -> bool:
        return await store.objects.get(root, id) is not None

    async def found() -> bool:
        return (await search.find(root, find, name="getCount")).total > 0

    probes = {"store": stored}
    if settings.search_enabled:
        probes["search"] = found
    if settings.cache_enabled:
        probes["cache"] = cache.probe
    return Health(probes, clock, enabled=settings.health_check_enabled)
