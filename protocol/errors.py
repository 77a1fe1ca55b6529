"""Every error a caller can meet: one enum of stable codes, one table code -> status and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ErrorCode(StrEnum):
    MALFORMED_JSON = "MALFORMED_JSON"
    VALIDATION_FAILED = "VALIDATION_FAILED"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    BODY_TOO_SLOW = "BODY_TOO_SLOW"
    BODY_INCOMPLETE = "BODY_INCOMPLETE"
    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    REQUEST_TOO_SLOW = "REQUEST_TOO_SLOW"
    URL_TOO_LONG = "URL_TOO_LONG"
    HEADERS_TOO_LARGE = "HEADERS_TOO_LARGE"
    PRECONDITION_FAILED = "PRECONDITION_FAILED"
    PRECONDITION_REQUIRED = "PRECONDITION_REQUIRED"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    UPGRADE_REQUIRED = "UPGRADE_REQUIRED"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    ENGINE_NOT_FOUND = "ENGINE_NOT_FOUND"
    KEY_NOT_FOUND = "KEY_NOT_FOUND"
    KEY_ENDED = "KEY_ENDED"
    ENGINE_NOT_APPROVED = "ENGINE_NOT_APPROVED"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    NO_RELEASE = "NO_RELEASE"
    UPLOAD_NOT_FOUND = "UPLOAD_NOT_FOUND"
    UPLOAD_GONE = "UPLOAD_GONE"
    UPLOAD_UNFINISHED = "UPLOAD_UNFINISHED"
    UPLOAD_LOCKED = "UPLOAD_LOCKED"
    UPLOAD_OFFSET = "UPLOAD_OFFSET"
    UPLOAD_IS_FINAL = "UPLOAD_IS_FINAL"
    UPLOAD_HEADER_INVALID = "UPLOAD_HEADER_INVALID"
    UPLOAD_TOO_LARGE = "UPLOAD_TOO_LARGE"
    UPLOAD_LIMIT = "UPLOAD_LIMIT"
    UPLOAD_NOT_DIRECT = "UPLOAD_NOT_DIRECT"
    TUS_VERSION = "TUS_VERSION"
    PROFILE_NOT_FOUND = "PROFILE_NOT_FOUND"
    ENDPOINT_NOT_FOUND = "ENDPOINT_NOT_FOUND"
    DELIVERY_NOT_FOUND = "DELIVERY_NOT_FOUND"
    ENDPOINT_DISABLED = "ENDPOINT_DISABLED"
    ENDPOINT_LIMIT = "ENDPOINT_LIMIT"
    WEBHOOK_URL_REFUSED = "WEBHOOK_URL_REFUSED"
    SECRET_UNREADABLE = "SECRET_UNREADABLE"
    PATH_NOT_ALLOWED = "PATH_NOT_ALLOWED"
    FILE_EXISTS = "FILE_EXISTS"
    RANGE_NOT_SATISFIABLE = "RANGE_NOT_SATISFIABLE"
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    LINK_INVALID = "LINK_INVALID"
    LINK_EXPIRED = "LINK_EXPIRED"
    INVALID_TRANSITION = "INVALID_TRANSITION"
    STALE_LEASE = "STALE_LEASE"
    OUTPUT_CONFLICT = "OUTPUT_CONFLICT"
    OUTPUTS_NOT_READY = "OUTPUTS_NOT_READY"
    LIVE_NOT_STREAMING = "LIVE_NOT_STREAMING"
    OUTPUTS_PURGED = "OUTPUTS_PURGED"
    INPUT_PURGED = "INPUT_PURGED"
    LICENCE_REFUSED = "LICENCE_REFUSED"
    LICENCE_UNAVAILABLE = "LICENCE_UNAVAILABLE"
    NO_ENGINE = "NO_ENGINE"
    IDEMPOTENCY_KEY_REQUIRED = "IDEMPOTENCY_KEY_REQUIRED"
    IDEMPOTENCY_KEY_INVALID = "IDEMPOTENCY_KEY_INVALID"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    IDEMPOTENCY_IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
    RATE_LIMITED = "RATE_LIMITED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    TENANT_NOT_FOUND = "TENANT_NOT_FOUND"
    PROFILE_BUILT_IN = "PROFILE_BUILT_IN"
    NO_SUCH_PROFILE = "NO_SUCH_PROFILE"
    PROFILE_IN_USE = "PROFILE_IN_USE"
    INPUT_NOT_FOUND = "INPUT_NOT_FOUND"
    INPUT_CHANGED = "INPUT_CHANGED"
    INPUT_URL_REFUSED = "INPUT_URL_REFUSED"
    INPUT_TOO_SLOW = "INPUT_TOO_SLOW"
    INPUT_PLAYLIST = "INPUT_PLAYLIST"
    INPUT_KIND_UNSUPPORTED = "INPUT_KIND_UNSUPPORTED"
    INPUT_FORMAT = "INPUT_FORMAT"
    INPUT_CORRUPT = "INPUT_CORRUPT"
    INPUT_TOO_LARGE = "INPUT_TOO_LARGE"
    INPUT_TOO_SMALL = "INPUT_TOO_SMALL"
    INPUT_TOO_SHORT = "INPUT_TOO_SHORT"
    INPUT_TOO_LONG = "INPUT_TOO_LONG"
    INPUT_NO_VIDEO = "INPUT_NO_VIDEO"
    INPUT_LIMITS = "INPUT_LIMITS"
    INPUT_CLIP = "INPUT_CLIP"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    STORAGE_FULL = "STORAGE_FULL"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    NOT_LEADER = "NOT_LEADER"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    # Why a task or a job failed; these stand inside a job, not on an HTTP answer.
    JOB_EXPIRED = "JOB_EXPIRED"
    TASK_TIMEOUT = "TASK_TIMEOUT"
    TASK_MEMORY = "TASK_MEMORY"
    TASK_DISK = "TASK_DISK"
    ENCODER_SESSIONS = "ENCODER_SESSIONS"
    TASK_POISONOUS = "TASK_POISONOUS"
    TOOL_FAILED = "TOOL_FAILED"
    TOOL_MISSING = "TOOL_MISSING"
    OUTPUT_INVALID = "OUTPUT_INVALID"
    TRANSFER_FAILED = "TRANSFER_FAILED"
    ENGINE_DIED = "ENGINE_DIED"
    LEASE_LOST = "LEASE_LOST"
    LIVE_NO_PUBLISHER = "LIVE_NO_PUBLISHER"
    LIVE_NO_PORT = "LIVE_NO_PORT"
    PLUGIN_FAILED = "PLUGIN_FAILED"
    PUBLISH_CONFLICT = "PUBLISH_CONFLICT"
    STAGED_FILE_LOST = "STAGED_FILE_LOST"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """`status` is the HTTP status when the code answers a call; `meaning` says what to do about it."""

    status: int
    meaning: str


_C = ErrorCode
ERRORS: dict[ErrorCode, ErrorRow] = {
    _C.MALFORMED_JSON: ErrorRow(400, "The body is not JSON. Send one JSON document in UTF-8."),
    _C.VALIDATION_FAILED: ErrorRow(422, "A field is missing, unknown or out of range; `details.problems` names each."),
    _C.BODY_TOO_LARGE: ErrorRow(413, "The body is larger than this call accepts."),
    _C.BODY_TOO_SLOW: ErrorRow(408, "The body came too slowly, or stood still. Send it again."),
    _C.BODY_INCOMPLETE: ErrorRow(400, "The body broke off, or is not framed as announced. Send it again."),
    _C.MALFORMED_REQUEST: ErrorRow(400, "What came is not an HTTP request this server can read."),
    _C.REQUEST_TOO_SLOW: ErrorRow(408, "The head of the request did not come whole in time. Send it again."),
    _C.URL_TOO_LONG: ErrorRow(414, "The URL is longer than 8 KiB."),
    _C.HEADERS_TOO_LARGE: ErrorRow(431, "The request has too many headers, or one of them is too long."),
    _C.PRECONDITION_FAILED: ErrorRow(412, "It has changed since the ETag in `If-Match`. Get it again, then decide anew."),
    _C.PRECONDITION_REQUIRED: ErrorRow(428, "This call needs `If-Match` with the ETag of what it changes."),
    _C.UNSUPPORTED_MEDIA_TYPE: ErrorRow(415, "This call takes another Content-Type."),
    _C.UPGRADE_REQUIRED: ErrorRow(426, "This call takes a WebSocket. Send `Upgrade: websocket`."),
    _C.UNAUTHORIZED: ErrorRow(401, "No key or token that is good here. Send `X-API-Key: KEY` or `Authorization: Bearer KEY`."),
    _C.FORBIDDEN: ErrorRow(403, "The key lacks the scope this call needs; `details.scope` names it."),
    _C.ROUTE_NOT_FOUND: ErrorRow(404, "There is no such route. See /docs, or /openapi.json."),
    _C.METHOD_NOT_ALLOWED: ErrorRow(405, "The route exists, but not with this method; see the `Allow` header."),
    _C.JOB_NOT_FOUND: ErrorRow(404, "No job of yours has this id."),
    _C.TASK_NOT_FOUND: ErrorRow(404, "There is no such task."),
    _C.ENGINE_NOT_FOUND: ErrorRow(404, "No engine has this id. An engine that gets this registers again."),
    _C.KEY_NOT_FOUND: ErrorRow(404, "No API key has this id."),
    _C.KEY_ENDED: ErrorRow(409, "The key is revoked or has expired. Make a new one."),
    _C.ENGINE_NOT_APPROVED: ErrorRow(409, "The engine awaits approval. Approve it, or delete it."),
    _C.FILE_NOT_FOUND: ErrorRow(404, "There is no such file."),
    _C.NO_RELEASE: ErrorRow(404, "No release of the engine was published here. `reelyard releases publish` does it."),
    _C.UPLOAD_NOT_FOUND: ErrorRow(404, "No upload of yours has this id, or it has expired."),
    _C.UPLOAD_GONE: ErrorRow(410, "The upload has expired or was ended. Begin a new one."),
    _C.UPLOAD_UNFINISHED: ErrorRow(409, "The upload is not finished, or only a part of one. Send what is missing first."),
    _C.UPLOAD_LOCKED: ErrorRow(423, "Another request is sending to this upload. Try again in a moment."),
    _C.UPLOAD_OFFSET: ErrorRow(409, "The upload stands at another offset; `details.offset` tells it. Go on from there."),
    _C.UPLOAD_IS_FINAL: ErrorRow(403, "The upload was made of others and takes no bytes of its own."),
    _C.UPLOAD_HEADER_INVALID: ErrorRow(400, "A header of the tus protocol is missing or malformed; `details.header` names it."),
    _C.UPLOAD_TOO_LARGE: ErrorRow(413, "The upload is larger than announced, or than `Tus-Max-Size`."),
    _C.UPLOAD_NOT_DIRECT: ErrorRow(409, "The bytes of this upload cannot go past this server. Send them here, by tus."),
    _C.UPLOAD_LIMIT: ErrorRow(429, "The tenant has as many unfinished uploads as it may. Finish or end some."),
    _C.TUS_VERSION: ErrorRow(412, "This call speaks tus 1.0.0 only. Send `Tus-Resumable: 1.0.0`."),
    _C.PROFILE_NOT_FOUND: ErrorRow(422, "No profile has this name; `details.known` lists those that exist."),
    _C.ENDPOINT_NOT_FOUND: ErrorRow(404, "No webhook endpoint of yours has this id."),
    _C.DELIVERY_NOT_FOUND: ErrorRow(404, "No delivery of yours has this id, or it was forgotten after its retention."),
    _C.ENDPOINT_DISABLED: ErrorRow(409, "The delivery's endpoint is disabled or deleted. Enable it first."),
    _C.ENDPOINT_LIMIT: ErrorRow(409, "The tenant has as many webhook endpoints as it may; `details.most` says how many."),
    _C.WEBHOOK_URL_REFUSED: ErrorRow(422, "Nothing is sent to this URL: its form, its port, or where it leads."),
    _C.SECRET_UNREADABLE: ErrorRow(
        409, "The secret was sealed with a key this server no longer has. Rotate it, or submit the job anew."
    ),
    _C.PATH_NOT_ALLOWED: ErrorRow(403, "The path lies outside the roots this server may read (`inputs.allowed_roots`)."),
    _C.FILE_EXISTS: ErrorRow(409, "The file exists already and is never overwritten."),
    _C.RANGE_NOT_SATISFIABLE: ErrorRow(416, "The range starts behind the end of the file."),
    _C.CHECKSUM_MISMATCH: ErrorRow(460, "The bytes that arrived are not the bytes announced. Send them again."),
    _C.LINK_INVALID: ErrorRow(403, "The link's signature does not fit. Ask for a new link."),
    _C.LINK_EXPIRED: ErrorRow(403, "The link has expired. Ask for a new link."),
    _C.INVALID_TRANSITION: ErrorRow(409, "Not possible in the state the job is in; `details.state` names it."),
    _C.STALE_LEASE: ErrorRow(409, "The lease is no longer live. The engine drops the attempt."),
    _C.OUTPUT_CONFLICT: ErrorRow(409, "Another task of the job already made a file of that name."),
    _C.LIVE_NOT_STREAMING: ErrorRow(409, "The job streams nothing that can be watched: not yet, not any more, or it is none."),
    _C.OUTPUTS_NOT_READY: ErrorRow(409, "The job has not completed; it has no outputs yet."),
    _C.OUTPUTS_PURGED: ErrorRow(410, "The job's outputs were purged and do not come back. Submit the input again."),
    _C.INPUT_PURGED: ErrorRow(409, "The job's original was purged, so it cannot be tried again. Submit the input anew."),
    _C.LICENCE_REFUSED: ErrorRow(403, "The licence server refused the request; `details.status` is what it answered."),
    _C.LICENCE_UNAVAILABLE: ErrorRow(503, "The licence server cannot be reached, or its answer is none. Try again."),
    _C.NO_ENGINE: ErrorRow(503, "No engine that could look at the input answered in time. Try again, or submit the job."),
    _C.IDEMPOTENCY_KEY_REQUIRED: ErrorRow(400, "This server takes this call with an Idempotency-Key only. Send one."),
    _C.IDEMPOTENCY_KEY_INVALID: ErrorRow(400, "An Idempotency-Key is 1 to 255 visible ASCII characters."),
    _C.IDEMPOTENCY_MISMATCH: ErrorRow(422, "This Idempotency-Key was used with another body. Use a new key."),
    _C.IDEMPOTENCY_IN_PROGRESS: ErrorRow(409, "The first call with this Idempotency-Key still runs. Try again."),
    _C.TENANT_NOT_FOUND: ErrorRow(404, "No tenant has this name."),
    _C.NO_SUCH_PROFILE: ErrorRow(404, "No profile has this name."),
    _C.PROFILE_BUILT_IN: ErrorRow(409, "A profile of the server's own cannot be changed. Put one of another name."),
    _C.PROFILE_IN_USE: ErrorRow(409, "Tenants have this profile as their default; `details.tenants` names them."),
    _C.QUOTA_EXCEEDED: ErrorRow(429, "The tenant's quota is used up; `details.quota` names which. Wait for `Retry-After`."),
    _C.RATE_LIMITED: ErrorRow(429, "Too many calls. Wait for `Retry-After` seconds."),
    _C.INPUT_NOT_FOUND: ErrorRow(422, "The input does not exist or cannot be read."),
    _C.INPUT_CHANGED: ErrorRow(422, "The object in the bucket is not the one that was submitted any more. Submit it anew."),
    _C.INPUT_URL_REFUSED: ErrorRow(
        422, "The URL is not fetched: its form, its port, or where it leads (see docs/howto/inputs.md)."
    ),
    _C.INPUT_TOO_SLOW: ErrorRow(422, "The input did not arrive within `inputs.fetch_timeout_s`."),
    _C.INPUT_PLAYLIST: ErrorRow(422, "The playlist cannot become one file: live, protected, or beyond a limit."),
    _C.INPUT_KIND_UNSUPPORTED: ErrorRow(
        422, "This server cannot read inputs of this kind. Upload the file or give a server path."
    ),
    _C.INPUT_FORMAT: ErrorRow(422, "The input is not a media file this server reads."),
    _C.INPUT_CORRUPT: ErrorRow(422, "The input is damaged: it does not decode to its end."),
    _C.INPUT_TOO_LARGE: ErrorRow(413, "The input is larger than `inputs.max_bytes`."),
    _C.INPUT_TOO_SMALL: ErrorRow(422, "The picture is smaller than the profile's smallest rendition needs."),
    _C.INPUT_TOO_SHORT: ErrorRow(422, "The input is shorter than `inputs.min_duration_s`."),
    _C.INPUT_TOO_LONG: ErrorRow(422, "The input is longer than `inputs.max_duration_s`."),
    _C.INPUT_NO_VIDEO: ErrorRow(422, "The profile makes video, and the input has none."),
    _C.INPUT_LIMITS: ErrorRow(422, "The input exceeds a limit on size, frame rate or number of streams."),
    _C.INPUT_CLIP: ErrorRow(422, "The clip does not lie within the film, or nothing can be seen in it."),
    _C.STORAGE_UNAVAILABLE: ErrorRow(503, "The storage cannot be reached. Nothing was accepted; try again later."),
    _C.STORAGE_FULL: ErrorRow(507, "The storage is full. Nothing was accepted; free some space."),
    _C.DATABASE_UNAVAILABLE: ErrorRow(503, "The database cannot be written. Nothing was accepted; try again later."),
    _C.SHUTTING_DOWN: ErrorRow(503, "The server is stopping. Try again in a moment."),
    _C.NOT_LEADER: ErrorRow(
        421, "Another server leads. `details.leader` is its address, null while nobody does; ask there, or again in a moment."
    ),
    _C.INTERNAL_ERROR: ErrorRow(500, "A fault of ours. The log has it under the request id."),
    _C.JOB_EXPIRED: ErrorRow(409, "The job was not started within its `ttl_s`."),
    _C.TASK_TIMEOUT: ErrorRow(409, "The task ran longer than its limit."),
    _C.TASK_MEMORY: ErrorRow(409, "The tool needed more memory than its limit."),
    _C.TASK_DISK: ErrorRow(409, "The engine's disk filled up."),
    _C.TASK_POISONOUS: ErrorRow(409, "The task killed several engines and is quarantined; `evidence` tells how."),
    _C.ENCODER_SESSIONS: ErrorRow(409, "The GPU has no encoder session left; the task is tried again."),
    _C.TOOL_FAILED: ErrorRow(409, "The tool ended with an error; see the job's log."),
    _C.TOOL_MISSING: ErrorRow(409, "The engine lost the tool it needs. Run `reelyard doctor` on it."),
    _C.OUTPUT_INVALID: ErrorRow(409, "What the tool made failed verification and was not published."),
    _C.TRANSFER_FAILED: ErrorRow(409, "The input could not be fetched or a result could not be stored."),
    _C.ENGINE_DIED: ErrorRow(409, "The engine died while it ran the task."),
    _C.LEASE_LOST: ErrorRow(409, "The engine fell silent and its lease ran out."),
    _C.LIVE_NO_PUBLISHER: ErrorRow(409, "Nobody published the stream in time (`live.wait_s`), or nothing of it could be read."),
    _C.LIVE_NO_PORT: ErrorRow(409, "The engine has no free port to receive a stream at; give it more (`live_ports`)."),
    _C.PLUGIN_FAILED: ErrorRow(409, "A plugin of the engine failed."),
    _C.PUBLISH_CONFLICT: ErrorRow(409, "Other files stand where the job's outputs belong. Nothing was overwritten."),
    _C.STAGED_FILE_LOST: ErrorRow(409, "A staged file is missing or damaged; the task is done again."),
}


class FailureClass(StrEnum):
    """What kind of failure an attempt met, and so who pays for it."""

    INPUT = "input"  # the client's file; never retried
    POLICY = "policy"  # a rule forbids it; never retried
    ENGINE = "engine"  # charged
    INTERNAL = "internal"  # our own fault; charged
    INFRA = "infra"  # network, disk, death from outside; not charged


class ReelyardError(Exception):
    """An error with a stable code and one clear sentence. `retry_after` is seconds."""

    def __init__(
        self,
        code: ErrorCode,
        message: str | None = None,
        *,
        details: dict[str, object] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.code = code
        self.message = message or ERRORS[code].meaning
        self.details = details or {}
        self.retry_after = retry_after
        super().__init__(f"{code}: {self.message}")

    @property
    def status(self) -> int:
        return ERRORS[self.code].status
