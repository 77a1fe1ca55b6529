"""The log of an engine whose dispatch is away: few lines, whatever the number of calls."""

from __future__ import annotations

from structlog.testing import capture_logs

from engine.ports import Unreachable
from engine.shell.silence import Silence

REFUSED = Unreachable("heartbeat: connection refused")


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def outage(seconds: int) -> list[dict[str, object]]:
    """What the log has of an outage in which a call fails every second, and of its end."""
    clock = Clock()
    silence = Silence(clock)
    with capture_logs() as logs:
        for _ in range(seconds):
            silence.unanswered(REFUSED)
            clock.time += 1.0
        silence.answered()
    return [dict(line) for line in logs]


def test_an_outage_is_told_when_it_begins_and_when_it_is_over() -> None:
    assert outage(26) == [
        {
            "event": "dispatch_unanswered",
            "log_level": "warning",
            "problem": "heartbeat: connection refused",
            "advice": "is it running, and is --server right?",
        },
        {"event": "dispatch_answers_again", "log_level": "info", "silent_s": 26, "calls": 26},
    ]


def test_reminders_of_an_outage_come_ever_more_seldom() -> None:
    reminders = [line["silent_s"] for line in outage(3600) if line["event"] == "dispatch_still_silent"]

    assert reminders == [60, 180, 420, 900, 1860]


def test_a_day_without_dispatch_is_a_page_of_log() -> None:
    assert len(outage(86_400)) < 35


def test_answers_without_an_outage_say_nothing_and_the_next_outage_is_told_anew() -> None:
    silence = Silence(Clock())
    with capture_logs() as logs:
        silence.answered()
        silence.unanswered(REFUSED)
        silence.answered()
        silence.unanswered(REFUSED)

    assert [line["event"] for line in logs] == ["dispatch_unanswered", "dispatch_answers_again", "dispatch_unanswered"]
