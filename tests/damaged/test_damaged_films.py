"""No output is published that is shorter than its film claims to be, or than what decodes of it; and FFmpeg's exit code
alone would let many through."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from engine.shell.sandbox import Sandboxing
from protocol.errors import FailureClass
from tests.damaged.films import FILMS, SECONDS, Damaged
from tests.damaged.measured import length_of, naive
from tests.hostile.cases import VALID
from tests.hostile.detectors import baited
from tests.hostile.trial import Range, Verdict, ranged

SLACK_S = 0.5
"""A promise is 0.1 s or two frames; at ten frames a second and with sound that ends on groups of frames, this is near it."""

LEAST_FOOLED = 5
"""So many of a third of the films a plain FFmpeg ends with 0 and with less than they claim: else they would prove nothing."""


async def tried(content: bytes, where: Range) -> tuple[Verdict, dict[str, bytes]]:
    verdict = await where.judged(content, "film.mp4", sound=False)
    staged = {path.split("/", 2)[2]: body for path, body in where.dispatch.files.items() if path.startswith("staging/")}
    return verdict, staged


def shortest(staged: dict[str, bytes], directory: Path) -> float:
    """Of the MP4, the joined segments and the MP3, as far as they decode."""
    parts = {
        "film.mp4": b"".join(body for path, body in staged.items() if path.endswith(".mp4")),
        "segments.ts": b"".join(body for path, body in sorted(staged.items()) if path.endswith(".ts")),
    }
    lengths = []
    for name, body in parts.items():
        (directory / name).write_bytes(body)
        lengths.append(length_of(directory / name).decoded)
    return min(lengths)


def _sliced() -> list[ParameterSet]:
    """Every sixth in every run."""
    return [pytest.param(film, marks=() if n % 6 == 0 else pytest.mark.trust) for n, film in enumerate(FILMS)]


@pytest.mark.parametrize("film", _sliced(), ids=lambda film: film.name)
async def test_what_is_published_of_a_damaged_film_is_whole(film: Damaged, tmp_path: Path) -> None:
    content = film.make()
    (tmp_path / "damaged").write_bytes(content)
    is_told = length_of(tmp_path / "damaged")

    async with baited(tmp_path) as bait, ranged(bait, tmp_path / "scratch", Sandboxing(tier=1)) as where:
        verdict, staged = await tried(content, where)

    if verdict.code == VALID:
        assert shortest(staged, tmp_path) >= min(SECONDS, max(is_told.told, is_told.decoded)) - SLACK_S, is_told
    else:
        assert (verdict.failure and verdict.failure.failure_class, staged) == (FailureClass.INPUT, {}), verdict


def test_a_plain_command_line_is_content_with_many_of_them(tmp_path: Path) -> None:
    fooled = 0
    for number, film in enumerate(FILMS[::3]):
        file, target = tmp_path / f"{number}.in", tmp_path / f"{number}.mp4"
        file.write_bytes(film.make())
        told = min(SECONDS, length_of(file).told)
        fooled += naive(file, target) and length_of(target).decoded < told - SLACK_S

    assert fooled >= LEAST_FOOLED
    assert len(FILMS) == 60
