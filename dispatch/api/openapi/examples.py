"""An example of every message, put together from one table of field values, so that examples keep up with the schemas."""

from __future__ import annotations

import re

from dispatch.api.openapi.parameters import Json

_ID = "01k9w3m8q2z7c4xg5t"
_IDENTIFIER = r"^[a-z]{3}_[0-9a-z]{1,40}$"
_MOMENT = "2026-11-20T10:00:00Z"
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

FIELDS: dict[str, object] = {
    "job_id": f"job_{_ID}",
    "engine_id": f"eng_{_ID}",
    "task_id": f"tsk_{_ID}",
    "key_id": f"key_{_ID}",
    "request_id": f"req_{_ID}1000",
    "boot_id": "boot-7f3a9c21",
    "tenant": "default",
    "profile": "web",
    "name": "web",
    "hostname": "box1.example.org",
    "prefix": "rk_k3v9x0",
    "api_key": "rk_k3v9x0Qm1rT5zYb8dW2nLc7h",
    "credential": "ec_u8Zt2bRk5qXv0wMs1nJd4fGh",
    "scopes": ["jobs:read", "jobs:write", "files:read"],
    "metadata": {"title": "Opening night"},
    "user_metadata": {"title": "Opening night"},
    "priority": 5,
    "ttl_s": 86400,
    "expires_at": "2026-12-20T10:00:00Z",
    "created_at": _MOMENT,
    "updated_at": "2026-11-20T10:04:12Z",
    "at": _MOMENT,
    "timestamp": _MOMENT,
    "granted_at": _MOMENT,
    "registered_at": _MOMENT,
    "tags": ["site:oslo"],
    "required_capabilities": ["encoder:libx264"],
    "provided": ["operation:transcode", "encoder:libx264"],
    "supported_codecs": ["h264", "aac"],
    "file_path": "/media/opening-night.mov",
    "bucket": "footage",
    "key": "2026/opening-night.mov",
    "object_key": "2026/opening-night.mov",
    "upload": "2~Yc1w0dVQmRk",
    "url": "https://media.example.org/opening-night.mov",
    "webhook_url": "https://hooks.example.org/reelyard",
    "path": "web_720p.mp4",
    "paths": ["web_720p.mp4"],
    "sha256": _SHA256,
    "addresses": ["192.0.2.10"],
    "version": 7,
    "software_version": "0.1.0",
    "state": "pending",
    "status": "ok",
    "links": {"self": f"/api/v1/jobs/job_{_ID}"},
    "total": 1,
    "total_count": 1,
    "limit": 50,
    "heartbeat_s": 15.0,
    "lease_s": 60.0,
    "encoding": 2,
    "light": 2,
    "free_encoding": 1,
    "free_light": 2,
    "weight": 1.0,
    "warning": "This key is shown once. Keep it where only its user can read it.",
    "actor": f"key_{_ID}",
    "address": "192.0.2.10",
    "sandbox_tier": 1,
    "summary": "waits for a free slot",
    "reason": "no free slot",
    "role": "rendition",
    "log": "frame= 1200 fps= 48",
    "size": 52_428_800,
    "size_bytes": 52_428_800,
}
"""By the name of a field, wherever it stands and the schema takes it."""

MODELS: dict[str, dict[str, object]] = {
    "JobInput": {"url": "https://media.example.org/opening-night.mov"},
    "JobView": {"status": "pending", "input": {"url": "https://media.example.org/opening-night.mov"}},
    "OutputOverrides": {"renditions": ["360p"]},
    "BatchSubmission": {"jobs": [{"input": {"url": "https://media.example.org/opening-night.mov"}, "profile": "web"}]},
    "BatchItem": {"status": 202},
    "StepView": {"name": "transcode_720p", "status": "running", "progress_percent": 41.5},
    "OutputLink": {"url": "/files/s/c2lnbmF0dXJl.1790000000/default/processed/web_720p.mp4"},
    "UploadTarget": {"url": "/files/s/c2lnbmF0dXJl.1790000000/staging/web_720p.mp4"},
    "EngineView": {"name": "box1"},
    "WhyEngine": {"name": "box1"},
    "KeyRequest": {"name": "newsroom"},
    "KeyView": {"name": "newsroom"},
    "KeyCreated": {"name": "newsroom"},
    "TenantRequest": {"name": "newsroom"},
    "TenantView": {"name": "newsroom"},
    "WebhookMessage": {"type": "job.completed"},
    "RegisterRequest": {"name": "box1", "version": "0.1.0"},
    "VersionReply": {"version": "0.1.0"},
    "RetentionItem": {"kind": "original", "since": _MOMENT, "path": "default/raw/job_01k9w3m8q2z7c4xg5t_original.mov"},
    "RetentionSpans": {"originals_s": 604800.0, "records_s": 2592000.0, "logs_s": 7776000.0, "audit_s": 31536000.0},
    "DeadLetter": {"failed_at": _MOMENT},
    "Problem": {"code": "INPUT_TOO_SMALL", "message": "the picture is 320x240; profile web needs at least 640x360"},
    "Estimate": {"seconds": 840.0, "bytes": 182_000_000},
    "ValidationReply": {"transcoding_options": {"can_360p": True, "can_720p": True, "can_extract_audio": True}},
}
"""Fields of one model that differ from FIELDS; a request holds these, what it needs, and what FIELDS knows."""

PATTERNS: dict[str, str] = {}
"""Text for a pattern, where a field has no row of its own."""


class NoExample(Exception):
    """A schema that nothing here can fill: give its field a row in FIELDS or MODELS."""


def example_of(schema: Json, definitions: Json, *, field: str = "", is_reply: bool = True) -> object:
    """A value that fits. Requests leave out what nobody has to say; replies hold every field."""
    maker = _Maker(definitions, is_reply=is_reply)
    return maker.value(schema, field)


class _Maker:
    def __init__(self, definitions: Json, *, is_reply: bool) -> None:
        self._definitions, self._is_reply = definitions, is_reply

    def value(self, schema: Json, field: str) -> object:
        if "$ref" in schema:
            return self._model(schema["$ref"].rpartition("/")[2], field)
        if "examples" in schema:
            return schema["examples"][0]
        if "const" in schema:
            return schema["const"]
        if field in FIELDS and self._takes(schema, FIELDS[field]):
            return FIELDS[field]
        if self._is_reply and any(option.get("type") == "null" for option in schema.get("anyOf", ())):
            return None
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self.value(schema[word][0], field)
        if "default" in schema:
            return schema["default"]
        return self._plain(schema, field)

    def _takes(self, schema: Json, value: object) -> bool:
        """Whether the value is of the kind wanted; the tests hold the whole against the schema."""
        options = [self._resolved(option) for option in schema.get("anyOf", [schema])]
        return any(_is_kind(option, value) for option in options)

    def _resolved(self, schema: Json) -> Json:
        found: Json = self._definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return found

    def _model(self, name: str, field: str) -> object:
        schema = self._definitions[name]
        if "properties" not in schema:
            return self.value(schema, field)
        own, needed = MODELS.get(name, {}), schema.get("required", ())
        if not self._is_reply and own and not needed:
            return own
        rows = schema["properties"]
        wanted = [k for k, row in rows.items() if self._is_reply or k in needed or k in own or k in FIELDS or "const" in row]
        return {key: own[key] if key in own else self.value(rows[key], key) for key in wanted}

    def _plain(self, schema: Json, field: str) -> object:
        if "enum" in schema:
            return schema["enum"][0]
        match schema.get("type"):
            case "string":
                return _text(schema, field)
            case "integer" | "number":
                return schema.get("minimum", schema.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
            case "boolean":
                return False
            case "array":
                return self._items(schema, field)
            case "object":
                return self._object(schema)
            case _:
                return None

    def _object(self, schema: Json) -> object:
        needed = schema.get("required", ())
        return {key: self.value(row, key) for key, row in schema.get("properties", {}).items() if self._is_reply or key in needed}

    def _items(self, schema: Json, field: str) -> object:
        if "prefixItems" in schema:
            return [self.value(item, field) for item in schema["prefixItems"]]
        item = schema.get("items", {})
        if self._is_reply or schema.get("minItems"):
            return [self.value(item, field.removesuffix("s"))] if item else []
        return []


_KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def _is_kind(schema: Json, value: object) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    wanted = _KINDS.get(schema.get("type", ""))
    if wanted is None or not isinstance(value, wanted):
        return False
    match value:
        case str():
            return re.search(schema.get("pattern", ""), value) is not None
        case [first, *_]:
            return "$ref" in schema["items"] or not schema["items"] or _is_kind(schema["items"], first)
        case _:
            return True


def _text(schema: Json, field: str) -> str:
    pattern = schema.get("pattern")
    if pattern is None:
        return "x" * schema.get("minLength", 0) or "text"
    if pattern == _IDENTIFIER:
        return f"{field[:3]}_{_ID}"
    if pattern not in PATTERNS:
        raise NoExample(f"{field or 'a text'} matches {pattern}: give it a row in FIELDS, MODELS or PATTERNS")
    return PATTERNS[pattern]
