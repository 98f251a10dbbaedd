"""The one adapter to python3-saml (identity.md 8.6, 17, 18). Blocking: called in a thread, and imported there.

Promises: a response is believed only if it is well-formed XML without a DTD that fits the schema, holds one assertion,
is signed (it or its assertion) by the provider's own certificate and not with SHA-1, and if the very assertion that was
signed names this service provider as audience, its URL as recipient, this browser's request, and a time that has not
passed. The library's own checks come first; those it makes only where a value is present are made here again, strictly.
"""

import base64
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, cast
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import msgspec
import onelogin.saml2.response as response_module
from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.authn_request import OneLogin_Saml2_Authn_Request
from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from onelogin.saml2.utils import OneLogin_Saml2_Utils
from onelogin.saml2.xml_utils import OneLogin_Saml2_XML

from thingstead.model.pem import pem
from thingstead.model.saml import Config, Idp

_Xml: Any = OneLogin_Saml2_XML
_Utils: Any = OneLogin_Saml2_Utils
_Parser: Any = OneLogin_Saml2_IdPMetadataParser
_POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
_BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_SHA256: Final = "http://www.w3.org/2001/04/xmlenc#sha256"


_NEWER: Final = "{http://www.w3.org/2009/xmlenc11#}*"


class _Schemas(OneLogin_Saml2_XML):
    """The library's schemas, which do not know XML Encryption 1.1: its elements are passed over, not refused."""

    @staticmethod
    def validate_xml(xml: Any, schema: str, debug: bool = False) -> Any:
        known = deepcopy(xml)
        for element in list(known.iter(_NEWER)):
            element.getparent().remove(element)
        result: Any = _Xml.validate_xml(known, schema, debug)
        return result if isinstance(result, str) else xml


cast(Any, response_module).OneLogin_Saml2_XML = _Schemas


class Refused(Exception):
    """Something that is not believed, or cannot be made; the text says why, for the log."""


class Proven(msgspec.Struct, frozen=True):
    """What a response proved."""

    assertion: str  # its id
    until: int  # seconds since the epoch, after which it would not be believed again
    attributes: Mapping[str, Sequence[str]]


def described(document: bytes) -> dict[str, Idp]:
    """The identity providers that a metadata document describes, by entity id, in its order. Raises Refused."""
    found: dict[str, Idp] = {}
    try:
        root: Any = _Xml.to_etree(document)
        _still_valid(root)
        for entity in _Xml.query(root, "//md:EntityDescriptor[md:IDPSSODescriptor]"):
            name: str = entity.get("entityID") or ""
            if not name or name in found:
                continue
            _still_valid(entity)
            said = _Parser.parse(deepcopy(entity)).get("idp", {})
            several = said.get("x509certMulti", {})
            certificates = several.get("signing") or several.get("encryption") or [said.get("x509cert", "")]
            found[name] = Idp(
                name,
                said.get("singleSignOnService", {}).get("url", ""),
                tuple(pem(each, "CERTIFICATE") for each in certificates if each),
            )
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"metadata that cannot be read: {_short(error)}") from None
    if not found:
        raise Refused("metadata that describe no identity provider")
    return found


def request(known: Config, idp: Idp, id: str, relay: str) -> str:
    """The URL that asks a provider to sign somebody in. Raises Refused."""

    class Request(OneLogin_Saml2_Authn_Request):
        def _generate_request_id(self) -> str:
            return id

    try:
        # The library puts values into XML as they are.
        asked: Any = Request(_settings(known, idp, escaped=True))
        parameters = {"SAMLRequest": asked.get_request(), "RelayState": relay}
        auth = OneLogin_Saml2_Auth(_request_data(known), _settings(known, idp))
        if known.signs_requests:
            auth.add_request_signature(parameters, known.algorithm)
        return cast(str, auth.redirect_to(idp.sign_on, parameters))
    except Exception as error:
        raise Refused(f"a request that cannot be made: {_short(error)}") from None


def metadata(known: Config) -> bytes:
    """What an identity provider must know about an app. Raises Refused."""
    try:
        settings = _settings(known, None, escaped=True)
        made: Any = settings.get_sp_metadata()
        document = made.encode() if isinstance(made, str) else bytes(made)
        errors = settings.validate_metadata(document)
    except Exception as error:
        raise Refused(f"metadata that cannot be made: {_short(error)}") from None
    if errors:
        raise Refused(f"metadata that would not be valid: {', '.join(errors)}")
    return document


def issuer(response: str) -> str:
    """The provider that a response says it is from; nothing proves it yet. Raises Refused."""
    root = _parsed(response)
    said = _Xml.query(root, "/samlp:Response/saml:Issuer | /samlp:Response/saml:Assertion/saml:Issuer")
    return next((each.text.strip() for each in said if each.text), "")


def verified(known: Config, idp: Idp, response: str, id: str, now: int) -> Proven:
    """What a response proves, as the answer to the request of this id. `now` in seconds. Raises Refused."""
    root = _parsed(response)
    ids: list[str] = list(_Xml.query(root, "//@ID"))
    if len(set(ids)) != len(ids):
        raise Refused("two elements with one ID")
    try:
        read: Any = OneLogin_Saml2_Response(_settings(known, idp), response)
        read.is_valid(_request_data(known), id, raise_exceptions=True)
        _check(known, read, id, now)
        attributes: Mapping[str, Sequence[Any]] = read.get_attributes()
        return Proven(
            read.get_assertion_id(),
            _until(read),
            {name: [each for each in values if isinstance(each, str)] for name, values in attributes.items()},
        )
    except Refused:
        raise
    except Exception as error:
        raise Refused(_short(error)) from None


def _check(known: Config, read: Any, id: str, now: int) -> None:
    """What the library lets pass if it is absent, or compares by a beginning only."""
    document = read.get_xml_document()
    for signed in _Xml.query(document, "//ds:Signature"):
        references = _Xml.query(signed, "./ds:SignedInfo/ds:Reference", signed)
        if [each.get("URI") for each in references] != ["#" + signed.getparent().get("ID")]:
            raise Refused("a signature of something else")
    if read.get_in_response_to() != id:
        raise Refused("no answer to a request of this browser")
    if document.get("Destination") not in (None, known.consumer):
        raise Refused("a response for another destination")
    if known.entity not in read.get_audiences():
        raise Refused("an assertion for another audience")
    confirmations = read._query_assertion("/saml:Subject/saml:SubjectConfirmation")
    if not any(_confirms(known, each, id, now) for each in confirmations):
        raise Refused("no confirmation for this recipient, request and time")


def _confirms(known: Config, confirmation: Any, id: str, now: int) -> bool:
    data = confirmation.find("{urn:oasis:names:tc:SAML:2.0:assertion}SubjectConfirmationData")
    if confirmation.get("Method") != _BEARER or data is None or not data.get("NotOnOrAfter"):
        return False
    until: int = _Utils.parse_SAML_to_time(data.get("NotOnOrAfter"))
    return data.get("Recipient") == known.consumer and data.get("InResponseTo") == id and until > now


def _until(read: Any) -> int:
    """The last second at which any of an assertion's times would let it pass, with the library's allowance."""
    said = read._query_assertion("/saml:Conditions/@NotOnOrAfter") + read._query_assertion(
        "/saml:Subject/saml:SubjectConfirmation/saml:SubjectConfirmationData/@NotOnOrAfter"
    )
    return max(int(_Utils.parse_SAML_to_time(each)) for each in said) + 300


def _parsed(response: str) -> Any:
    try:
        return _Xml.to_etree(base64.b64decode(response))
    except Exception as error:
        raise Refused(f"a response that cannot be read: {_short(error)}") from None


def _still_valid(element: Any) -> None:
    until = element.get("validUntil")
    if until and _Utils.parse_SAML_to_time(until) <= _Utils.now():
        raise Refused("metadata that have expired")


def _request_data(known: Config) -> dict[str, Any]:
    """The request as the library wants it: one to the URL that the app says assertions are posted to."""
    where = urlsplit(known.consumer)
    secure = "on" if where.scheme == "https" else "off"
    return {"https": secure, "http_host": where.netloc, "script_name": where.path, "get_data": {}, "post_data": {}}


def _settings(known: Config, idp: Idp | None, *, escaped: bool = False) -> Any:
    def text(value: str) -> str:
        return escape(value, {'"': "&quot;"}) if escaped else value

    settings: dict[str, Any] = {
        "strict": True,
        "debug": False,
        "sp": {
            "entityId": text(known.entity),
            "assertionConsumerService": {"url": text(known.consumer), "binding": _POST},
            "NameIDFormat": text(known.name_format),
            "x509cert": known.certificate,
            "privateKey": known.key,
        },
        "security": {
            "authnRequestsSigned": known.signs_requests,
            "signMetadata": known.signs_metadata,
            "wantMessagesSigned": known.wants_messages_signed,
            "wantAssertionsSigned": known.wants_assertions_signed,
            "wantAssertionsEncrypted": known.wants_assertions_encrypted,
            "wantNameIdEncrypted": known.wants_name_encrypted,
            "wantNameId": False,
            "allowRepeatAttributeName": True,
            "allowSingleLabelDomains": True,
            "requestedAuthnContext": False,  # however the provider signs people in
            "rejectDeprecatedAlgorithm": True,
            "signatureAlgorithm": known.algorithm,
            "digestAlgorithm": _SHA256,
            "metadataValidUntil": "",
            "metadataCacheDuration": "",
        },
    }
    if idp is not None:
        settings["idp"] = {
            "entityId": text(idp.entity),
            "singleSignOnService": {"url": text(idp.sign_on), "binding": _REDIRECT},
            "x509certMulti": {"signing": list(idp.certificates)},
        }
    return OneLogin_Saml2_Settings(settings, sp_validation_only=idp is None)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
