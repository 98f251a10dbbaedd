"""Certificates and keys as settings hold them: PEM, or Base64 of it, or the bare Base64 of what a PEM block has inside
(identity.md 8.5, 8.6). Pure; does not look at what is in them.
"""

import base64
import binascii
import re
from typing import Final

_BEGIN: Final = "-----BEGIN "
_WIDTH: Final = 64


def pem(text: str, label: str) -> str:
    """The PEM that a setting holds, "" for a blank one. `label` is put around bare Base64. Raises ValueError.

    >>> print(pem("TUlJQg==", "CERTIFICATE"))
    -----BEGIN CERTIFICATE-----
    TUlJQg==
    -----END CERTIFICATE-----
    <BLANKLINE>
    """
    text = text.strip()
    if not text:
        return ""
    if _BEGIN in text:
        return text.replace("\\n", "\n") + "\n"
    bare = re.sub(r"\s+", "", text)
    try:
        inside = base64.b64decode(bare, validate=True)
    except binascii.Error:
        raise ValueError(f"neither PEM nor Base64 of a {label.lower()}") from None
    if _BEGIN.encode() in inside:
        return inside.decode("ascii", errors="replace")
    lines = (bare[at : at + _WIDTH] for at in range(0, len(bare), _WIDTH))
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))
