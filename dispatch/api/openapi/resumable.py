"""Headers of what is sent in pieces: those of tus 1.0, call by call, and those of staging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol.operations import API, Operation

Json = dict[str, Any]  # Any: a JSON document has no narrower type
PREFIX = f"{API}/uploads"
_BYTES: Json = {"type": "string", "pattern": "^[0-9]{1,18}$", "examples": ["0"]}
_WORDS: Json = {"type": "string", "pattern": "^[!-+.-~-]+( [A-Za-z0-9+/=]*)?(,[!-+.-~-]+( [A-Za-z0-9+/=]*)?)*$"}

REQUEST_HEADERS: dict[str, Json] = {
    "Tus-Resumable": {
        "description": "The version of tus the client speaks",
        "schema": {"type": "string", "enum": ["1.0.0"]},
    },
    "Upload-Length": {"description": "Bytes of the whole upload; not with Upload-Defer-Length", "schema": _BYTES},
    "Upload-Defer-Length": {
        "description": "The length is told later",
        "schema": {"type": "string", "enum": ["1"]},
    },
    "Upload-Offset": {"description": "Where these bytes go: as many as the server has", "schema": _BYTES},
    "Upload-Metadata": {
        "description": "Keys and Base64 values; `filename` names the file",
        "schema": {**_WORDS, "examples": ["filename b3BlbmluZy1uaWdodC5tb3Y="]},
    },
    "Upload-Checksum": {
        "description": "sha256, sha1 or md5 of this body, in Base64; 460 when the bytes are others",
        "schema": {"type": "string", "examples": ["sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk="]},
    },
    "Upload-Concat": {
        "description": "`partial`, or `final;` and the URLs of the parts",
        "schema": {"type": "string", "examples": ["partial"]},
    },
    "X-HTTP-Method-Override": {
        "description": "What the call means",
        "schema": {"type": "string", "enum": ["PATCH", "DELETE", "HEAD"]},
    },
    "Staged-Offset": {
        "description": "The body is a piece and goes there, at the end of what the server has; `*` asks how much that is",
        "schema": {"type": "string", "pattern": r"^([0-9]{1,18}|\*)$", "examples": ["0"]},
    },
    "Staged-Length": {"description": "With the last piece, beside Staged-Digest: bytes of the whole file", "schema": _BYTES},
    "Staged-Digest": {
        "description": "With the last piece, beside Staged-Length: the SHA-256 of the whole file; 460 when the bytes are others",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
}

REPLY_HEADERS: dict[str, tuple[str, Json]] = {
    "Tus-Resumable": ("The version of tus the server speaks", {"type": "string", "enum": ["1.0.0"]}),
    "Tus-Version": ("All versions the server speaks", {"type": "string"}),
    "Tus-Extension": ("The extensions the server knows", {"type": "string"}),
    "Tus-Max-Size": ("The most bytes of one upload", {"type": "integer", "minimum": 0}),
    "Tus-Checksum-Algorithm": ("The algorithms of Upload-Checksum", {"type": "string"}),
    "Upload-Offset": ("Bytes the server has", {"type": "integer", "minimum": 0}),
    "Upload-Length": ("Bytes of the whole upload", {"type": "integer", "minimum": 0}),
    "Upload-Defer-Length": ("The length is not told yet", {"type": "string", "enum": ["1"]}),
    "Upload-Direct": ("The call that tells where the bytes may go past the server", {"type": "string"}),
    "Upload-Expires": ("When an upload that stands still is removed", {"type": "string"}),
    "Upload-Metadata": ("As the client told it", {"type": "string"}),
    "Upload-Concat": ("As the client told it", {"type": "string"}),
    "Staged-Offset": ("Bytes the server has of a file that comes in pieces", {"type": "integer", "minimum": 0}),
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """The request headers a call knows and those it cannot do without, and what a good answer carries."""

    takes: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    gives: tuple[str, ...] = ()


_NONE = Spoken()
_TOLD = ("Upload-Offset", "Upload-Expires")
_DESCRIBED = ("Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat")
_VERSION = frozenset({"Tus-Resumable"})
_PIECE = ("Upload-Offset", "Upload-Length", "Upload-Checksum")
CALLS: dict[str, Spoken] = {
    "upload_options": Spoken(gives=("Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm")),
    "create_upload": Spoken(
        ("Tus-Resumable", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat", "Upload-Checksum"),
        _VERSION,
        (*_TOLD, "Upload-Direct"),
    ),
    "get_upload": Spoken(("Tus-Resumable",), frozenset(), (*_TOLD, *_DESCRIBED)),
    "continue_upload": Spoken(("Tus-Resumable", *_PIECE), _VERSION | {"Upload-Offset"}, _TOLD),
    "end_upload": Spoken(("Tus-Resumable",), _VERSION),
    "override_upload": Spoken(
        ("Tus-Resumable", "X-HTTP-Method-Override", *_PIECE), _VERSION | {"X-HTTP-Method-Override"}, (*_TOLD, *_DESCRIBED)
    ),
    "signed_put": Spoken(("Staged-Offset", "Staged-Length", "Staged-Digest"), frozenset(), ("Staged-Offset",)),
}


def spoken(operation: Operation) -> Spoken:
    return CALLS.get(operation.name, _NONE)


def is_resumable(operation: Operation) -> bool:
    """Whether every answer of the call, refusals too, names the version of tus."""
    return operation.path.startswith(PREFIX)
