"""Whether this machine can change colours and draw letters: tried at start like the encoders, with what a job would run."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.ffmpeg.burning import script
from plugins.ffmpeg.colouring import tone_mapped
from plugins.media.calling import quiet
from protocol.media import Colour, VideoStream
from protocol.plugins import Invocation, Limits, Outcome

ZSCALE, ASS = "zscale", "ass"
SIZE = (128, 72)
SCRIPT = "trial.ass"
BRIGHT = 200
"""A letter is this bright somewhere, of 255; the picture below it is black."""

LIMITS = Limits(wall_s=30.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=1 << 20)

_HDR = VideoStream(
    index=0,
    codec="hevc",
    width=SIZE[0],
    height=SIZE[1],
    coded_width=SIZE[0],
    coded_height=SIZE[1],
    frame_rate="25",
    is_hdr=True,
    colour=Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc", range="tv"),
)


def trials(ffmpeg: str) -> tuple[Invocation, ...]:
    """A grey picture of HDR is mapped; a letter is drawn on black. Each writes one picture in grey to stdout."""
    words = script(b"1\n00:00:00,000 --> 00:00:01,000\nWW\n", SIZE)
    return (
        Invocation(name=f"trial:{ZSCALE}", argv=_drawn(ffmpeg, "gray", tone_mapped(_HDR)), limits=LIMITS),
        Invocation(
            name=f"trial:{ASS}",
            argv=_drawn(ffmpeg, "black", (f"ass=filename={SCRIPT}",)),
            limits=LIMITS,
            secrets=((SCRIPT, words),),
        ),
    )


def proven(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The filters that did what they are for. Without a font, letters are left out without a word."""
    worked = {one.invocation.name: one.stdout for one in outcomes if one.exit_code == 0 and not one.timed_out}
    mapped, drawn = worked.get(f"trial:{ZSCALE}", b""), worked.get(f"trial:{ASS}", b"")
    found = ((ZSCALE, len(mapped) == SIZE[0] * SIZE[1]), (ASS, max(drawn, default=0) >= BRIGHT))
    return tuple(name for name, is_proven in found if is_proven)


def _drawn(ffmpeg: str, colour: str, chain: tuple[str, ...]) -> tuple[str, ...]:
    source = f"color=c={colour}:size={SIZE[0]}x{SIZE[1]}:rate=25,format=yuv420p"
    return (
        *(ffmpeg, *quiet(), "-f", "lavfi", "-i", source, "-vf", ",".join(chain), "-frames:v", "1"),
        *("-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"),
    )
