"""Signs requests as Para's clients do (identity.md 4), with botocore's SigV4 signer as the oracle for ours.

Signs host and x-amz-date, and any header handed in. A name repeated in the query is signed with its first value only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


@dataclass(frozen=True)
class Signer:
    """One app's credentials: the access key (`app:para`) and its secret."""

    access_key: str
    secret: str

    def headers(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        at: datetime | None = None,
    ) -> dict[str, str]:
        """The given headers with X-Amz-Date and Authorization added, for a request with exactly this URL and body.

        The host signed is the URL's, without a default port. `at` defaults to now.
        """
        parts = urlsplit(url)
        first: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            first.setdefault(name, value)
        signed_url = parts._replace(query=urlencode(first, quote_via=quote, safe="-_.~")).geturl()
        request: Any = AWSRequest(method, signed_url, dict(headers or {}), body)
        request.context["timestamp"] = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        request.headers["X-Amz-Date"] = request.context["timestamp"]
        signer: Any = SigV4Auth(Credentials(self.access_key, self.secret), "para", "us-east-1")
        text = signer.string_to_sign(request, signer.canonical_request(request))
        names = signer.signed_headers(signer.headers_to_sign(request))
        credential, signature = signer.scope(request), signer.signature(text, request)
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        return dict(request.headers.items())
