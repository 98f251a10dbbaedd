"""A real mail server (aiosmtpd) in a thread, that keeps what it takes and refuses what it is told to."""

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME, PASSWORD = "ann", "open sesame"


@dataclass
class Taken:
    """One message as the server got it."""

    sender: str
    recipients: list[str]
    message: EmailMessage
    raw: bytes
    user: str | None
    encrypted: bool


@dataclass
class _Handler:
    taken: list[Taken] = field(default_factory=list[Taken])
    refuse: dict[str, str] = field(default_factory=dict[str, str])  # recipient -> answer
    refuse_data: str = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse_data:
            return self.refuse_data
        message = message_from_bytes(envelope.content, policy=default)
        data = session.auth_data
        user = None if not session.authenticated else data.decode() if isinstance(data, bytes) else data.login.decode()
        self.taken.append(
            Taken(
                envelope.mail_from,
                envelope.rcpt_tos,
                message,
                envelope.content,
                user,
                server.transport.get_extra_info("cipher") is not None,
            )
        )
        return "250 OK"


class _Controller(Controller):
    """One that finds out which free port it got, before it tries to connect to itself."""

    def _trigger_server(self) -> None:
        server: Any = self.server
        self.port: int = server.sockets[0].getsockname()[1]
        super()._trigger_server()


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = directory / "mail.pem", directory / "mail.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files[1].write_bytes(private)
    return files


class MailHost:
    """A mail server on `localhost:port`: plain, with STARTTLS (`tls`) or TLS from the first byte (`ssl`)."""

    def __init__(
        self, directory: Path, *, tls: bool = False, ssl_: bool = False, auth: bool = False, lenient: bool = False
    ) -> None:
        self._handler = _Handler()
        self.taken = self._handler.taken
        self.refuse = self._handler.refuse
        self.logins: list[tuple[str, str]] = []
        context: ssl.SSLContext | None = None
        self.trust = ssl.create_default_context()
        self.certificate: Path | None = None
        if tls or ssl_:
            self.certificate, key = certificate(directory)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, key)
            self.trust.load_verify_locations(self.certificate)

        def authenticated(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
            assert isinstance(data, LoginPassword)
            given = (data.login.decode(), data.password.decode())
            self.logins.append(given)
            return AuthResult(success=given == (NAME, PASSWORD), handled=False, auth_data=data)

        more: dict[str, Any] = {}
        if auth:
            more = {"auth_required": True, "authenticator": authenticated, "auth_require_tls": tls}
        if lenient:  # anybody's password, or none
            more = {"auth_callback": lambda mechanism, login, password: True, "auth_require_tls": False}
        if tls:
            more |= {"tls_context": context, "require_starttls": True}
        self._controller = _Controller(
            self._handler, hostname="127.0.0.1", port=0, ssl_context=context if ssl_ else None, ready_timeout=20, **more
        )

    def refuse_data(self, answer: str) -> None:
        """Answer every message so."""
        self._handler.refuse_data = answer

    async def idle(self) -> bool:
        """True once nobody is connected."""
        server: Any = self._controller.server
        return server._active_count == 0

    def __enter__(self) -> Self:
        self._controller.start()
        self.port = self._controller.port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop(no_assert=True)
