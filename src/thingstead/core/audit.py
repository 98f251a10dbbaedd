"""The audit trail (identity.md 17): who did what that matters to the security of an app, as log lines.

`note` is synchronous, costs little and never raises. Ids only: a secret, a token or a text of a provider is nobody's
detail.
"""

import logging
from typing import Final

from thingstead.model import audit as rules
from thingstead.ports.environment import Clock

LOGGER: Final = "thingstead.audit"

_trail = logging.getLogger(LOGGER)


class Audit:
    """See the module's docstring."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def note(self, event: str, app: str, actor: str, **details: str) -> None:
        """Something happened: `event` in snake case, `app` a bare identifier ("" for none), `actor` an id.

        Details that the trail knows by name: outcome, resource, right, rule, reason, provider, address, door.
        """
        fields = rules.fields(app, actor, details)
        _trail.info("%s", rules.line(event, fields), extra={rules.ATTRIBUTE: {"event": event, **fields}})
