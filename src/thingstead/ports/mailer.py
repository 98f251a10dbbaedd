"""Mailer: hands letters to a mail server (objects.md 17). Who may send what to whom is core's matter.

Promises every engine keeps, tested by `conformance/mailer.py`: a letter goes out in messages of at most BATCH
addresses, the first of each as `To`, the others blind, so that no addressee learns of any other but that one; nothing
in a letter can add a header or an addressee; non-ASCII text arrives as it was.
"""

from typing import Final, Protocol

import msgspec

BATCH: Final = 50


class Attachment(msgspec.Struct, frozen=True):
    """A file that goes with a letter."""

    name: str
    content_type: str  # "image/png"
    data: bytes


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent: addresses and header texts are those that `model.mail` has checked."""

    addresses: tuple[str, ...]
    subject: str
    body: str
    html: bool = True  # False: `body` is plain text
    sender: str  # address
    name: str = ""  # the sender's, as shown
    reply_to: str = ""  # address
    attachment: Attachment | None = None


class MailServer(msgspec.Struct, frozen=True):
    """How a mail server is reached. `port` 0: by `ssl`."""

    host: str
    port: int = 0
    username: str = ""
    password: str = ""
    tls: bool = True  # nothing is sent, no password either, before STARTTLS
    ssl: bool = False  # TLS from the first byte instead
    private: bool = True  # may be at a private address


class Mailer(Protocol):
    """One way to send."""

    async def send(self, letter: Letter) -> bool:
        """Send a letter. True once a server has taken it for at least one address; False if it refused all for good.

        Raises Unavailable if it cannot be sent for now; messages before the one that failed may have gone out.
        """
        ...
