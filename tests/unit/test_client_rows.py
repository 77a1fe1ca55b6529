"""Tables made of what the server answers."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from client.made import made_table
from client.operator_rows import engine_facts, engine_table
from client.rows import fault_table, job_table, link_table
from client.table import Table, lines, size, span
from protocol.admin import EnginePage
from protocol.capabilities import Capabilities, Device, EncoderSpeed, Load, Slots
from protocol.jobs import JobPage, OutputLink, OutputsReply
from protocol.states import AttemptState, EngineState, JobState
from tests.unit.client_views import attempt, engine, job


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (2 * 10**15, "2000.0 TB"),
    ],
)
def test_sizes_for_people(count: int | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (185.0, "3 min 05 s"), (7_290.0, "2 h 01 min")],
)
def test_spans_for_people(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_columns_are_aligned_and_nothing_is_cut() -> None:
    assert lines(Table(("A", "LONG HEADER"), (("a long cell", "1"), ("b", "-")))) == [
        "A            LONG HEADER",
        "a long cell  1",
        "b            -",
    ]


def test_an_empty_table_is_its_headers() -> None:
    assert lines(Table(("A", "B"), ())) == ["A  B"]


def test_jobs_as_a_table_with_nothing_a_terminal_would_obey() -> None:
    view = job(JobState.TRANSCODING, progress_percent=41.6, input={"path": "/x/\x1b]0;owned\x07\n.mp4"})
    page = JobPage(jobs=(view,), total_count=1, total=1, limit=50, offset=0, next_cursor=None, next_page_url=None)

    assert job_table(page).rows == (("job_01", "processing", "42 %", "web", "5", "2026-11-20T06:00:00Z", "/x/ ]0;owned .mp4"),)


def test_what_a_job_made_is_found_wherever_it_stands() -> None:
    video: dict[str, JsonValue] = {
        "path": "360p/video_360p.mp4",
        "size_bytes": 1500,
        "resolution": "640x360",
        "codec": "h264",
        "bitrate": 600_400,
    }

    stream: dict[str, JsonValue] = {
        "hls_url": "/api/v1/jobs/job_1/files/360p/segments/playlist.m3u8",
        "total_segments_size_bytes": 7,
    }

    assert made_table(
        {
            "360p": {"video": video, "streaming": stream},
            "audio": {"path": "audio/audio.mp3", "size_bytes": 10, "bitrate": 192_000},
            "thumbnails": {
                "custom": None,
                "auto_generated": [{"position_percent": 0, "path": "thumbnails/thumb_00.jpg", "size_bytes": 9}],
            },
            "transcription": None,
            "metadata_json": {"url": "/x/metadata.json", "path": "metadata.json"},
        }
    ).rows == (
        ("360p", "640x360", "h264", "600 kb/s", "1.5 kB", "360p/video_360p.mp4"),
        ("360p streaming", "-", "-", "-", "7 B", "360p/segments/playlist.m3u8"),
        ("audio", "-", "-", "192 kb/s", "10 B", "audio/audio.mp3"),
        ("thumbnails 0 %", "-", "-", "-", "9 B", "thumbnails/thumb_00.jpg"),
    )


@pytest.mark.parametrize("told", ["/files/s/abc.1/x.mp4", "http://farm:8080/files/s/abc.1/x.mp4"])
def test_a_link_can_be_passed_on_as_it_stands(told: str) -> None:
    link = OutputLink(path="x.mp4", role="rendition", rendition=None, size_bytes=5, sha256="0" * 64, url=told)
    reply = OutputsReply(job_id="job_a", expires_at="2027-01-15T08:00:00.000Z", files=(link,))

    assert link_table(reply, "http://farm:8080").rows == (("x.mp4", "rendition", "5 B", "http://farm:8080/files/s/abc.1/x.mp4"),)


def test_an_engine_that_is_busy_says_with_what_and_one_that_is_away_nothing_that_is_no_longer_so() -> None:
    load = Load(cpu_percent=97.4, busy=("cpu", "disk"))
    slots = Slots(encoding=4, light=2, free_encoding=1, free_light=2)
    here = engine(state=EngineState.BUSY, load=load, slots=slots)
    gone = engine(state=EngineState.LOST, load=load, slots=slots)
    page = EnginePage(engines=(here, gone), total_count=2, total=2, limit=50, offset=0)

    table = engine_table(page)

    assert table.headers == ("ENGINE", "NAME", "STATE", "SLOTS", "RUNNING", "CPU", "VERSION", "LAST SEEN", "TAGS")
    assert table.rows == (
        ("eng_01", "box", "busy (cpu disk)", "3/4", "0", "97 %", "1.2.3", "2026-11-20T06:00:00Z", "-"),
        ("eng_01", "box", "lost", "-", "0", "-", "1.2.3", "2026-11-20T06:00:00Z", "-"),
    )


def test_an_engine_s_page_names_its_gpus_and_what_each_can_encode() -> None:
    devices = (Device(index="0", name="A10", encoders=("h264_nvenc",)), Device(index="1", name="A10"))

    facts = {row[0]: row[1] for row in engine_facts(engine(capabilities=Capabilities(devices=devices))).rows}

    assert (facts["GPU 0"], facts["GPU 1"]) == ("A10: h264_nvenc", "A10: no encoder works")
    assert (facts["slots"], facts["busy with"]) == ("1 encoding, 0 GPU, 2 light", "-")


def test_an_engine_s_page_tells_how_fast_it_encodes() -> None:
    speeds = (EncoderSpeed(encoder="h264_nvenc", height=1080, fps=412.349), EncoderSpeed(encoder="libx264", height=720, fps=9.0))

    rows = engine_facts(engine(capabilities=Capabilities(speeds=speeds))).rows

    assert [row for row in rows if row[0].startswith("speed")] == [
        ("speed h264_nvenc 1080p", "412.3 frames/s"),
        ("speed libx264 720p", "9.0 frames/s"),
    ]


def test_attempts_that_came_to_nothing_are_told_with_their_reason() -> None:
    view = job(
        attempts=(attempt(7, AttemptState.FAILED, error="The minder of the tool was killed."), attempt(8, AttemptState.DONE))
    )

    assert fault_table(view).rows == (("transcode 7", "eng_01", "-", "The minder of the tool was killed."),)
