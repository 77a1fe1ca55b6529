"""What a film holds: cuts, black, silence, chapters, found in one decode at reduced size and told as JSON.

The schema of `content.json`, all times in seconds of the film as it is published: `version` 1, `duration_seconds`, and of
`scenes` [{at, score}], `black` [{start, end}], `silence` [{start, end}], `chapters` [{start, end, title}] those asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from plugins.ffmpeg.measuring.subject import Stretch, Subject, opening, talking
from plugins.media.calling import text
from protocol.media import MediaFacts
from protocol.plugins import Invocation
from protocol.recipes import MeasureRecipe

CONTENT, TOLD = "content", "content-told"
LINES = 180
"""Pictures are looked at with so many lines at the most."""

SCENE_THRESHOLD, LEAST_BLACK_S, LEAST_SILENCE_S, SILENCE = 10, 0.2, 0.5, 0.001
"""scdet's own; a black picture or silence that is shorter is a blink, and below -60 dB nothing is heard."""

TOUCHING = 0.05
"""Intervals no further apart than this many seconds are one: where parts of a film meet."""

_PAIR = re.compile(r"^lavfi\.([a-z_.]+)=(-?[0-9.]+)$", re.MULTILINE)

Interval = tuple[float, float]


def invocations(subject: Subject) -> tuple[Invocation, ...]:
    """Each input is gone through once, and what was found is read."""
    if subject.recipe.content is None:
        return ()
    return tuple(one for n, stretch in enumerate(subject.stretches) for one in _looking(subject, stretch, n))


def _looking(subject: Subject, stretch: Stretch, number: int) -> tuple[Invocation, ...]:
    chains = _chains(subject.recipe, stretch, number)
    if not chains:
        return ()
    maps = [word for name in chains for word in ("-map", f"[{name}]", "-f", "null", "-")]
    argv = (*talking(opening(subject)), "-filter_complex", ";".join(chains.values()), *maps)
    tellings = (Invocation(name=f"{TOLD}:{number}:{name}", argv=text(subject.ffmpeg, _file(number, name))) for name in chains)
    return (subject.invocation(f"{CONTENT}:{number}", argv, (stretch.path,)), *tellings)


def _chains(recipe: MeasureRecipe, stretch: Stretch, number: int) -> Mapping[str, str]:
    """One chain for each thing that is looked for and can be there, by its name, which is its output's label."""
    content, video = recipe.content, stretch.facts.video
    found: dict[str, str] = {}
    if content is None:
        return {}
    begin, end = f"{float(stretch.start):.6f}", f"{float(stretch.end):.6f}"
    cut, moved = f"start={begin}:end={end}", f"PTS-{begin}/TB"
    if video is not None and (content.scenes or content.black):
        found |= {
            "scenes": f"scdet=threshold={SCENE_THRESHOLD},split[cuts],metadata=mode=select:key=lavfi.scd.time,"
            f"{_print('', number, 'scenes')},nullsink;[cuts]null",
            "black": f"blackdetect=d={LEAST_BLACK_S},{_print('', number, 'black')}",
        }
        found = {name: f"[{name}i]{chain}[{name}]" for name, chain in found.items() if getattr(content, name)}
        ends = "".join(f"[{name}i]" for name in found)
        scale = f"scale=w=-2:h='min({LINES},ih)':flags=fast_bilinear"
        head = f"[0:{video.index}]trim={cut},setpts={moved},{scale},format=yuv420p,split={len(found)}{ends}"
        first = next(iter(found))
        found[first] = f"{head};{found[first]}"
    if content.silence and stretch.facts.audio:
        head = f"[0:{stretch.facts.audio[0].index}]atrim={cut},asetpts={moved}"
        found["silence"] = f"{head},silencedetect=n={SILENCE}:d={LEAST_SILENCE_S},{_print('a', number, 'silence')}[silence]"
    return found


def _print(kind: str, number: int, name: str) -> str:
    return f"{kind}metadata=mode=print:file={_file(number, name)}"


def _file(number: int, name: str) -> str:
    return f"content{number}-{name}.txt"


def pairs(stdout: bytes) -> list[tuple[str, float]]:
    """The lines `lavfi.<key>=<number>` of what the `metadata` filter printed, in order."""
    return [(key, float(value)) for key, value in _PAIR.findall(stdout.decode("ascii", "replace"))]


def scenes(told: Sequence[tuple[str, float]], begins: Fraction) -> list[dict[str, float]]:
    scores = [value for key, value in told if key == "scd.score"]
    moments = [value for key, value in told if key == "scd.time"]
    return [{"at": _told(begins, at), "score": round(score, 2)} for at, score in zip(moments, scores, strict=False)]


def intervals(told: Sequence[tuple[str, float]], name: str, begins: Fraction, length: Fraction) -> list[Interval]:
    """What began and did not end lasts until the end."""
    found: list[Interval] = []
    start: float | None = None
    for key, value in told:
        if key == f"{name}_start":
            start = value if value > TOUCHING else 0.0
        elif key == f"{name}_end" and start is not None:
            found.append((_told(begins, start), _told(begins, min(value, float(length)))))
            start = None
    if start is not None and start < length:
        found.append((_told(begins, start), _told(begins, float(length))))
    return found


def joined(found: Sequence[Interval]) -> list[dict[str, float]]:
    whole: list[Interval] = []
    for start, end in sorted(found):
        if whole and start - whole[-1][1] <= TOUCHING:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((start, end))
    return [{"start": start, "end": end} for start, end in whole]


def _told(begins: Fraction, seconds: float) -> float:
    return round(float(begins) + seconds, 3)


def report(subject: Subject, told: Mapping[str, bytes]) -> bytes:
    """`content.json`. `told` is the output of the readings by their names."""
    recipe = subject.recipe
    content = recipe.content
    made: dict[str, object] = {"version": 1, "duration_seconds": round(float(Fraction(recipe.source.duration)), 3)}
    if content is None:
        return b""
    each = [(n, stretch, stretch.end - stretch.start) for n, stretch in enumerate(subject.stretches)]
    if content.scenes:
        made["scenes"] = [one for n, part, _ in each for one in scenes(_of(told, n, "scenes"), part.begins)]
    for name, is_wanted in (("black", content.black), ("silence", content.silence)):
        if is_wanted:
            made[name] = joined([one for n, p, s in each for one in intervals(_of(told, n, name), name, p.begins, s)])
    if content.chapters:
        made["chapters"] = _chapters(recipe.source)
    return (json.dumps(made, ensure_ascii=False, indent=1) + "\n").encode()


def _of(told: Mapping[str, bytes], number: int, name: str) -> list[tuple[str, float]]:
    return pairs(told.get(f"{TOLD}:{number}:{name}", b""))


def _chapters(source: MediaFacts) -> list[dict[str, object]]:
    return [
        {"start": round(float(Fraction(one.start)), 3), "end": round(float(Fraction(one.end)), 3), "title": one.title}
        for one in source.chapters
    ]
