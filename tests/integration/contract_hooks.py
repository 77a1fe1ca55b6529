"""What schemathesis is told beside the document: who calls what, things that exist, and what a fitting call may never hear.

Loaded by its own process; `REELYARD_CONTRACT` holds the keys and the engine as JSON.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import schemathesis
from schemathesis import AuthContext, Case, CheckContext, DeserializationContext, HookContext, Response, SerializationContext

Json = dict[str, Any]  # Any: what a server answers has no narrower type
GIVEN: Json = json.loads(os.environ["REELYARD_CONTRACT"])
ENGINE = "engine"
CREDENTIALS: dict[str, str] = {GIVEN["engine_id"]: GIVEN["credential"]}
TOKEN: list[str] = [GIVEN["registration"]]
MADE: dict[str, list[str]] = {"engine_id": [GIVEN["engine_id"]]}
"""Ids the server has given, by the name of the path parameter that takes them."""

CALLED_MALFORMED = frozenset(
    {
        "MALFORMED_JSON",
        "MALFORMED_REQUEST",
        "VALIDATION_FAILED",
        "UNSUPPORTED_MEDIA_TYPE",
        "UPLOAD_HEADER_INVALID",
        "IDEMPOTENCY_KEY_INVALID",
        "BODY_INCOMPLETE",
        "BODY_TOO_LARGE",
        "HEADERS_TOO_LARGE",
        "URL_TOO_LONG",
    }
)
UNTOLD: dict[str, str] = {
    r"offset: go on by cursor or by offset": "no schema tells that two parameters exclude each other",
    r"status: ask for state or for status": "the same",
    r"Upload-[\w-]+ ": "the same: which headers of tus go together",
    r"Staged-Length is missing beside Staged-Digest": "the same: the last piece tells both",
    r"cursor: ": "a cursor is what the server gave, not a form",
    r"(created_\w+|since|from|to|expires_at|finish_by): ": "a moment fits its format in any year; a clock it may not",
    r"allowed_ips: ": "a network has no form a pattern could hold",
    r"input: (is required|.*exactly one|.*takes no input)": "needed or not, by the profile; one of four, by the message",
    r"(tenant|name): ": "whether it exists, or exists already",
    r"metadata(\..*)?: ": "depth and size have no keyword in JSON Schema",
    r"packaging: (packages renditions|makes hls/)": "what a profile makes belongs together",
    r"allow_damaged: is not for": "by what the profile makes",
    r"thumbnail: is no": "bytes have no schema",
    r"(renditions|hls|thumbnails|noop_seconds|outputs(\.\w+)?): ": "what a profile makes belongs together",
    r"(outputs\.)?(compare\.)?renditions\.\d+(\.[\w-]+)?: ": "words of a rendition exclude each other, or go by its codec",
    r"(outputs\.)?(burn_in|clip|packaging(\.encryption)?): ": "the same: one of two, or one behind the other",
    r"content_keys(\.pssh)?: ": "keys are told apart by their labels, and asked for by the profile",
    r"(attachments|result\.measured\.loudness)\.": "what the names of an object look like is not made by the library",
    r"this call takes Content-Type: application/offset": "a POST that stands for PATCH needs a body, for DELETE it needs none",
}
"""What a call that fits the document may be refused for all the same, with the reason; by the message's beginning."""


def scope_of(case: Case[Any]) -> str:
    return str(case.operation.definition.raw["x-scope"])


@schemathesis.auth(refresh_interval=None)
class Keys:
    """The tenant's key where it suffices, the admin's where it does not, each engine's own credential."""

    def get(self, case: Case[Any], context: AuthContext) -> str:
        match scope_of(case):
            case "engine":
                return CREDENTIALS.get(str(case.path_parameters.get("engine_id")), str(GIVEN["credential"]))
            case "registration":
                return TOKEN[-1]
            case "admin":
                return str(GIVEN["admin"])
            case _:
                return str(GIVEN["tenant"])

    def set(self, case: Case[Any], data: str, context: AuthContext) -> None:
        case.headers["X-API-Key"] = data


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: Json) -> None:
    """Calls that fit name things that exist; nobody waits at the long poll."""
    if case.meta is None or case.meta.generation.mode.value != "positive":
        return
    for name, value in case.path_parameters.items():
        known = MADE.get(name, [])
        if known and value not in known and re.fullmatch(r"[a-z]{3}_[0-9a-z]{1,40}", str(value)):
            case.path_parameters[name] = known[-1]
    if case.media_type == "application/json" and isinstance(case.body, dict):
        case.body = _whole(case.body)
    if isinstance(case.body, dict) and "light_slots" in case.body:
        case.body["wait_s"] = 0.0


def _whole(value: Any) -> Any:  # Any: JSON of any kind goes in, the same comes out
    """9.0 is an integer to JSON Schema, and none to the server: whole numbers are written without a point."""
    match value:
        case dict():
            return {name: _whole(inner) for name, inner in value.items()}
        case list():
            return [_whole(inner) for inner in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Remember what was made."""
    told = _json(response)
    for name, value in told.items():
        if name.endswith("_id") and isinstance(value, str) and response.status_code < 300:
            MADE.setdefault(name, []).append(value)
    if told.get("credential"):
        CREDENTIALS[told["engine_id"]] = told["credential"]
    if location := response.headers.get("location"):
        upload = location[0].rpartition("/")[2]
        if upload.startswith("upl_"):
            MADE.setdefault("upload_id", []).append(upload)
    if "registration_token" in told:
        TOKEN.append(told["registration_token"])


def _json(response: Response) -> Json:
    if not response.headers.get("content-type", [""])[0].startswith("application/json") or not response.content:
        return {}
    told = response.json()
    return told if isinstance(told, dict) else {}


@schemathesis.check
def fitting_call_is_not_called_malformed(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """What the document allows is answered for what it means, never for its form."""
    if case.meta is None or case.meta.generation.mode.value != "positive":
        return
    error = _json(response).get("error", {})
    message = str(error.get("message", ""))
    if error.get("code") in CALLED_MALFORMED and not any(re.match(untold, message) for untold in UNTOLD):
        raise AssertionError(f"{case.operation.definition.raw['operationId']}: {error['code']}: {message[:200]}")


@schemathesis.serializer("application/offset+octet-stream")
def offset_bytes(context: SerializationContext, value: object) -> Any:  # Any: what the library takes
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.deserializer("text/html", "text/css", "text/javascript", "image/png", "application/zip")
def as_it_came(context: DeserializationContext, response: Response) -> Any:  # Any: what the library takes
    return response.content.decode(errors="replace")
