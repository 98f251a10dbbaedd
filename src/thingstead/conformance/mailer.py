"""What every Mailer promises (`thingstead.ports.mailer`), as checks to run against any engine.

An engine's author calls each of `CHECKS` with an engine and a mail server that it sends to; a check raises
AssertionError where a promise is broken.
"""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from thingstead.conformance.mail_host import MailHost
from thingstead.model.errors import Unavailable
from thingstead.ports.mailer import BATCH, Attachment, Letter, Mailer

Check = Callable[[Mailer, MailHost], Awaitable[None]]

LETTER = Letter(
    addresses=("ann@example.org",),
    subject="Grüße, 東京 — and a line long enough to be folded, folded, folded, folded, folded, folded",
    body="<p>Grüße, \u6771\u4eac</p>\n.\n..\nFrom here\n" + "x" * 3000,
    sender="support@example.org",
    name='Plants, "R" us (ltd) é',
    reply_to="bob@example.org",
)


def to(*addresses: str) -> Letter:
    return msgspec.structs.replace(LETTER, addresses=addresses)


async def it_arrives_as_it_was(mailer: Mailer, host: MailHost) -> None:
    """Headers and body, whatever their characters."""
    assert await mailer.send(LETTER)
    [taken] = host.taken
    assert (taken.sender, taken.recipients) == ("support@example.org", ["ann@example.org"])
    message = taken.message
    assert message["Subject"] == LETTER.subject
    [sender] = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == (LETTER.name, LETTER.sender)
    assert [message["To"], message["Reply-To"]] == ["ann@example.org", "bob@example.org"]
    assert message["Date"]
    assert message["Message-ID"]
    assert message.get_content_type() == "text/html"
    assert message.get_content().replace("\r\n", "\n").rstrip("\n") == LETTER.body
    assert max(map(len, taken.raw.splitlines())) <= 998


async def plain_text_and_a_file(mailer: Mailer, host: MailHost) -> None:
    """Both parts, byte for byte."""
    data = bytes(range(256)) * 300
    letter = msgspec.structs.replace(
        LETTER, html=False, body="plain", attachment=Attachment("é.png", "image/png", data)
    )
    assert await mailer.send(letter)
    text, file = host.taken[0].message.iter_parts()
    assert (text.get_content_type(), text.get_content().strip()) == ("text/plain", "plain")
    assert (file.get_content_type(), file.get_filename(), file.get_content()) == ("image/png", "é.png", data)


async def nobody_sees_the_others(mailer: Mailer, host: MailHost) -> None:
    """Batches; the first of each is named, and no other."""
    addresses = [f"u{n}@example.org" for n in range(2 * BATCH + 1)]
    assert await mailer.send(to(*addresses))
    assert [len(each.recipients) for each in host.taken] == [BATCH, BATCH, 1]
    assert [address for each in host.taken for address in each.recipients] == addresses
    for each in host.taken:
        named = [address for address in addresses if address.encode() in each.raw]
        assert [address for address in named if f"{address}" == each.message["To"]] == [each.recipients[0]]
        head = each.raw.partition(b"\r\n\r\n")[0]
        assert [address for address in each.recipients if f"{address}".encode() in head.split(b"\r\n")] == []
        assert head.count(b"@example.org") == 4, "To, From, Reply-To and Message-ID"


async def refused_for_good_is_false(mailer: Mailer, host: MailHost) -> None:
    """Unless somebody got it."""
    host.refuse["no@example.org"] = "550 no such user"
    assert not await mailer.send(to("no@example.org"))
    assert host.taken == []
    assert await mailer.send(to("no@example.org", "yes@example.org"))
    assert [each.recipients for each in host.taken] == [["yes@example.org"]]
    host.refuse_data("554 spam")
    assert not await mailer.send(LETTER)


async def refused_for_now_is_unavailable(mailer: Mailer, host: MailHost) -> None:
    """Also at the last step."""
    host.refuse["later@example.org"] = "451 try later"
    with pytest.raises(Unavailable):
        await mailer.send(to("later@example.org"))
    host.refuse_data("452 no space")
    with pytest.raises(Unavailable):
        await mailer.send(LETTER)
    assert host.taken == []
    host.refuse_data("")
    assert await mailer.send(LETTER)


CHECKS: tuple[Check, ...] = (
    it_arrives_as_it_was,
    plain_text_and_a_file,
    nobody_sees_the_others,
    refused_for_good_is_false,
    refused_for_now_is_unavailable,
)
