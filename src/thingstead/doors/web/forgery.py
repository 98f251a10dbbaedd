"""Writes on web pages prove that they come from our own pages (identity.md 9): `model/csrf` with this server's key.

The key is made of the root app's secret: all nodes have it, and new keys of root end all forms that are open.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from thingstead.core.backend import Backend
from thingstead.model import cookies, csrf

HEADER: Final = "x-csrf-token"
FIELD: Final = "_csrf"
_RANDOM: Final = 18  # bytes


class Forgery:
    """Issues and checks tokens."""

    def __init__(self, backend: Backend) -> None:
        self._tenants = backend.tenants
        self._entropy = backend.entropy
        self.enabled: Final = backend.settings.csrf_protection
        self.cookie: Final = backend.settings.csrf_cookie.strip()

    async def _key(self) -> bytes:
        root = self._tenants.cached(self._tenants.root) or await self._tenants.get(self._tenants.root)
        return hmac.new(root.secret.encode(), b"tokens against forged requests", hashlib.sha256).digest()

    async def passes(self, sent: Mapping[str, str], given: str, subject: str) -> bool:
        """Whether a write may go on: `sent` are its cookies, `given` is what its header or form holds."""
        if not self.enabled:
            return True
        return csrf.passes(await self._key(), subject, sent.get(self.cookie, "") if self.cookie else None, given)

    async def token(self, sent: Mapping[str, str], subject: str) -> str:
        """The token in the cookies, if it holds for those who are signed in, else a new one."""
        key = await self._key()
        present = sent.get(self.cookie, "")
        if present and csrf.holds(key, subject, present):
            return present
        return csrf.issue(key, subject, self._entropy.token(_RANDOM))

    def kept(self, token: str, *, secure: bool) -> str | None:
        """The cookie that keeps a token; None where none is in use."""
        return cookies.kept(self.cookie, token, secure=secure, readable=True) if self.enabled and self.cookie else None
