"""Which rungs a film does not need, which windows stand for it, and what the scoring filters say."""

from __future__ import annotations

import itertools
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from plugins.ffmpeg.measuring.rungs import Rung, drop
from plugins.ffmpeg.measuring.windows import Window, frames, middle, spread
from plugins.media import scores
from plugins.media.scores import Score
from protocol.extras import Metric

ALL = (Metric.PSNR, Metric.SSIM, Metric.VMAF)
RATES = st.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(60)])
SAID = """\
[info] Input #0, mov, from 'fd:':
[info]     title           : x
                    : [libvmaf@made @ 0x1] [info] VMAF score: 99
[mov @ 0x5] [error] the bytes are odd
[ssim@made @ 0x7f6a54004180] [info] SSIM Y:0.937528 (12.043131) U:0.93 (11.5) V:0.92 (11.1) All:0.930309 (11.568224)
[psnr@made @ 0x7f6a54003bc0] [info] PSNR y:32.989511 u:32.0 v:31.2 average:32.022459 min:30.682042 max:36.233123
[libvmaf@made @ 0x7f6a540036c0] [info] VMAF score: 71.348963
"""


def rungs(*vmafs: float, codec: str = "h264") -> list[Rung]:
    return [Rung(f"{codec}{n}", codec, 100 * (n + 1), vmaf) for n, vmaf in enumerate(vmafs)]


def names(dropped: tuple[object, ...]) -> list[str]:
    return [one.rendition for one in dropped]  # type: ignore[attr-defined]  # they are DroppedRungs


def test_a_rung_that_adds_too_little_over_the_one_that_stays_below_it_is_dropped() -> None:
    dropped = drop(rungs(60, 80, 82, 82.5, 90), 3)

    assert names(dropped) == ["h2642", "h2643"]
    assert dropped[0].reason == ("this film does not need it: it gains 2.0 points of VMAF over h2641, and 3 are asked for")


def test_each_codec_is_weighed_for_itself() -> None:
    assert drop([*rungs(60, 80), *rungs(61, 81, codec="hevc")], 3) == ()


@given(vmafs=st.lists(st.floats(0, 100), min_size=1, max_size=8), gain=st.floats(0.1, 20))
def test_the_smallest_stays_and_what_stays_gains_enough(vmafs: list[float], gain: float) -> None:
    ladder = rungs(*vmafs)

    gone = set(names(drop(ladder, gain)))

    kept = [rung for rung in ladder if rung.name not in gone]
    assert kept[0] == ladder[0]
    assert all(upper.vmaf - lower.vmaf >= gain for lower, upper in itertools.pairwise(kept))
    assert names(drop(kept, gain)) == []


@given(duration=st.fractions(1, 90_000, max_denominator=1000), rate=RATES)
def test_windows_lie_in_the_film_apart_on_its_grid(duration: Fraction, rate: Fraction) -> None:
    found = spread(duration, rate)

    assert 1 <= len(found) <= 4
    assert all(Fraction(0) <= one.start < one.end <= duration and (one.start * rate).denominator == 1 for one in found)
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))


@given(duration=st.fractions(1, 90_000, max_denominator=1000), rate=RATES, seconds=st.integers(1, 3600))
def test_a_sample_of_frames_holds_the_seconds_that_were_asked_for(duration: Fraction, rate: Fraction, seconds: int) -> None:
    found = frames(duration, rate, seconds)

    if duration <= seconds:
        assert found == ()
    else:
        held = sum(last - first + 1 for first, last in found)
        assert abs(held - seconds * rate) <= len(found)
        assert all(before[1] < after[0] for before, after in itertools.pairwise(found))


def test_the_window_for_settings_is_one_piece_around_a_third() -> None:
    assert middle(Fraction(90), Fraction(25), Fraction(10)) == Window(Fraction(25), Fraction(35))
    assert middle(Fraction(7), Fraction(25), Fraction(10)) == Window(Fraction(0), Fraction(7))


def test_scores_are_read_from_the_filters_words_alone() -> None:
    assert scores.read(SAID, "made", ALL) == Score(psnr=32.0225, ssim=0.9303, vmaf=71.349)
    assert scores.read(SAID.replace("[libvmaf@made @ 0x7f", "[h264 @ 0x7f"), "made", ALL) is None
    assert scores.read(SAID, "mad", ALL) is None


def test_no_difference_is_told_as_a_number() -> None:
    assert scores.read(SAID.replace("average:32.022459", "average:inf"), "made", (Metric.PSNR,)) == Score(psnr=100.0)


def test_only_errors_are_left_for_the_verdict() -> None:
    assert scores.errors_only(SAID) == "[mov @ 0x5] [error] the bytes are odd"


def test_pictures_for_larger_screens_are_judged_by_their_model() -> None:
    graph = scores.lines(scores.Pair("2160p-x", "a", "b", (3840, 2160)), (Metric.VMAF,), 2)

    assert graph[-1] == "[a_0][b_0]libvmaf@2160p-x=model=version=vmaf_4k_v0.6.1:n_threads=2:shortest=1[a_score0]"
    assert scores.names(";".join(graph)) == ("2160p-x",)
