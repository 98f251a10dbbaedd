"""Things over MQTT: the classic shadow and plain data (things.md 6.5, 7; doors.md 1, 22).

Promises: all messages of one socket read become one submission; they are acknowledged once it is durable, and then
answered, in the order accepted, documents, delta; answers are built only where somebody listens. A request that cannot
be accepted is acknowledged and answered on `rejected`; plain data that cannot be accepted is acknowledged, counted and
dropped. If the store fails nothing is acknowledged. Named shadows are not served.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Final

import msgspec
import structlog
from cachebox import LRUCache

from thingstead.core.backend import Backend
from thingstead.core.ingest import Outcome, Report
from thingstead.core.metrics import SYSTEM
from thingstead.core.turns import Turns
from thingstead.doors.things import read, render
from thingstead.doors.things.errors import NotTheDevice, shown
from thingstead.doors.things.people import KINDS, People, Reached
from thingstead.model import shadow as rules
from thingstead.model.errors import AppNotFound, Forbidden, NotFound, ThingsteadError, Unauthenticated
from thingstead.model.events import ShadowChanged
from thingstead.model.grants import cloud_id
from thingstead.model.principals import Principal
from thingstead.transports.mqtt.broker import Broker
from thingstead.transports.mqtt.contract import Handler, Inbound, Settle
from thingstead.transports.mqtt.reasons import Reason

_log = structlog.get_logger()
REMEMBERED: Final = 50_000
_WAITING: Final = 10_000  # requests of one session; the transport hands over fewer


class Topics(msgspec.Struct, frozen=True, gc=False):
    """The topics of one thing's shadow."""

    name: str  # its cloud id
    update: str
    accepted: str
    rejected: str
    documents: str
    delta: str


class Ask(msgspec.Struct, frozen=True, gc=False):
    """One shadow request of a socket read, to be answered once its submission is durable."""

    verb: str  # get, update, delete
    payload: bytes
    request: read.Update | None = None  # of an update
    token: str | None = None
    error: ThingsteadError | None = None  # why it never was submitted


class Shadows:
    """See the module's docstring."""

    def __init__(self, backend: Backend, broker: Broker) -> None:
        self._backend = backend
        self._broker = broker
        self._topics: LRUCache[tuple[str, str], Topics] = LRUCache(REMEMBERED)
        self._tasks: set[asyncio.Task[None]] = set()
        self._people = People(backend)
        self._turns = Turns(_WAITING)
        self._dropped = backend.metrics.counter(SYSTEM, "things", "dropped")  # plain data that could not be accepted
        backend.ingest.observe_shadows(self._wanted, self._changed)

    def topics(self) -> Sequence[tuple[str, Handler]]:
        """What to register with `Broker.route`."""
        return (
            ("$aws/things/+/shadow/get", self._requests),
            ("$aws/things/+/shadow/update", self._requests),
            ("$aws/things/+/shadow/delete", self._requests),
            ("things/+/data", self._data),
            ("things/+/data/+", self._data),
        )

    # --- shadow requests

    def _requests(self, messages: list[Inbound], settle: Settle) -> None:
        principal = messages[0].session.principal
        if isinstance(principal, Principal) and principal.kind in KINDS:
            self._spawn(self._of_people(principal, messages, settle))
            return
        if not isinstance(principal, Principal) or principal.kind != "thing":
            settle([Reason.NOT_AUTHORIZED] * len(messages))
            return
        app, thing = principal.app, principal.id
        reports: list[Report] = []
        asks = [_asked(app, thing, message.levels[4], message.payload, reports) for message in messages]

        def done(outcomes: Sequence[Outcome] | BaseException) -> None:
            if isinstance(outcomes, BaseException):
                settle(outcomes)
                return
            settle(None)
            self._answer(app, thing, asks, outcomes)

        # also without reports: a get shows what was sent before it
        self._backend.ingest.submit(reports, done)

    async def _of_people(self, principal: Principal, messages: list[Inbound], settle: Settle) -> None:
        """What users and apps ask, message after message; decided here, since a will comes when rights may have ended.
        They desire; what is reported is the device's to say, and deleting takes a request over HTTP."""
        verdicts: list[Reason] = []
        answers: list[tuple[str, Ask, Sequence[Outcome]]] = []
        try:
            async with self._turns.of(messages[0].session.key):
                for message in messages:
                    verb, reports = message.levels[4], list[Report]()
                    reached = await self._reached(principal, message.levels[2])
                    if reached is None or not {"get": reached.reach.read, "update": reached.reach.write}.get(verb):
                        verdicts.append(Reason.NOT_AUTHORIZED)
                        continue
                    ask = _asked(principal.app, reached.thing, verb, message.payload, reports, reports_itself=False)
                    outcomes = await self._backend.ingest.accept(reports) if reports else ()
                    verdicts.append(Reason.SUCCESS)
                    answers.append((reached.thing, ask, outcomes))
        except Exception as error:
            if not isinstance(error, ThingsteadError):
                _log.exception("shadow_request_failed", app=principal.app)
            settle(error)
        else:
            settle(verdicts)
        for thing, ask, outcomes in answers:
            self._answer(principal.app, thing, [ask], outcomes)

    async def _reached(self, principal: Principal, name: str) -> Reached | None:
        try:
            return await self._people.reached(await self._people.asker(principal), name)
        except (Unauthenticated, Forbidden, AppNotFound):
            return None

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _answer(self, app: str, thing: str, asks: list[Ask], outcomes: Sequence[Outcome]) -> None:
        topics = self._topics_of(app, thing)
        heard = self._broker.has_subscribers
        if not heard(topics.accepted) and not heard(topics.rejected) and all(ask.verb == "update" for ask in asks):
            return
        results = iter(outcomes)
        gets: list[Ask] = []
        for ask in asks:
            if ask.error is not None:
                self._reject(topics, ask, ask.error)
            elif ask.verb == "get":
                gets.append(ask)
            else:
                outcome = next(results)
                if outcome.error is not None:
                    self._reject(topics, ask, outcome.error)
                elif ask.request is not None:
                    if heard(topics.accepted):
                        sections = ask.request.sections
                        answer = render.accepted(sections, outcome.version, outcome.time, ask.token)
                        self._broker.publish(topics.accepted, answer, qos=1)
                else:
                    answer = render.deleted(outcome.version, outcome.time, ask.token)
                    self._publish(_answers(topics, ask.verb, "accepted"), answer)
        if gets:
            self._spawn(self._get(app, thing, topics, gets))

    async def _get(self, app: str, thing: str, topics: Topics, asks: list[Ask]) -> None:
        now = self._backend.clock.now()
        try:
            shadow = await self._backend.things.shadow(app, thing)
            if not shadow.reported and not shadow.desired:
                raise NotFound("No shadow exists", field="shadow")
        except Exception as error:
            if not isinstance(error, ThingsteadError):
                _log.exception("shadow_get_failed", app=app, thing=thing)
            for ask in asks:
                self._reject(topics, ask, error)
            return
        topic = _answers(topics, "get", "accepted")
        for ask in asks:
            self._publish(topic, render.current(shadow, now, ask.token))

    def _reject(self, topics: Topics, ask: Ask, error: Exception) -> None:
        topic = topics.rejected if ask.verb == "update" else _answers(topics, ask.verb, "rejected")
        if self._broker.has_subscribers(topic):
            code, message = shown(error)
            if isinstance(error, NotFound) and error.field == "shadow":
                message = f"No shadow exists with name: '{topics.name}'"
            now = self._backend.clock.now()
            self._broker.publish(topic, render.rejected(code, message, now, ask.token), qos=1)

    # --- changes of any origin

    def _wanted(self, app: str, thing: str) -> bool:
        topics = self._topics_of(app, thing)
        heard = self._broker.has_subscribers
        return heard(topics.documents) or heard(topics.delta)

    def _changed(self, event: ShadowChanged) -> None:
        topics = self._topics_of(event.app, event.thing)
        if self._broker.has_subscribers(topics.documents):
            answer = render.documents(event.previous, event.current, event.time, event.token)
            self._broker.publish(topics.documents, answer, qos=1)
        if self._broker.has_subscribers(topics.delta):
            difference = rules.delta(event.current)
            if difference:
                answer = render.delta(difference, event.current, event.time, event.token)
                self._broker.publish(topics.delta, answer, qos=1)

    # --- plain data

    def _data(self, messages: list[Inbound], settle: Settle) -> None:
        principal = messages[0].session.principal
        if not isinstance(principal, Principal) or principal.kind != "thing":
            settle([Reason.NOT_AUTHORIZED] * len(messages))
            return
        app, thing = principal.app, principal.id
        reports: list[Report] = []
        for message in messages:
            payload, levels = message.payload, message.levels
            try:
                if len(levels) == 3:
                    reported, time = read.data(payload)
                else:
                    reported, time = {levels[3]: read.value(payload)}, None
            except ThingsteadError as error:
                self._drop(app, thing, error)
                continue
            size = len(payload) + len(message.topic)
            by_time = time is not None
            reports.append(Report(app=app, thing=thing, reported=reported, time=time, state_by_time=by_time, size=size))

        def done(outcomes: Sequence[Outcome] | BaseException) -> None:
            if isinstance(outcomes, BaseException):
                settle(outcomes)
                return
            settle(None)
            for outcome in outcomes:
                if outcome.error is not None:
                    self._drop(app, thing, outcome.error)

        if reports:
            self._backend.ingest.submit(reports, done)
        else:
            settle(None)

    def _drop(self, app: str, thing: str, error: ThingsteadError) -> None:
        self._dropped.inc()
        _log.debug("thing_data_dropped", app=app, thing=thing, code=error.code, reason=error.message)

    # --- names

    def _publish(self, topic: str, answer: bytes) -> None:
        if self._broker.has_subscribers(topic):
            self._broker.publish(topic, answer, qos=1)

    def _topics_of(self, app: str, thing: str) -> Topics:
        try:
            return self._topics[(app, thing)]
        except KeyError:
            name = cloud_id(app, thing)
            prefix = f"$aws/things/{name}/shadow/update"
            words = ("accepted", "rejected", "documents", "delta")
            topics = Topics(name, prefix, *(f"{prefix}/{word}" for word in words))
            self._topics[(app, thing)] = topics
            return topics


def _asked(
    app: str, thing: str, verb: str, payload: bytes, reports: list[Report], *, reports_itself: bool = True
) -> Ask:
    """A request; what it comes to is added to `reports`. `reports_itself`: it comes from the thing."""
    try:
        if verb == "update":
            request = read.update(payload)
            sections, token = request.sections, request.token
            if not reports_itself and "reported" in sections:
                details = {"rule": "users and apps desire", "right": "state.reported"}
                text = "Forbidden: only the device reports; send state.desired, without state.reported"
                raise NotTheDevice(text, field="state.reported", details=details)
            reports.append(
                Report(
                    app=app,
                    thing=thing,
                    reported=sections.get("reported", msgspec.UNSET),
                    desired=sections.get("desired", msgspec.UNSET),
                    version=request.version,
                    token=token,
                    size=len(payload),
                )
            )
            return Ask(verb, payload, request, token)
        token = read.token(payload)
        if verb == "delete":
            reports.append(Report(app=app, thing=thing, delete=True, token=token, size=0))
        return Ask(verb, payload, None, token)
    except ThingsteadError as error:
        return Ask(verb, payload, None, read.readable_token(payload), error)


def _answers(topics: Topics, verb: str, word: str) -> str:
    return f"$aws/things/{topics.name}/shadow/{verb}/{word}"
