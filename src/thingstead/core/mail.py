"""Letters that apps send (objects.md 17): through whose server, under whose name, from which template.

An app that has a mail server of its own in its settings (`mail.host` and, beside it, `mail.port`, `mail.username`,
`mail.password`, `mail.tls`, `mail.ssl`, `support_email`) sends through that; nothing of the server's own configuration,
least of all its password, goes there. Without `mail.host` the others are ignored: nobody writes under the server's
address as somebody else. The mail servers of apps other than root must be at public addresses, unless in
`para.outbound_allow`. Does not decide who may send.
"""

import asyncio
import mimetypes
from collections.abc import Callable, Mapping, Sequence

from thingstead.core.tenants import App
from thingstead.model import mail as rules
from thingstead.model.errors import ConstraintViolation, InvalidInput, NotFound
from thingstead.model.settings import Settings
from thingstead.model.values import Json
from thingstead.ports.mailer import Attachment, Letter, Mailer, MailServer


class Mail:
    """`own` is the server's mailer; `smtp` makes one for an app's server; `templates` reads one, None if not there."""

    def __init__(
        self,
        settings: Settings,
        own: Mailer,
        smtp: Callable[[MailServer], Mailer],
        templates: Callable[[str], str | None],
    ) -> None:
        self._sender = rules.address(settings.support_email, "para.support_email")
        self._own = own
        self._smtp = smtp
        self._templates = templates

    async def send(
        self,
        app: App,
        addresses: Sequence[str],
        subject: str,
        body: str,
        attachment: Attachment | None = None,
        *,
        html: bool = True,
        name: str = "",
        reply_to: str = "",
    ) -> bool:
        """Send a letter; `name` is the sender's, else the app's. False if the mail server refused it for good.

        Addresses and texts are checked: ConstraintViolation names what is wrong. Raises Unavailable.
        """
        server, sender = self._server(app)
        letter = Letter(
            addresses=tuple(rules.address(each, "addresses") for each in addresses),
            subject=rules.header(subject, "subject", needed=True),
            body=rules.text(body, "message"),
            html=html,
            sender=sender,
            name=rules.header(name, "name") or _shown(app.object.name),
            reply_to=rules.address(reply_to, "email") if reply_to else "",
            attachment=attachment,
        )
        if not letter.addresses:
            raise rules.refused("addresses", "must be a list of e-mail addresses")
        return await (self._own if server is None else self._smtp(server)).send(letter)

    def _server(self, app: App) -> tuple[MailServer | None, str]:
        """The app's own mail server, if any, and the sender's address. Raises ConstraintViolation naming a setting."""
        settings = app.settings
        host = _text(settings, "mail.host")
        if not host:
            return None, self._sender
        if any(char.isspace() or not char.isprintable() for char in host):
            raise ConstraintViolation("the app's setting mail.host is no host", field="mail.host")
        port = settings.get("mail.port", 0)
        if isinstance(port, str) and port.isdecimal():
            port = int(port)
        if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
            raise ConstraintViolation("the app's setting mail.port is no port", field="mail.port")
        server = MailServer(
            host,
            port,
            _text(settings, "mail.username"),
            _text(settings, "mail.password"),
            _flag(settings, "mail.tls", default=True),
            _flag(settings, "mail.ssl", default=False),
            private=app.is_root,
        )
        given = _text(settings, "support_email")
        return server, rules.address(given, "support_email") if given else self._sender

    async def filled(self, name: str, fields: Mapping[str, Json]) -> str:
        """The template `emails/<name>` filled with Mustache; values are escaped, unless the template says not to.

        Raises NotFound if there is no such template, InvalidInput if it is no Mustache.
        """
        template = await asyncio.to_thread(self._templates, name)
        if template is None:
            raise NotFound(f"there is no template emails/{name}")
        import mstache

        try:
            return mstache.render(template, dict(fields))
        except (mstache.TokenException, mstache.TemplateRecursionError) as error:
            raise InvalidInput(f"the template emails/{name} is no Mustache: {error}", field="template") from None


def attached(content_type: str, data: bytes) -> Attachment:
    """An attachment without a name of its own."""
    return Attachment("attachment" + (mimetypes.guess_extension(content_type) or ".bin"), content_type, data)


def _shown(name: str) -> str:
    """An app's name as a sender's: whatever it holds, one line."""
    try:
        return rules.header(name[:100], "name")
    except ConstraintViolation:
        return ""


def _text(settings: Mapping[str, Json], key: str) -> str:
    value = settings.get(key)
    return value.strip() if isinstance(value, str) else ""


def _flag(settings: Mapping[str, Json], key: str, *, default: bool) -> bool:
    value = settings.get(key)
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else default
