"""The end of each rendition's branch of the graph: its frame rate, what its colours are called, and the way to its encoder."""

from __future__ import annotations

from plugins.ffmpeg.encoders import TAKES_UPLOADED, family_of
from plugins.ffmpeg.encoders.colours import tagged
from plugins.media.lengths import rendition_rate, timeline_rate
from protocol.recipes import PlannedRendition, TranscodeRecipe


def pixel_format(planned: PlannedRendition) -> str:
    """What a rendition is scaled to."""
    return "yuv420p10le" if planned.rendition.bit_depth == 10 else "yuv420p"


def finished(recipe: TranscodeRecipe, pictures: tuple[str, ...], lines: list[str]) -> tuple[str, ...]:
    """The labels that the encoders take, one for each of `pictures`; none where the source has no picture."""
    labels: list[str] = []
    for label, planned in zip(pictures, recipe.renditions, strict=False):  # sound alone has no picture
        lines.append(f"[{label}]{','.join(_steps(recipe, planned))}[{label}f]")
        labels.append(f"{label}f")
    return tuple(labels)


def _steps(recipe: TranscodeRecipe, planned: PlannedRendition) -> list[str]:
    """Pictures for encoders that take them only from their GPU's memory are brought there, each at its final size."""
    steps: list[str] = []
    if (rate := rendition_rate(recipe, planned)) != timeline_rate(recipe):
        steps.append(f"fps=fps={rate}:start_time=0")
    if recipe.source.video is not None:
        steps.append(tagged(planned, recipe.source.video))
    if recipe.decoder is not None:  # in the GPU's memory already, as its encoder takes it
        return steps or ["null"]
    if family_of(planned.encoder) is not None and planned.rendition.bit_depth == 10:
        steps.append("format=p010le")
    elif planned.encoder in TAKES_UPLOADED:
        steps.append("format=nv12")
    return [*steps, "hwupload"] if planned.encoder in TAKES_UPLOADED else steps or ["null"]
