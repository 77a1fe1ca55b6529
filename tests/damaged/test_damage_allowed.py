"""What a damaged film gives is published where its client wants that: all of a length, decodable, with a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.shell.sandbox import Sandboxing
from protocol.errors import ErrorCode
from tests.damaged.films import FILMS, SECONDS
from tests.damaged.measured import length_of
from tests.hostile.cases import VALID
from tests.hostile.detectors import baited
from tests.hostile.trial import ranged

BY_NAME = {film.name: film for film in FILMS}
CUT = ("mp4 cut at 50 %", "mkv cut at 65 %")
AGREE_S = 0.3


@pytest.mark.parametrize("name", CUT)
async def test_a_cut_film_is_refused_and_published_with_a_warning_where_that_is_wanted(name: str, tmp_path: Path) -> None:
    content = BY_NAME[name].make()
    (tmp_path / "damaged").write_bytes(content)
    decoded = length_of(tmp_path / "damaged").decoded

    async with baited(tmp_path) as bait, ranged(bait, tmp_path / "scratch", Sandboxing(tier=1)) as where:
        refused = await where.judged(content, "film.mp4", sound=False)
        staged_of_refused = [path for path in where.dispatch.files if path.startswith("staging/")]
        verdict = await where.judged(content, "film.mp4", sound=False, allows_damage=True)
        staged = {path.split("/", 2)[2]: body for path, body in where.dispatch.files.items() if path.startswith("staging/")}

    assert (refused.code, staged_of_refused, refused.warnings) == (ErrorCode.INPUT_CORRUPT, [], ())
    assert (verdict.code, verdict.faults) == (VALID, ()), verdict.failure
    told = [one for one in verdict.warnings if one.startswith("The picture should end at 4.00 s, but decodes to ")]
    assert len(told) == 1, verdict.warnings
    found = float(told[0].removeprefix("The picture should end at 4.00 s, but decodes to ").partition(" s")[0])
    (tmp_path / "film.mp4").write_bytes(b"".join(body for path, body in staged.items() if path.endswith(".mp4")))
    (tmp_path / "joined.ts").write_bytes(b"".join(body for path, body in sorted(staged.items()) if path.endswith(".ts")))
    ends = [length_of(tmp_path / made).decoded for made in ("film.mp4", "joined.ts")]
    assert ends == [pytest.approx(found, abs=AGREE_S)] * 2
    assert (found == pytest.approx(decoded, abs=AGREE_S), found < SECONDS - 1) == (True, True)


async def test_what_has_no_index_is_refused_all_the_same(tmp_path: Path) -> None:
    async with baited(tmp_path) as bait, ranged(bait, tmp_path / "scratch", Sandboxing(tier=1)) as where:
        verdict = await where.judged(BY_NAME["last cut at 50 %"].make(), "film.mp4", sound=False, allows_damage=True)

    assert (verdict.code, verdict.stage, verdict.faults) == (ErrorCode.INPUT_CORRUPT, "analyze", ())


async def test_a_strict_look_at_a_damaged_film_warns_where_damage_is_allowed(tmp_path: Path) -> None:
    content = BY_NAME["mkv cut at 65 %"].make()

    async with baited(tmp_path) as bait, ranged(bait, tmp_path / "scratch", Sandboxing(tier=1)) as where:
        refused = await where.judged(content, "film.mkv", sound=False, strict=True)
        allowed = await where.judged(content, "film.mkv", sound=False, strict=True, allows_damage=True)

    assert (refused.code, refused.stage) == (ErrorCode.INPUT_CORRUPT, "analyze")
    assert (allowed.code, allowed.warnings[0].startswith("The file is ")) == (VALID, True), allowed
