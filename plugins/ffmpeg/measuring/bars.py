"""Black bars: what is black on each side of most pictures of the film, and nowhere anything else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from plugins.ffmpeg.measuring.subject import Stretch, Subject, opening
from plugins.media.calling import text
from protocol.pictures import Crop
from protocol.plugins import Invocation

BARS, TOLD = "bars", "bars-told"
LIMIT = 0.094
"""How bright black may be: 24 of 255."""

PICTURES, SPARSE_FROM_S = 60, 60
"""So many pictures at the most are looked at, keyframes alone where the film is longer than so many seconds."""

LEAST_PICTURES_SHARE, LEAST_BAR_SHARE = 0.5, 0.01
"""Bars count where at least this share of the pictures agrees on them, and where they are this share of their side."""

_BOX = re.compile(r"^lavfi\.cropdetect\.(w|h|x|y)=(-?\d+)$", re.MULTILINE)


def invocations(subject: Subject) -> tuple[Invocation, ...]:
    """Each input is looked at, and what was found is read."""
    if not subject.recipe.finds_crop or subject.recipe.source.video is None:
        return ()
    return tuple(one for n, stretch in enumerate(subject.stretches) for one in _looking(subject, stretch, n))


def _looking(subject: Subject, stretch: Stretch, number: int) -> tuple[Invocation, ...]:
    video = stretch.facts.video
    if video is None:
        return ()
    seconds = stretch.end - stretch.start
    width, height = size_of(subject, stretch)
    is_sparse = seconds > SPARSE_FROM_S and stretch.start == 0  # behind its first one a film may have no keyframe
    keyframes = ("-skip_frame", "nokey") if is_sparse else ()
    apart = float(seconds) / PICTURES
    file = f"bars{number}.txt"
    chain = (
        f"[0:{video.index}]trim=start={float(stretch.start):.6f}:end={float(stretch.end):.6f},"
        f"select='isnan(prev_selected_t)+gte(t-prev_selected_t,{apart:.6f})',"
        f"scale=w={width}:h={height}:flags=neighbor,"
        f"cropdetect=limit={LIMIT}:round=2:reset=1:skip=0,metadata=mode=print:file={file}[o]"
    )
    argv = (*opening(subject, *keyframes), "-filter_complex", chain, "-map", "[o]", "-f", "null", "-")
    return (
        subject.invocation(f"{BARS}:{number}", argv, (stretch.path,)),
        Invocation(name=f"{TOLD}:{number}", argv=text(subject.ffmpeg, file)),
    )


def size_of(subject: Subject, stretch: Stretch) -> tuple[int, int]:
    """The picture as the input shows it. The facts of a film that is not made of parts tell it as it will be shown."""
    video, recipe = stretch.facts.video, subject.recipe
    told = (video.width, video.height) if video else (0, 0)
    return told if recipe.parts else recipe.whole or told


def boxes(stdout: bytes) -> list[tuple[int, int, int, int]]:
    """Width, height, left, top of what is not black in each picture."""
    values: dict[str, list[int]] = {"w": [], "h": [], "x": [], "y": []}
    for name, value in _BOX.findall(stdout.decode("ascii", "replace")):
        values[name].append(int(value))
    return list(zip(values["w"], values["h"], values["x"], values["y"], strict=False))


def decide(found: Sequence[tuple[int, int, int, int]], width: int, height: int) -> Crop | None:
    """None where there are no bars that most pictures agree on. Even numbers, never more than is black."""
    bright = [box for box in found if box[0] > 0 and box[1] > 0]  # a black picture tells nothing
    if not bright:
        return None
    (box, times) = max(Counter(bright).items(), key=lambda item: (item[1], item[0]))
    if times < LEAST_PICTURES_SHARE * len(bright):
        return None
    box_width, box_height, left, top = box
    sides = (
        _bar(left, width),
        _bar(width - left - box_width, width),
        _bar(top, height),
        _bar(height - top - box_height, height),
    )
    if not any(sides):
        return None
    return Crop(left=sides[0], right=sides[1], top=sides[2], bottom=sides[3])


def _bar(pixels: int, side: int) -> int:
    """Down to an even number; a seam of a few pixels is no bar."""
    return pixels - pixels % 2 if pixels >= LEAST_BAR_SHARE * side else 0
