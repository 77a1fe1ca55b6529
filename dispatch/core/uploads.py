"""What may happen to a resumable upload, and what it becomes. Pure: records and `now` in, records out."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from dispatch.core.callers import Caller
from dispatch.core.copying import replace
from dispatch.core.records import Upload
from dispatch.core.times import rfc3339
from dispatch.core.tus import Creation, Piece
from protocol.errors import ErrorCode, ReelyardError
from protocol.uploads import UploadState, UploadView

OPEN, FINISHED, USED, ENDING, GONE = "open", "finished", "used", "ending", "gone"
WHOLE, OVER = (FINISHED, USED), (ENDING, GONE)
"""Used: finished, and the input of a job, whose bytes count from then on instead of its own. Ending: nobody may use it any
more, its bytes go next. Gone: they went, and the row tells whoever still asks."""

LIMIT_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class Spans:
    """Seconds: how long an unfinished upload waits for more, a finished one for a job, the id of one that is gone for
    whoever still asks. `max_size` is bytes; `max_open` how many unfinished ones a tenant may have."""

    open_s: float
    kept_s: float
    max_size: int
    max_open: int
    remembered_s: float = 86_400.0


def view(upload: Upload) -> UploadView:
    return UploadView(
        upload_id=upload.upload_id,
        tenant=upload.tenant,
        state=UploadState.FINISHED if upload.state in WHOLE else UploadState.OPEN,
        filename=upload.filename,
        size_bytes=upload.size,
        received_bytes=upload.received,
        is_partial=is_partial(upload),
        parts=upload.parts,
        created_at=rfc3339(upload.created_at),
        updated_at=rfc3339(upload.updated_at),
        expires_at=rfc3339(upload.expires_at),
    )


def created(wanted: Creation, who: Caller, *, upload_id: str, now: float, spans: Spans) -> Upload:
    """Raises UPLOAD_TOO_LARGE. An upload of no bytes is open until its empty file is there."""
    if wanted.size is not None:
        check_size(wanted.size, spans)
    told: dict[str, object] = {"header": wanted.metadata}
    if wanted.is_partial:
        told["partial"] = True
    return Upload(
        upload_id=upload_id,
        tenant=who.tenant,
        key_id=who.key_id,
        filename=wanted.filename,
        size=wanted.size,
        received=0,
        state=OPEN,
        metadata_json=orjson.dumps(told).decode(),
        parts=wanted.parts,
        created_at=now,
        updated_at=now,
        expires_at=now + spans.open_s,
    )


def check_size(size: int, spans: Spans) -> None:
    if size > spans.max_size:
        raise ReelyardError(ErrorCode.UPLOAD_TOO_LARGE, details={"max_bytes": spans.max_size})


def check_count(count: int, spans: Spans) -> None:
    """So many are open. Raises UPLOAD_LIMIT when there is no room for one more."""
    if count >= spans.max_open:
        raise ReelyardError(ErrorCode.UPLOAD_LIMIT, details={"most": spans.max_open}, retry_after=LIMIT_RETRY_S)


def taking(upload: Upload, piece: Piece, spans: Spans) -> Upload:
    """The upload as this piece finds it, its size known if the piece tells it. Raises whatever forbids the piece."""
    if upload.parts:
        raise ReelyardError(ErrorCode.UPLOAD_IS_FINAL)
    if piece.offset != upload.received:
        raise ReelyardError(ErrorCode.UPLOAD_OFFSET, details={"offset": upload.received})
    sized = upload if piece.size is None else _sized(upload, piece.size, spans)
    most = room(sized, spans)
    is_over = piece.length is None and upload.state in WHOLE
    if is_over or (piece.length is not None and piece.length > most):
        raise ReelyardError(ErrorCode.UPLOAD_TOO_LARGE, details={"max_bytes": most})
    return sized


def _sized(upload: Upload, size: int, spans: Spans) -> Upload:
    if upload.size is not None and upload.size != size:
        raise ReelyardError(
            ErrorCode.UPLOAD_HEADER_INVALID, "Upload-Length never changes once it is told", details={"header": "Upload-Length"}
        )
    check_size(size, spans)
    if size < upload.received:
        raise ReelyardError(ErrorCode.UPLOAD_TOO_LARGE, details={"max_bytes": size})
    return replace(upload, size=size)


def room(upload: Upload, spans: Spans) -> int:
    """How many bytes it still takes."""
    return (spans.max_size if upload.size is None else upload.size) - upload.received


def going_past(upload: Upload) -> int:
    """The size of an upload whose bytes may still go past this server. Raises UPLOAD_NOT_DIRECT, UPLOAD_OFFSET."""
    if upload.size is None or upload.parts or upload.size == 0:
        raise ReelyardError(ErrorCode.UPLOAD_NOT_DIRECT)
    if upload.received:
        raise ReelyardError(ErrorCode.UPLOAD_OFFSET, details={"offset": upload.received})
    return upload.size


def write_of(upload: Upload) -> str | None:
    """The name of the write in parts that its client was given last."""
    told: str | None = orjson.loads(upload.metadata_json).get("write")
    return told


def writing(upload: Upload, write: str | None, *, now: float) -> Upload:
    told = {**orjson.loads(upload.metadata_json), "write": write}
    return replace(upload, metadata_json=orjson.dumps(told).decode(), updated_at=now)


def stored(upload: Upload, received: int, *, now: float, spans: Spans) -> Upload:
    """With so many bytes durable. All of them make it finished; each step renews the time it is kept."""
    is_whole = received == upload.size
    return replace(
        upload,
        received=received,
        state=FINISHED if is_whole else upload.state,
        updated_at=now,
        expires_at=now + (spans.kept_s if is_whole else spans.open_s),
    )


def ended(upload: Upload, *, now: float) -> Upload:
    return replace(upload, state=ENDING, updated_at=now)


def gone(upload: Upload, *, now: float, spans: Spans) -> Upload:
    return replace(upload, state=GONE, updated_at=now, expires_at=now + spans.remembered_s)


def is_partial(upload: Upload) -> bool:
    return orjson.loads(upload.metadata_json).get("partial") is True


def metadata_header(upload: Upload) -> str:
    header: str = orjson.loads(upload.metadata_json)["header"]
    return header


def visible(upload: Upload | None, who: Caller, *, upload_id: str) -> Upload:
    """Raises UPLOAD_NOT_FOUND, for a foreign upload as for none, and UPLOAD_GONE."""
    if upload is None or not who.sees(upload.tenant):
        raise ReelyardError(ErrorCode.UPLOAD_NOT_FOUND, details={"upload_id": upload_id})
    if upload.state in OVER:
        raise ReelyardError(ErrorCode.UPLOAD_GONE, details={"upload_id": upload_id})
    return upload


def usable(upload: Upload | None, who: Caller, *, upload_id: str) -> Upload:
    """An upload a job of this caller may use: of its tenant, finished and whole."""
    if upload is None or upload.tenant != who.tenant:
        raise ReelyardError(ErrorCode.UPLOAD_NOT_FOUND, details={"upload_id": upload_id})
    if upload.state in OVER:
        raise ReelyardError(ErrorCode.UPLOAD_GONE, details={"upload_id": upload_id})
    if upload.state not in WHOLE or is_partial(upload):
        raise ReelyardError(ErrorCode.UPLOAD_UNFINISHED, details={"upload_id": upload_id, "received": upload.received})
    return upload


def joined(parts: list[Upload], spans: Spans) -> int:
    """The size of these uploads put together. Raises UPLOAD_UNFINISHED, UPLOAD_TOO_LARGE, UPLOAD_HEADER_INVALID."""
    for part in parts:
        if not is_partial(part):
            raise ReelyardError(
                ErrorCode.UPLOAD_HEADER_INVALID,
                f"Upload-Concat names {part.upload_id}, which is no partial upload",
                details={"header": "Upload-Concat"},
            )
        if part.state != FINISHED:
            raise ReelyardError(ErrorCode.UPLOAD_UNFINISHED, details={"upload_id": part.upload_id})
    size = sum(part.received for part in parts)
    check_size(size, spans)
    return size
