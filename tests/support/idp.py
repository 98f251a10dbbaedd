"""An identity provider of SAML that says whatever a test has it say, rightly signed or not."""

import base64
import datetime
import html
import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]
from onelogin.saml2.utils import OneLogin_Saml2_Utils

from support.certificates import self_signed

NAMES = {
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
    "md": "urn:oasis:names:tc:SAML:2.0:metadata",
}
SHA1 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256_DIGEST = "http://www.w3.org/2001/04/xmlenc#sha256"
SHA1_DIGEST = "http://www.w3.org/2000/09/xmldsig#sha1"

_ASSERTION = """<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"
 xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 ID="{assertion}" Version="2.0" IssueInstant="{now}"><saml:Issuer>{issuer}</saml:Issuer><saml:Subject>
<saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">a name</saml:NameID>
<saml:SubjectConfirmation Method="{method}"><saml:SubjectConfirmationData{confirmation}/></saml:SubjectConfirmation>
</saml:Subject><saml:Conditions NotBefore="{before}" NotOnOrAfter="{until}">{audiences}</saml:Conditions>
<saml:AuthnStatement AuthnInstant="{now}" SessionIndex="_s"><saml:AuthnContext><saml:AuthnContextClassRef>
urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>
<saml:AttributeStatement>{attributes}</saml:AttributeStatement></saml:Assertion>"""
_RESPONSE = """<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"
 xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{response}" Version="2.0" IssueInstant="{now}"{head}>
<saml:Issuer>{issuer}</saml:Issuer><samlp:Status>
<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:{status}"/></samlp:Status>{assertion}</samlp:Response>"""


class IdentityProvider:
    """Its entity id, certificate and key."""

    def __init__(self, entity: str = "https://idp.example/entity") -> None:
        self.entity = entity
        self.sign_on = f"{entity}/sso?a=1&b=2"
        self.certificate, self.key = self_signed("identity provider")
        self._count = 0

    def metadata(self, **attributes: str) -> str:
        """Its EntityDescriptor."""
        more = "".join(f' {name}="{value}"' for name, value in attributes.items())
        bare = "".join(self.certificate.splitlines()[1:-1])
        return (
            f'<md:EntityDescriptor xmlns:md="{NAMES["md"]}" xmlns:ds="{NAMES["ds"]}" entityID="{self.entity}"{more}>'
            '<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
            '<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>'
            f"{bare}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
            '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" '
            f'Location="{html.escape(self.sign_on)}"/></md:IDPSSODescriptor></md:EntityDescriptor>'
        )

    def xml(
        self,
        request: str | None,
        consumer: str,
        audience: str | None,
        attributes: Mapping[str, Sequence[str]],
        *,
        signed: Sequence[str] = ("assertion",),
        algorithm: tuple[str, str] = (SHA256, SHA256_DIGEST),
        issuer: str = "",
        recipient: str | None = "",
        destination: str | None = "",
        method: str = "urn:oasis:names:tc:SAML:2.0:cm:bearer",
        confirms: str | None = "",
        seconds: int = 300,
        begins: int = -60,
        confirmed_seconds: int | None = 300,
        status: str = "Success",
        assertion: str = "",
    ) -> str:
        """A response. Blank texts: what is right; None: without it."""
        self._count += 1
        issuer = issuer or self.entity
        held = "".join(
            f'<saml:Attribute Name="{html.escape(name)}">'
            + "".join(
                f'<saml:AttributeValue xsi:type="xs:string">{html.escape(v)}</saml:AttributeValue>' for v in values
            )
            + "</saml:Attribute>"
            for name, values in attributes.items()
        )
        confirmation = {
            "InResponseTo": request if confirms == "" else confirms,
            "Recipient": consumer if recipient == "" else recipient,
            "NotOnOrAfter": None if confirmed_seconds is None else _time(confirmed_seconds),
        }
        audiences = "" if audience is None else f"<saml:Audience>{audience}</saml:Audience>"
        made = _ASSERTION.format(
            assertion=assertion or f"_a{self._count}_{id(self)}",
            now=_time(0),
            issuer=issuer,
            method=method,
            confirmation=_attributes(confirmation),
            before=_time(begins),
            until=_time(seconds),
            audiences=f"<saml:AudienceRestriction>{audiences}</saml:AudienceRestriction>" if audiences else "",
            attributes=held,
        )
        if "assertion" in signed:
            made = self.sign(made, algorithm)
        head = {"Destination": consumer if destination == "" else destination, "InResponseTo": request}
        made = _RESPONSE.format(
            response=f"_r{self._count}_{id(self)}",
            now=_time(0),
            head=_attributes(head),
            issuer=issuer,
            status=status,
            assertion=made,
        )
        return self.sign(made, algorithm) if "response" in signed else made

    def sign(self, xml: str, algorithm: tuple[str, str] = (SHA256, SHA256_DIGEST)) -> str:
        """The same, with an enveloped signature."""
        made: Any = OneLogin_Saml2_Utils.add_sign(
            xml, self.key, self.certificate, sign_algorithm=algorithm[0], digest_algorithm=algorithm[1]
        )
        return made.decode() if isinstance(made, bytes) else made


def posted(xml: str, relay: str) -> dict[str, str]:
    """The form that a browser posts."""
    return {"SAMLResponse": base64.b64encode(xml.encode()).decode(), "RelayState": relay}


def asked(url: str) -> Any:
    """The AuthnRequest of a URL that a browser is sent to."""
    [packed] = parse_qs(urlsplit(url).query)["SAMLRequest"]
    return etree.fromstring(zlib.decompress(base64.b64decode(packed), -15))


def _attributes(values: Mapping[str, str | None]) -> str:
    return "".join(f' {name}="{html.escape(value)}"' for name, value in values.items() if value is not None)


def _time(seconds: int) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
