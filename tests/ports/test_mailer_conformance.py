"""Every mailer keeps the promises of its port, and the suite that says so catches mailers that do not.

Against a real mail server: plain, with STARTTLS and a password, and with TLS from the first byte.
"""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.aio import run, until
from support.environment import ManualClock, SystemEntropy
from thingstead.conformance.mail_host import NAME, PASSWORD, MailHost
from thingstead.conformance.mailer import CHECKS, LETTER, Check
from thingstead.engines.smtp import NoopMailer, SmtpMailer
from thingstead.model.errors import Unavailable
from thingstead.ports.mailer import Letter, Mailer, MailServer

# aiosmtpd asks for passwords without STARTTLS only under protest; with TLS from the first byte it does not notice
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


def mailer(host: MailHost, **server: Any) -> SmtpMailer:
    given = {"host": "localhost", "port": host.port, "tls": False, **server}
    return SmtpMailer(MailServer(**given), ManualClock(), SystemEntropy(), tls=host.trust)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_smtp_keeps_the_promise(tmp_path: Path, check: Check) -> None:
    with MailHost(tmp_path) as host:
        run(check(mailer(host), host))


class Faulty:
    """A mailer that is right but for what a subclass breaks."""

    def __init__(self, right: Mailer) -> None:
        self.right = right

    async def send(self, letter: Letter) -> bool:
        return await self.right.send(letter)


class OneByOne(Faulty):
    """Sends each a letter of its own: a hundred connections."""

    async def send(self, letter: Letter) -> bool:
        return all(
            [await self.right.send(msgspec.structs.replace(letter, addresses=(each,))) for each in letter.addresses]
        )


class Hopes(Faulty):
    """Takes every failure for a lasting one."""

    async def send(self, letter: Letter) -> bool:
        try:
            return await self.right.send(letter)
        except Unavailable:
            return False


class AsciiOnly(Faulty):
    """Loses what is not ASCII."""

    async def send(self, letter: Letter) -> bool:
        body, subject = (text.encode("ascii", "replace").decode() for text in (letter.body, letter.subject))
        return await self.right.send(msgspec.structs.replace(letter, body=body, subject=subject))


@pytest.mark.parametrize("fault", [OneByOne, Hopes, AsciiOnly])
def test_a_planted_fault_is_caught(tmp_path: Path, fault: Callable[[Mailer], Mailer]) -> None:
    caught: list[str] = []
    for check in CHECKS:
        with MailHost(tmp_path) as host:
            try:
                run(check(fault(mailer(host)), host))
            except (AssertionError, pytest.fail.Exception):
                caught.append(check.__name__)
    assert caught
    assert len(caught) < len(CHECKS)


def sent(host: MailHost, mailer: Mailer) -> bool:
    """Send, and let the closing of TLS come to its end, which is nobody's business but the loop's."""

    async def work() -> bool:
        try:
            return await mailer.send(LETTER)
        finally:
            await until(host.idle)
            await asyncio.sleep(0.05)

    return run(work())


@pytest.mark.parametrize("kind", ["starttls", "ssl"])
def test_encrypted_and_with_a_password(tmp_path: Path, kind: str) -> None:
    ssl_ = kind == "ssl"
    with MailHost(tmp_path, tls=not ssl_, ssl_=ssl_, auth=True) as host:
        right = {"tls": not ssl_, "ssl": ssl_, "username": NAME, "password": PASSWORD}
        assert sent(host, mailer(host, **right))
        assert [(each.user, each.encrypted) for each in host.taken] == [(NAME, True)]
        with pytest.raises(Unavailable) as caught:
            sent(host, mailer(host, **{**right, "password": "wrong horse"}))
        assert "wrong horse" not in caught.value.message
        with pytest.raises(Unavailable):
            sent(host, mailer(host, **{**right, "username": ""}))
        untrusting = SmtpMailer(
            MailServer("localhost", host.port, NAME, PASSWORD, not ssl_, ssl_), ManualClock(), SystemEntropy()
        )
        logins = len(host.logins)
        with pytest.raises(Unavailable):
            sent(host, untrusting)
        assert len(host.logins) == logins, "no password for a server that nobody vouches for"
        assert len(host.taken) == 1


def test_no_password_and_no_letter_without_starttls(tmp_path: Path) -> None:
    with MailHost(tmp_path, auth=True) as host:
        with pytest.raises(Unavailable):
            run(mailer(host, tls=True, username=NAME, password=PASSWORD).send(LETTER))
        assert (host.logins, host.taken) == ([], [])


def test_nobody_there() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        server = MailServer("127.0.0.1", held.getsockname()[1], tls=False)
        with pytest.raises(Unavailable):
            run(SmtpMailer(server, ManualClock(), SystemEntropy()).send(LETTER))
    assert run(NoopMailer().send(LETTER))
