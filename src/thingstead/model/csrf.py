"""Tokens against forged requests (identity.md 9): double submit, bound to who is signed in. Pure; randomness and the
key are handed in.

A token is a random value and its signature for one subject. It counts if the request carries it twice, in the cookie
and in a header or form field, and if its signature is for those who are signed in now.
"""

import base64
import hashlib
import hmac

from itsdangerous import BadSignature, Signer


def issue(key: bytes, subject: str, random: bytes) -> str:
    """A new token; `random` holds at least 16 unpredictable bytes, `subject` is "" for nobody."""
    return _signer(key, subject).sign(base64.urlsafe_b64encode(random).rstrip(b"=")).decode()


def holds(key: bytes, subject: str, token: str) -> bool:
    """Whether a token was issued for this subject."""
    try:
        _signer(key, subject).unsign(token.encode("ascii"))
    except (BadSignature, ValueError):
        return False
    return True


def passes(key: bytes, subject: str, cookie: str | None, sent: str) -> bool:
    """Whether a request may go on: `sent` came in a header or form field; `cookie` None: no cookie is in use."""
    if not sent or (cookie is not None and not hmac.compare_digest(cookie.encode(), sent.encode())):
        return False
    return holds(key, subject, sent)


def _signer(key: bytes, subject: str) -> Signer:
    return Signer(key, salt=b"csrf " + subject.encode(), key_derivation="hmac", digest_method=hashlib.sha256)
