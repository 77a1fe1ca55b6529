"""What the document says about all calls: who may call, and what the groups of calls are for."""

from __future__ import annotations

from dispatch.api.openapi.parameters import Json
from protocol.admin import Scope
from protocol.operations import Operation

INFO: Json = {
    "summary": "A transcoding farm: jobs go in, verified renditions come out",
    "description": (
        "Every answer that is not 2xx (or 304) is an error envelope; its `code` is stable and meant for programs. Every answer"
        " has `X-Request-Id`. Times are RFC 3339 in UTC, durations are seconds, sizes are bytes; whole numbers are written"
        " without a point. Unknown fields are refused with 422, and so are unknown query parameters of calls that take any."
        "\n\nA call shows its key as `X-API-Key` or as `Authorization: Bearer`; what the key must be allowed is the call's"
        " `x-scope`. Somebody else's id is answered as one that does not exist."
    ),
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}

SECURITY_SCHEMES: Json = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key: `rk_...`"},
    "Bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or a JWT of the issuer this server is told to trust",
    },
    "EngineCredential": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "What an engine got when it registered; it opens the engine's own calls alone",
    },
    "RegistrationToken": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The shared secret that lets an engine register, and nothing else",
    },
}

_SCHEMES_OF_SCOPE: dict[Scope, tuple[str, ...]] = {
    Scope.OPEN: (),
    Scope.ENGINE: ("EngineCredential",),
    Scope.REGISTRATION: ("RegistrationToken", "EngineCredential"),
}

TAGS: dict[str, str] = {
    "jobs": "Submit work, look at it, change it, follow it, and fetch what it made",
    "events": "Everything that happens, as it happens",
    "engines": "What engines say about themselves and their work, and what operators ask of them",
    "engine-releases": "Signed releases that engines install by themselves",
    "tasks": "What an engine says about one task it holds",
    "api-keys": "Who may call, and what",
    "registration-token": "What lets engines register",
    "audit": "Who changed what",
    "dead-letter": "Jobs that failed for good, with their evidence",
    "usage": "What keys and tenants have used",
    "stats": "Figures of all jobs",
    "metrics": "Figures for monitoring and for autoscalers",
    "config": "What is in force, without its secrets",
    "retention": "What goes by age",
    "tenants": "Who jobs belong to",
    "profiles": "The recipes that jobs may name",
    "health": "Whether the parts of the server work",
    "healthz": "Whether the process lives",
    "readyz": "Whether the server takes work",
    "uploads": "Resumable uploads by tus 1.0; a finished one is an input",
    "webhooks": "Who is told when a job ends, and what became of each message",
    "version": "Which version answers",
    "files": "Bytes by signed links; no key, the link is one",
    "playback": "Links that play",
    "openapi.json": "This document",
    "docs": "This document as a page",
}


def security_of(operation: Operation) -> list[dict[str, list[str]]]:
    """Any one of these opens the call; the words in it are the scopes the key needs."""
    schemes = _SCHEMES_OF_SCOPE.get(operation.scope)
    if schemes is None:
        return [{"ApiKey": [operation.scope.value]}, {"Bearer": [operation.scope.value]}]
    return [{scheme: []} for scheme in schemes]
