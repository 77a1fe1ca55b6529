"""The detectors live: a naive command line trips them with the same files."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.corpus import named
from tests.hostile.detectors import baited
from tests.hostile.ground import furnish
from tests.hostile.naive import BY_FILE, BY_NAME, by_file, by_name

LEAST = 8


async def test_a_naive_command_line_trips_at_least_eight(tmp_path: Path) -> None:
    slips = []
    outside = tmp_path / "outside"
    furnish(outside)
    for name in BY_FILE:
        case = named(name)
        async with baited(outside) as bait:
            (outside / case.filename).write_bytes(case.make(bait.ground))
        async with baited(outside) as bait:
            slips.append(await by_file(case, outside, bait, tmp_path / "out.mp4"))
        (outside / case.filename).unlink()
    async with baited(outside) as bait:
        slips.extend([await by_name(name, outside, bait, tmp_path / "out.mp4") for name in BY_NAME])

    tripped = [slip for slip in slips if slip.trips]
    assert len(tripped) >= LEAST, slips
    assert {"opened", "connected", "short"} <= set().union(*(slip.trips for slip in tripped)), slips
