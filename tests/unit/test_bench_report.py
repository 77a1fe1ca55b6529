"""How the benches judge and tell their figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.cache import root
from bench.machine import Machine
from bench.media import separate
from bench.report import BEGIN, END, Run, as_json, as_markdown, lines, with_bench, with_figures
from bench.rows import Row, is_met
from protocol.media import AudioStream, MediaFacts, VideoStream
from tests.ffmpeg_recipes import web

MACHINE = Machine("a processor", 2, 8 << 30, "6.1", "3.11.2", "3.40.1", "7.1", (0.1, 0.2, 0.3))
FAST, SLOW = Row("ratio", 1.02, "", "<= 1.05"), Row("jobs", 1200.0, "jobs/s", ">= 2500, aim 5000")
ABSENT = Row("peers", None, "", note="cannot be installed: no | network")
RUN = Run(datetime(2026, 3, 4, 5, 6, tzinfo=UTC), MACHINE, {"one": (FAST, SLOW), "two": (ABSENT,)}, {"one": 3.0, "two": 0.5})


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (FAST, True),
        (SLOW, False),
        (Row("at the limit", 2500, "", ">= 2500, aim 5000"), True),
        (Row("above", 1.051, "", "<= 1.05"), False),
        (Row("no number to hold it against", 3.0, "s", "seconds"), None),
        (Row("not measured", None, "", "<= 1.05"), None),
        (Row("no target", 3.0, "s"), None),
    ],
)
def test_a_figure_is_held_against_the_number_in_its_target(row: Row, met: bool | None) -> None:
    assert is_met(row) is met


def test_the_json_tells_machine_rows_and_what_could_not_run() -> None:
    told = json.loads(as_json(RUN))

    assert told["machine"]["cpu"] == "a processor"
    assert [(row["bench"], row["name"], row["value"], row["met"]) for row in told["rows"]] == [
        ("one", "ratio", 1.02, True),
        ("one", "jobs", 1200.0, False),
        ("two", "peers", None, None),
    ]


def test_the_table_of_the_page_is_replaced_and_nothing_else() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"

    assert with_figures(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert with_figures(with_figures(page, "new"), "newer") == with_figures(page, "newer")


def test_one_bench_is_put_beside_the_others_and_replaced_by_its_next_run() -> None:
    page = f"before\n{BEGIN}\n\nall\n\n### one\n\nold\n\n### three\n\nkept\n\n{END}\nafter\n"

    replaced = with_bench(page, RUN, "one")
    added = with_bench(replaced, RUN, "two")

    headings = [line for line in added.splitlines() if line.startswith("### ")]
    assert headings == ["### one", "### three", "### two"]
    assert ("old" in added, "kept" in added, "| ratio |" in added, "2026-03-04" in added) == (False, True, True, True)
    assert added.endswith(f"{END}\nafter\n")
    assert with_bench(added, RUN, "two") == added


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="the page has no"):
        with_bench("a page", RUN, "one")
    with pytest.raises(ValueError, match="the page has no"):
        with_figures("nothing here", "new")


def test_a_bar_in_a_note_does_not_break_the_table() -> None:
    assert "| peers | - |  |  |  | cannot be installed: no \\| network |" in as_markdown(RUN).splitlines()


def test_a_target_that_is_missed_stands_out_in_the_terminal() -> None:
    assert [line.split()[-1] for line in lines((FAST, SLOW))] == ["yes", "NO"]


def test_a_busy_machine_is_told_beside_its_figures() -> None:
    busy = Run(RUN.at, Machine("a processor", 2, 8 << 30, "6.1", "3.11.2", "3.40.1", "7.1", (1.0, 1.0, 1.0)), {}, {})

    assert "BUSY" in as_markdown(busy)
    assert "BUSY" not in as_markdown(RUN)


def test_the_cache_lies_where_the_environment_says() -> None:
    assert root({"XDG_CACHE_HOME": "/var/cache"}) == Path("/var/cache/reelyard")
    assert root({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache/reelyard"


def test_separate_runs_make_every_output_of_the_ladder_once() -> None:
    picture = VideoStream(index=0, codec="h264", width=1920, height=1080, coded_width=1920, coded_height=1080, frame_rate="24")
    sound = AudioStream(index=1, codec="aac", channels=2, sample_rate=48000)
    recipe = web(
        MediaFacts(container="mp4", duration="60", size_bytes=1000, bitrate=None, streams=2, video=picture, audio=(sound,))
    )

    alone = separate(recipe)

    assert list(alone) == ["360p", "720p", "audio", "thumbnails"]
    assert tuple(planned for one in alone.values() for planned in one.renditions) == recipe.renditions
    assert [name for name, one in alone.items() if one.audio == recipe.audio] == ["audio"]
    assert [name for name, one in alone.items() if one.thumbnails == recipe.thumbnails] == ["thumbnails"]
