"""Who else hears of what core does (objects.md 21): calls of `core.objects`, searches, apps, settings.

Promises: where nobody listens it costs the test of an empty list. A listener that fails is logged and changes nothing:
what is durable stays so, and its caller is answered. One exception, on purpose: an error of `model.errors` that is
raised *before* a call refuses the call. Listeners are awaited in the order in which they were added; a slow one makes
its caller wait. Does not tell of what other nodes do.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeAlias, TypeVar

import msgspec

from thingstead.model.errors import ThingsteadError

log = logging.getLogger(__name__)

Method: TypeAlias = Literal[
    "create", "read", "update", "delete", "create_all", "read_all", "read_page", "update_all", "delete_all"
]
P = ParamSpec("P")
T = TypeVar("T")


class IoCall(msgspec.Struct, frozen=True):
    """One call. `arguments` are those of the method of `core.objects.Objects` by name, `app` among them."""

    method: Method
    arguments: Mapping[str, Any]

    @property
    def app(self) -> str:
        """The bare identifier of the app that is read or written."""
        return str(self.arguments["app"])


class IoListener(Protocol):
    """Hears of calls of `core.objects`; both may be plain functions or coroutine functions."""

    def before(self, call: IoCall) -> Awaitable[None] | None:
        """Before anything is done."""
        ...

    def after(self, call: IoCall, result: Any) -> Awaitable[None] | None:
        """Once it is done, and durable; not called if it failed."""
        ...


class Heard(Protocol):
    """What has listeners to its calls."""

    io: list[IoListener]


S = TypeVar("S", bound=Heard)


def heard(
    method: Method,
) -> Callable[
    [Callable[Concatenate[S, P], Coroutine[Any, Any, T]]], Callable[Concatenate[S, P], Coroutine[Any, Any, T]]
]:
    """A method whose calls listeners hear of, as `method`."""

    def decorate(
        function: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
        signature = inspect.signature(function)

        @wraps(function)
        def call(self: S, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
            if not self.io:
                return function(self, *args, **kwargs)
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            arguments = {name: value for name, value in bound.arguments.items() if name != "self"}
            return _around(tuple(self.io), IoCall(method, arguments), lambda: function(self, *args, **kwargs))

        return call

    return decorate


async def _around(listeners: Sequence[IoListener], call: IoCall, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    for listener in listeners:
        try:
            if (waiting := listener.before(call)) is not None:
                await waiting
        except ThingsteadError:
            raise
        except Exception:
            log.exception("a listener before %s failed", call.method)
    result = await work()
    await tell([listener.after for listener in listeners], call, result)
    return result


async def tell(listeners: Sequence[Callable[P, Awaitable[None] | None]], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call listeners one after the other; what they raise is logged."""
    for listener in tuple(listeners):
        try:
            if (waiting := listener(*args, **kwargs)) is not None:
                await waiting
        except Exception:
            log.exception("the listener %r failed", listener)
