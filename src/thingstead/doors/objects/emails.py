"""`_emails`: an app has a letter sent (objects.md 17).

A grant must name it (identity.md 11), so that the server is nobody's open relay; the number of addresses is bounded.
"""

from thingstead.core.backend import Backend
from thingstead.core.mail import attached
from thingstead.doors.objects import render
from thingstead.doors.objects.read import Call, object_body
from thingstead.doors.objects.render import Answer
from thingstead.model import mail as rules


class Emails:
    """The handler of `_emails`."""

    def __init__(self, backend: Backend) -> None:
        self._mail = backend.mail
        self._audit = backend.audit
        self._most = backend.settings.emails_max_recipients
        self._rendering = backend.rendering

    async def send(self, call: Call) -> Answer:
        """POST _emails. Raises ConstraintViolation naming the field, Unavailable (503)."""
        body = object_body(call.body)
        addresses = rules.addresses(body.get("toEmails"), "toEmails", most=self._most)
        subject = rules.header(body.get("subject"), "subject", needed=True)
        name = rules.header(body.get("name"), "name")
        given = body.get("email")
        reply_to = "" if given is None or given == "" else rules.address(given, "email")
        message = rules.text(body.get("message"), "message")
        plain = rules.flag(body.get("plaintextOnly"), "plaintextOnly")
        if rules.flag(body.get("markdownEnabled"), "markdownEnabled") and not plain:
            message = await self._rendering.html(message)
        file = rules.file(body.get("file"), "file")
        taken = await self._mail.send(
            call.app,
            addresses,
            subject,
            message,
            None if file is None else attached(*file),
            html=not plain,
            name=name,
            reply_to=reply_to,
        )
        if not taken:
            raise rules.refused("toEmails", "was refused by the mail server")
        self._audit.note("email_sent", call.app.identifier, call.principal.id, addresses=str(len(addresses)))
        return render.json({"code": 200, "message": "OK"})
