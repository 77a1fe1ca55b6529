"""Signed releases of the engine: what a publisher says, in a DSSE envelope (github.com/secure-systems-lab/dsse), Ed25519."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import Field, ValidationError

from protocol.base import Bytes, Message, Moment, Sha256

PAYLOAD_TYPE = "application/vnd.reelyard.engine-release+json"
ANY_PLATFORM = "any"
MOST_FILES, MOST_BYTES = 200, 1 << 30
MOST_ENVELOPE_BYTES = 1 << 20

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-+]{0,150}\.whl$")]
Version = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+){0,5}((a|b|rc|\.post|\.dev)[0-9]+){0,3}$", max_length=60)]


class ReleaseFile(Message):
    """A wheel to be installed."""

    name: FileName
    size: Annotated[Bytes, Field(le=MOST_BYTES)]
    sha256: Sha256


class Release(Message):
    """One version of the engine for some platforms, such as `linux-x86_64`, or `any`. Not to be installed after `expires_at`."""

    version: Version
    platforms: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z0-9_\-]{1,40}$")], ...], Field(min_length=1, max_length=20)]
    expires_at: Moment
    files: Annotated[tuple[ReleaseFile, ...], Field(min_length=1, max_length=MOST_FILES)]


class Signature(Message):
    keyid: Annotated[str, Field(max_length=100)] = ""
    sig: Annotated[str, Field(max_length=200)]


class Envelope(Message):
    """The field names are DSSE's. `payload` is base64 of the very bytes that are signed."""

    payloadType: Annotated[str, Field(max_length=200)]
    payload: str
    signatures: Annotated[tuple[Signature, ...], Field(max_length=10)]


class NotARelease(Exception):
    """What stands in the envelope is no release; the text says why."""


def signed_bytes(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what the signature is over."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def payload_of(envelope: Envelope) -> bytes:
    try:
        return base64.b64decode(envelope.payload, validate=True)
    except binascii.Error as fault:
        raise NotARelease("the payload is not base64") from fault


def release_of(envelope: Envelope) -> Release:
    """What the envelope holds, once its signature was found good. Raises NotARelease."""
    if envelope.payloadType != PAYLOAD_TYPE:
        raise NotARelease(f"the payload is a {envelope.payloadType[:60]}, not a release of the engine")
    try:
        return Release.model_validate_json(payload_of(envelope))
    except ValidationError as fault:
        raise NotARelease(f"the release is malformed: {fault.error_count()} problems") from fault
