"""What people read of links to watch, and of an input that was looked at."""

from __future__ import annotations

import pytest

from client.operator_rows import validation_table
from client.playing import absolute, live_table, playback_table, whole
from client.rows import input_name
from protocol.care import Estimate, Problem, ValidationReply
from protocol.errors import ErrorCode
from protocol.live import LiveLink, LiveState, LiveView
from protocol.packaging import DrmSystem, ProtectionScheme
from protocol.playback import PlaybackDrm, PlaybackReply
from tests.unit.client_views import job

HERE, SOON = "http://h:8080", "2026-11-20T18:00:00Z"
HLS = "/files/s/x/hls/master.m3u8"
PLAIN = PlaybackReply(job_id="job_1", url=HLS, type="application/x", hls_url=HLS, dash_url=None, drm=None, expires_at=SOON)


def test_a_link_without_a_host_is_on_the_server_that_was_asked() -> None:
    assert [absolute("/files/x", f"{HERE}/"), absolute("https://cdn/x", HERE)] == [f"{HERE}/files/x", "https://cdn/x"]


def test_what_plays_is_told_with_what_there_is_beside_it() -> None:
    assert playback_table(whole(PLAIN, HERE)).rows == (
        ("link", HERE + HLS),
        ("type", "application/x"),
        ("hls", HERE + HLS),
        ("expires", SOON),
    )


def test_keys_and_licences_of_what_is_encrypted_are_links_too() -> None:
    drm = PlaybackDrm(
        scheme=ProtectionScheme.CBCS,
        systems=(DrmSystem.COMMON,),
        key_urls=("/key/1",),
        licence_urls={"clearkey": "/licence/clearkey"},
    )
    told = playback_table(whole(PLAIN.model_copy(update={"dash_url": "https://cdn/m.mpd", "drm": drm}), HERE)).rows

    assert told[3:-1] == (
        ("dash", "https://cdn/m.mpd"),
        ("encrypted", "cbcs for common"),
        ("key", f"{HERE}/key/1"),
        ("licence clearkey", f"{HERE}/licence/clearkey"),
    )


@pytest.mark.parametrize(
    ("live", "link", "rows"),
    [
        (
            LiveView(state=LiveState.WAITING, ingest_url="rtmp://h/live/k"),
            None,
            (("state", "waiting: nobody publishes yet"), ("publish to", "rtmp://h/live/k")),
        ),
        (
            LiveView(state=LiveState.STREAMING, seconds=4.0),
            LiveLink(url=HERE, expires_at=SOON),
            (("state", "streaming"), ("came in", "4.0 s"), ("watch", HERE), ("expires", SOON)),
        ),
    ],
)
def test_a_stream_tells_where_to_publish_then_where_to_watch(
    live: LiveView, link: LiveLink | None, rows: tuple[tuple[str, str], ...]
) -> None:
    assert live_table(live, link).rows == rows


@pytest.mark.parametrize(
    ("told", "name"),
    [({"protocol": "rtmp", "url": None}, "live:rtmp"), ({"protocol": "hls", "url": "https://h/l.m3u8"}, "live:https://h/l.m3u8")],
)
def test_the_input_of_a_stream_is_named_as_it_is_submitted(told: dict[str, str | None], name: str) -> None:
    assert input_name(job(input={"live": told})) == name


def test_a_look_at_an_input_tells_problems_warnings_and_what_it_would_take() -> None:
    reply = ValidationReply(
        valid=False,
        video_info=None,
        transcoding_options={"can_360p": True, "can_720p": False},
        problems=(Problem(code=ErrorCode.INPUT_FORMAT, message="no film"),),
        estimate=Estimate(seconds=12.0, bytes=3_000_000, is_measured=True),
        warnings=("720p is left out",),
    )

    assert validation_table(reply).rows == (
        ("fit", "no"),
        ("problem", "INPUT_FORMAT: no film"),
        ("can make", "360p"),
        ("estimate", "12.0 s of work, as measured here; 3.0 MB of outputs"),
        ("warning", "720p is left out"),
    )
