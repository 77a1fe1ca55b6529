"""Settings side by side: each encodes the same piece of the film, and their files are told with size, time and scores.

The schema of `report.json`: `version` 1, `sample` {start_seconds, seconds}, `settings` [{name, path, codec, encoder, preset,
crf, target_bitrate, width, height, size_bytes, bitrate, encode_seconds, encode_fps, psnr, ssim, vmaf, arguments}] in the order
of the profile, and `pairs` [{between, smaller_at_equal_quality, why}].
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any

from plugins.ffmpeg.measuring import windows
from plugins.ffmpeg.measuring.scoring import Look, score
from plugins.ffmpeg.measuring.subject import Sample, Subject, encodes, sample
from plugins.media import scores
from plugins.media.lengths import output_rate
from protocol.extras import Metric
from protocol.plugins import Invocation, Outcome
from protocol.recipes import PlannedRendition
from protocol.results import FileRole, OutputFacts

ENCODE, SCORE = "compare-encode", "compare-score"
ALL = (Metric.PSNR, Metric.SSIM, Metric.VMAF)

EQUAL_VMAF = 0.5
"""Nobody sees a difference of so little: such files are of equal quality."""

Setting = Mapping[str, Any]  # one entry of `settings`, as JSON has it


def invocations(subject: Subject) -> tuple[Invocation, ...]:
    """One process for each setting, so that its time is its own; then its scores."""
    if not subject.recipe.compare:
        return ()
    place = spot(subject)
    return tuple(one for planned in subject.recipe.compare for one in _setting(subject, place, planned))


def spot(subject: Subject) -> Sample:
    return sample(subject, windows.middle(subject.duration, subject.rate, Fraction(subject.recipe.sample_seconds)))


def _setting(subject: Subject, spot: Sample, planned: PlannedRendition) -> tuple[Invocation, ...]:
    recipe, name = spot.of(planned), planned.rendition.name
    scored = score(subject.ffmpeg, recipe, [Look(planned)], ALL, subject.threads)
    return (
        *encodes(subject, spot, recipe, f"{ENCODE}:{name}"),
        subject.invocation(f"{SCORE}:{name}", scored, (spot.path,)),
    )


def report(subject: Subject, done: Mapping[str, Outcome], sizes: Mapping[str, int]) -> tuple[bytes, dict[str, OutputFacts]]:
    """The report, and what each sample's file is."""
    place, window = spot(subject), windows.middle(subject.duration, subject.rate, Fraction(subject.recipe.sample_seconds))
    settings = [_told(place, planned, done, sizes[planned.path]) for planned in subject.recipe.compare]
    pairs = [pair(one, other) for one, other in combinations(settings, 2)]
    about = {"start_seconds": round(float(window.start), 3), "seconds": round(float(place.seconds), 3)}
    whole = {"version": 1, "sample": about, "settings": settings, "pairs": pairs}
    facts = {setting["path"]: _facts(setting, place) for setting in settings}
    return (json.dumps(whole, indent=1) + "\n").encode(), facts


def _told(spot: Sample, planned: PlannedRendition, done: Mapping[str, Outcome], size: int) -> dict[str, Any]:
    name, rate = planned.rendition.name, planned.spends
    encode, seconds = f"{ENCODE}:{name}", float(spot.seconds)
    took = sum(one.wall_seconds for key, one in done.items() if key == encode or key.startswith(f"{encode}:"))
    video = spot.recipe.source.video
    frames = seconds * float(Fraction(planned.frame_rate) if planned.frame_rate else output_rate(video) if video else 0)
    told = scores.read(done[f"{SCORE}:{name}"].stderr_tail, name, ALL) or scores.Score()
    return {
        "name": name,
        "path": planned.path,
        "codec": planned.rendition.codec.value,
        "encoder": planned.encoder,
        "preset": planned.preset.value,
        "crf": rate.crf,
        "target_bitrate": rate.bitrate,
        "width": planned.width,
        "height": planned.height,
        "size_bytes": size,
        "bitrate": round(size * 8 / seconds),
        "encode_seconds": round(took, 3),
        "encode_fps": round(frames / took, 2) if took else None,
        "psnr": told.psnr,
        "ssim": told.ssim,
        "vmaf": told.vmaf,
        "arguments": list(_arguments(done[encode].invocation.argv)),
    }


def _arguments(argv: Sequence[str]) -> Sequence[str]:
    """Those of the picture's encoder: from its name to the next output option that is not its own."""
    start = argv.index("-c:v") if "-c:v" in argv else len(argv)
    end = next((n for n in range(start, len(argv)) if argv[n] == "-fps_mode"), len(argv))
    return argv[start:end]


def pair(one: Setting, other: Setting) -> dict[str, Any]:
    """Which is smaller at equal quality, where the two files show it; one that is larger and better shows nothing."""
    first, second = sorted((one, other), key=lambda each: (each["size_bytes"], each["name"]))
    between = [one["name"], other["name"]]
    if first["vmaf"] is None or second["vmaf"] is None:
        return {"between": between, "smaller_at_equal_quality": None, "why": "there are no scores"}
    gain = second["vmaf"] - first["vmaf"]
    if gain > EQUAL_VMAF:
        why = f"{second['name']} is larger and {gain:.1f} points of VMAF better: try them at rates where they score alike"
        return {"between": between, "smaller_at_equal_quality": None, "why": why}
    saved = 100 * (1 - first["size_bytes"] / second["size_bytes"])
    quality = "as good" if gain >= -EQUAL_VMAF else f"{-gain:.1f} points of VMAF better"
    why = f"{first['name']} takes {saved:.1f} % less and is {quality}"
    return {"between": between, "smaller_at_equal_quality": first["name"], "why": why}


def _facts(setting: Setting, spot: Sample) -> OutputFacts:
    picture = {key: setting[key] for key in ("codec", "width", "height", "bitrate", "psnr", "ssim", "vmaf")}
    return OutputFacts(role=FileRole.SAMPLE, rendition=setting["name"], duration=round(float(spot.seconds), 6), **picture)
