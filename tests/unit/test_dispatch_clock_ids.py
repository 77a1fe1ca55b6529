"""Fresh ids: as sortable as their moments, and all different."""

from __future__ import annotations

import re

from dispatch.clock import AT_ONCE, RandomIds


def test_ids_of_one_moment_differ() -> None:
    ids = RandomIds()

    made = {ids.new("job", 1_800_000_000.0) for _ in range(3 * AT_ONCE)}

    assert len(made) == 3 * AT_ONCE


def test_ids_sort_as_their_moments_do() -> None:
    ids = RandomIds()

    made = [ids.new("tsk", 1_800_000_000.0 + n / 1000) for n in range(50)]

    assert made == sorted(made)
    assert all(re.fullmatch(r"tsk_[0-9a-z]{21}", one) for one in made)
