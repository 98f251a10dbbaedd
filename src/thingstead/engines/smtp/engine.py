"""The mailers as the composition opens them (ports.engine): SMTP where the settings name a mail server."""

from thingstead.engines.smtp import NoopMailer, SmtpMailer
from thingstead.ports.engine import Engine, Place
from thingstead.ports.mailer import Mailer, MailServer


async def _smtp(place: Place) -> Mailer:
    settings = place.settings
    if not settings.mail_host:
        return NoopMailer()
    server = MailServer(
        settings.mail_host,
        settings.mail_port,
        settings.mail_username,
        settings.mail_password,
        settings.mail_tls,
        settings.mail_ssl,
    )
    return SmtpMailer(server, place.clock, place.entropy)


async def _noop(place: Place) -> NoopMailer:
    return NoopMailer()


engine = Engine("emailer", _smtp)
noop = Engine("emailer", _noop)
