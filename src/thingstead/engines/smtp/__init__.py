"""Mail over SMTP, and the mailer that sends nothing."""

from thingstead.engines.smtp.mailer import NoopMailer, SmtpMailer

__all__ = ["NoopMailer", "SmtpMailer"]
