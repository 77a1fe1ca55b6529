"""Where the time of a job went, by its record."""

from __future__ import annotations

import pytest

from bench.record import Finished, parts

ENCODE = {
    "tool": "ffmpeg",
    "argv": ["ffmpeg", "-progress", "pipe:1", "-filter_complex", "x"],
    "wall_seconds": 5.0,
    "cpu_seconds": 9.0,
}
PROBE = {"tool": "ffprobe", "argv": ["ffprobe"], "wall_seconds": 0.25, "cpu_seconds": 0.25}
CHECK = {"tool": "ffmpeg", "argv": ["ffmpeg", "-f", "null"], "wall_seconds": 0.5, "cpu_seconds": 0.5}
ATTEMPTS = [
    {"kind": "analyze", "started_at": "1970-01-01T00:01:40.500Z", "ended_at": "1970-01-01T00:01:41.000Z"},
    {"kind": "transcode", "started_at": "1970-01-01T00:01:41.125Z", "ended_at": "1970-01-01T00:01:47.500Z"},
]
JOB = Finished(
    sent=100.0, done=108.0, view={"attempts": ATTEMPTS}, cpu=0.25, tools=(PROBE, ENCODE, CHECK), staged=(106.75, 107.0, 107.25)
)


def test_the_parts_of_a_job_are_told_apart() -> None:
    assert parts(JOB) == {
        "accept, grant": 0.5,
        "analyze: tools": 0.25,
        "analyze: fetch, report": 0.25,
        "grant the transcode": 0.125,
        "fetch": 0.125,
        "encode": 5.0,
        "verify": 0.5,
        "upload": 0.5,
        "report": 0.25,
        "publish": 0.5,
    }


def test_the_parts_of_a_job_add_up_to_the_whole() -> None:
    assert sum(parts(JOB).values()) == JOB.wall


def test_the_cpu_of_a_job_holds_its_tools() -> None:
    assert JOB.cpu_with_tools == 10.0


def test_a_job_that_was_tried_twice_tells_no_time() -> None:
    again = Finished(JOB.sent, JOB.done, {"attempts": [ATTEMPTS[0], *ATTEMPTS]}, JOB.cpu, JOB.tools, JOB.staged)

    with pytest.raises(ValueError, match="too many values"):
        parts(again)
