"""The search for the CRF that reaches a target: by a curve that falls, by a noisy one, and where nothing reaches it."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.ffmpeg.measuring.search import MOST_PROBES, SCALES, TOLERANCE, Scale, Tried, answer, level, next_crf

X264 = SCALES["libx264"]
ENCODERS = st.sampled_from(sorted(SCALES))
TARGETS = st.floats(60, 98).map(lambda value: round(value, 1))


def vmaf_of(crf: float, missing: float, growth: float, bend: float) -> float:
    """As encoders do: what is missing to 100 grows ever faster with CRF, and not by quite the same share everywhere."""
    return max(0.0, 100 - missing * math.exp(growth * (crf - 23) + bend * (crf - 23) ** 2))


def searched(target: float, scale: Scale, first: float, score: dict[float, float] | None = None, **shape: float) -> list[Tried]:
    tried: list[Tried] = []
    while (crf := next_crf(target, tried, scale, first)) is not None:
        tried.append(Tried(crf, (score or {}).get(crf, 0.0) if score else vmaf_of(crf, **shape)))
    return tried


@given(target=st.floats(80, 97), missing=st.floats(1, 15), growth=st.floats(0.08, 0.25), bend=st.floats(-0.002, 0.002))
def test_a_falling_curve_is_met_closely_or_its_bound_is_told(target: float, **shape: float) -> None:
    tried = searched(target, X264, 23, None, **shape)

    found = answer(target, tried, X264)

    assert 1 <= len(tried) <= MOST_PROBES
    reached = vmaf_of(found.crf, **shape)
    assert abs(reached - target) <= 1.0 or found.crf in (X264.lowest, X264.highest)


@given(target=TARGETS, encoder=ENCODERS, data=st.data())
def test_whatever_is_scored_the_search_ends_inside_the_bounds(target: float, encoder: str, data: st.DataObject) -> None:
    scale = SCALES[encoder]
    tried: list[Tried] = []
    while (crf := next_crf(target, tried, scale, 30)) is not None:
        tried.append(Tried(crf, data.draw(st.floats(0, 100))))

    found = answer(target, tried, scale)

    crfs = [one.crf for one in tried]
    assert (len(crfs) <= MOST_PROBES, len(set(crfs))) == (True, len(crfs))
    assert all(scale.lowest <= crf <= scale.highest for crf in (*crfs, found.crf))
    assert 0 <= found.vmaf <= 100


@given(target=TARGETS, seen=st.lists(st.tuples(st.integers(10, 40), st.floats(0, 100)), min_size=1, max_size=4))
def test_the_same_probes_give_the_same_answer_in_any_order(target: float, seen: list[tuple[int, float]]) -> None:
    tried = [Tried(float(crf), vmaf) for crf, vmaf in dict(seen).items()]

    assert answer(target, tried, X264) == answer(target, tried[::-1], X264)


@given(seen=st.lists(st.tuples(st.integers(10, 40), st.floats(0, 100)), min_size=1, max_size=4))
def test_the_levelled_curve_never_rises_and_keeps_its_mean(seen: list[tuple[int, float]]) -> None:
    tried = [Tried(float(crf), vmaf) for crf, vmaf in dict(seen).items()]

    heights = [one.vmaf for one in level(tried)]

    assert all(left >= right - 1e-9 for left, right in itertools.pairwise(heights))
    assert sum(heights) == pytest.approx(sum(one.vmaf for one in tried))


def test_a_first_probe_that_is_near_enough_is_the_only_one() -> None:
    near = Tried(23, 93 + TOLERANCE)

    assert next_crf(93, [near], X264, 23) is None
    assert answer(93, [near], X264) == near


def test_a_target_that_nothing_reaches_ends_at_the_bound_as_it_was_scored() -> None:
    tried = searched(97, X264, 23, {crf / 10: 90.0 for crf in range(100, 401)})

    assert (answer(97, tried, X264), len(tried)) == (Tried(10, 90.0), 3)


def test_a_film_that_is_too_easy_ends_at_the_other_bound() -> None:
    tried = searched(80, X264, 23, {crf / 10: 99.0 for crf in range(100, 401)})

    assert answer(80, tried, X264) == Tried(40, 99.0)


def test_probes_on_either_side_are_joined_by_a_line() -> None:
    assert answer(93, [Tried(20, 95), Tried(24, 91)], X264) == Tried(22.3, 92.99)


def test_an_encoder_of_whole_numbers_gets_whole_numbers() -> None:
    tried = searched(93, SCALES["libsvtav1"], 35, missing=5, growth=0.06, bend=0.0)

    assert all(one.crf == int(one.crf) for one in tried)
