"""Links that play, for callers who may read a job's files, and licences for those who hold one."""

from __future__ import annotations

from protocol import playback
from protocol.admin import Scope as S
from protocol.errors import ErrorCode
from protocol.operations.rows import API, Form, Operation

READY = (ErrorCode.OUTPUTS_NOT_READY, ErrorCode.OUTPUTS_PURGED, ErrorCode.FILE_NOT_FOUND)
MANIFEST = f"{API}/playback/{{job_id}}/manifest"
MOST_OF_A_REQUEST = 64 << 10
"""Bytes of a licence request; those of Widevine and PlayReady have a few thousand."""

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "playback",
        "GET",
        MANIFEST,
        S.FILES_READ,
        "A link that plays, and where its keys and licences are",
        None,
        playback.PlaybackReply,
        errors=READY,
    ),
    Operation(
        "playback_hls",
        "GET",
        f"{MANIFEST}.m3u8",
        S.FILES_READ,
        "The way to the HLS playlist",
        None,
        None,
        302,
        gives=Form.NONE,
        errors=READY,
    ),
    Operation(
        "playback_dash",
        "GET",
        f"{MANIFEST}.mpd",
        S.FILES_READ,
        "The way to the DASH manifest",
        None,
        None,
        302,
        gives=Form.NONE,
        errors=READY,
    ),
    Operation(
        "signed_post",
        "POST",
        "/files/s/{signature}/{path:(?s:.+)}",
        S.OPEN,
        "A licence for what a link of playback plays",
        None,
        None,
        takes=Form.BYTES,
        gives=Form.BYTES,
        description="Below a link of playback: `licence/clearkey` answers the W3C's ClearKey request, `licence/<system>` what the"
        " licence server of `playback.licence_urls` answers.",
        max_body=MOST_OF_A_REQUEST,
        errors=(
            *(ErrorCode.LICENCE_REFUSED, ErrorCode.LICENCE_UNAVAILABLE, ErrorCode.SECRET_UNREADABLE, ErrorCode.RATE_LIMITED),
            *(ErrorCode.MALFORMED_JSON, ErrorCode.VALIDATION_FAILED, ErrorCode.OUTPUTS_NOT_READY, ErrorCode.OUTPUTS_PURGED),
        ),
    ),
)
