"""The Mailer port over SMTP (aiosmtplib, loaded with the first letter), and one that only logs.

Promises: see ports.mailer. With `tls` nothing goes out before STARTTLS has succeeded, and the server's certificate is
always verified. Addresses, texts and passwords are not logged.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final, TypeAlias

from thingstead.model.errors import Unavailable
from thingstead.ports.environment import Clock, Entropy
from thingstead.ports.mailer import BATCH, Letter, MailServer

SECONDS: Final = 20.0  # for each step of a conversation
Connect: TypeAlias = Callable[[str, int], Awaitable[socket.socket]]
_LOCAL_NAME: Final = "localhost"  # what the server is told: the machine's own name is nobody's business

log = logging.getLogger(__name__)


class NoopMailer:
    """Sends nothing, says so in the log, and is content."""

    async def send(self, letter: Letter) -> bool:
        """See the port."""
        log.warning("mail not sent, no mail server is set: %d addresses", len(letter.addresses))
        return True


class SmtpMailer:
    """Implements ports.mailer.Mailer; one connection a letter.

    `connect` makes the socket to host and port, where not every address will do; it raises OSError. `tls` replaces the
    system's trust, for tests.
    """

    def __init__(
        self,
        server: MailServer,
        clock: Clock,
        entropy: Entropy,
        *,
        connect: Connect | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._clock = clock
        self._entropy = entropy
        self._connect = connect
        self._tls = tls

    async def send(self, letter: Letter) -> bool:
        """See the port."""
        import aiosmtplib

        server = self._server
        starttls = server.tls and not server.ssl
        port = server.port or (465 if server.ssl else 587)
        made: socket.socket | None = None
        if self._connect is not None:
            try:
                async with asyncio.timeout(SECONDS):
                    made = await self._connect(server.host, port)
            except (OSError, ValueError) as error:
                log.warning("mail server %s: %s", server.host, error if str(error) else type(error).__name__)
                raise Unavailable("the mail server cannot be reached") from None
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=port if made is None else None,
            sock=made,
            username=server.username or None,
            password=server.password if server.username else None,
            local_hostname=_LOCAL_NAME,
            use_tls=server.ssl,
            start_tls=starttls,
            tls_context=(self._tls or ssl.create_default_context()) if server.ssl or starttls else None,
            timeout=SECONDS,
        )
        taken = False
        try:
            async with client:
                for at in range(0, len(letter.addresses), BATCH):
                    some = letter.addresses[at : at + BATCH]
                    message = self._message(letter, some[0])
                    try:
                        answers, _ = await client.sendmail(letter.sender, some, message)
                        taken = True
                        refused = list(answers.values())
                    except aiosmtplib.SMTPRecipientsRefused as error:
                        await client.rset()
                        refused = [aiosmtplib.SMTPResponse(each.code, "") for each in error.recipients]
                        if any(each.code < 500 for each in refused):
                            raise Unavailable("the mail server refuses for now") from None
                    if refused:
                        log.warning("mail server %s refused %d of %d addresses", server.host, len(refused), len(some))
        except aiosmtplib.SMTPResponseException as error:
            log.warning("mail server %s: %s %s", server.host, type(error).__name__, error.code)
            if error.code >= 500 and isinstance(error, aiosmtplib.SMTPDataError):
                return taken
            raise Unavailable("the mail server refuses for now") from None
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError) as error:
            log.warning("mail server %s: %s", server.host, type(error).__name__)
            raise Unavailable("the mail server cannot be reached") from None
        return taken

    def _message(self, letter: Letter, to: str) -> bytes:
        """One message. Header texts were checked, and EmailMessage refuses line ends of its own."""
        message = EmailMessage(policy=SMTP)
        message["From"] = Address(letter.name, addr_spec=letter.sender)
        message["To"] = Address(addr_spec=to)
        if letter.reply_to:
            message["Reply-To"] = Address(addr_spec=letter.reply_to)
        message["Subject"] = letter.subject
        message["Date"] = format_datetime(datetime.fromtimestamp(self._clock.now() / 1e6, UTC))
        message["Message-ID"] = f"<{self._entropy.token(16).hex()}@{letter.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.body, subtype="html" if letter.html else "plain", cte="base64")
        attached = letter.attachment
        if attached is not None:
            kind, _, below = attached.content_type.partition("/")
            message.add_attachment(attached.data, maintype=kind, subtype=below, filename=attached.name)
        return message.as_bytes()
