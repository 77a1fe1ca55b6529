"""How single pictures are proven and told: thumbnails, the sprite sheet with its index, the client's own picture."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from math import ceil

from plugins.media.calling import own_file, quiet
from plugins.media.framecrc import frames_of
from plugins.media.rejected import Rejected
from plugins.media.sizes import THUMBNAIL_BOX, sheet_size, thumbnail_size
from plugins.media.subtitles import mark
from plugins.media.verdict import failed_by_itself, failure, judge
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Outcome
from protocol.recipes import PlannedSprite, TranscodeRecipe
from protocol.results import Failure, FileRole, OutputFacts
from protocol.steps import GENERATE_SPRITE, GENERATE_THUMBNAILS

OWN, OWN_READ = "own_thumbnail", "own_thumbnail_read"
READ_JPEG = ("-f", "jpeg_pipe")


def expected(recipe: TranscodeRecipe) -> dict[str, str]:
    """The pictures of the film with the step that fails without them; none of a source without a picture."""
    if recipe.source.video is None:
        return {}
    sheet = {} if recipe.sprite is None else {recipe.sprite.path: GENERATE_SPRITE}
    return {shot.path: GENERATE_THUMBNAILS for shot in recipe.thumbnails} | sheet


def sizes(recipe: TranscodeRecipe) -> tuple[tuple[str, tuple[int, int]], ...]:
    """Every picture of the film, and how large it has to be."""
    size = thumbnail_size(recipe)
    shots = [(shot.path, size) for shot in recipe.thumbnails]
    return (*shots, *([] if recipe.sprite is None else [(recipe.sprite.path, sheet_size(recipe.sprite))]))


def presence(recipe: TranscodeRecipe, made: Collection[str]) -> None:
    """The client's own picture is there. Raises Rejected."""
    if recipe.own_thumbnail is not None and recipe.own_thumbnail not in made:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"The tool did not make {recipe.own_thumbnail}.", GENERATE_THUMBNAILS)


def judged(outcome: Outcome) -> Failure | None:
    """A picture that does not decode is the client's to mend."""
    if outcome.invocation.name == OWN and failed_by_itself(outcome):
        message = "The thumbnail that was sent with the job does not decode. Send another JPEG, PNG or WebP picture."
        return failure(FailureClass.INPUT, ErrorCode.INPUT_CORRUPT, message, outcome, GENERATE_THUMBNAILS)
    return judge(outcome, reads_input=False, step=GENERATE_THUMBNAILS)


def read_own(ffmpeg: str, path: str) -> tuple[str, ...]:
    """Decode what was made of the client's picture, and list it."""
    listed = ("-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framecrc", "pipe:1")
    return (ffmpeg, *quiet(), "-xerror", *own_file(path, *READ_JPEG), *listed)


def own_size(outcomes: Mapping[str, Outcome]) -> tuple[int, int]:
    """Raises Rejected where it is not one picture within the box."""
    frames = frames_of(outcomes[OWN_READ].stdout).get(0)
    size = frames.size if frames is not None and len(frames.moments) == 1 else None
    if size is None or size[0] > THUMBNAIL_BOX[0] or size[1] > THUMBNAIL_BOX[1]:
        raise Rejected(ErrorCode.OUTPUT_INVALID, "The client's thumbnail is not what was asked for.", GENERATE_THUMBNAILS)
    return size


def facts(recipe: TranscodeRecipe, own: tuple[int, int] | None) -> Iterator[tuple[str, OutputFacts]]:
    """Each proven picture by its path."""
    width, height = thumbnail_size(recipe)
    for shot in recipe.thumbnails:
        at = round(float(Fraction(shot.at)), 6)
        picture = OutputFacts(role=FileRole.THUMBNAIL, codec="mjpeg", width=width, height=height, percent=shot.percent, at=at)
        yield shot.path, picture
    if recipe.own_thumbnail is not None and own is not None:
        picture = OutputFacts(role=FileRole.THUMBNAIL, codec="mjpeg", width=own[0], height=own[1], is_own=True)
        yield recipe.own_thumbnail, picture
    if recipe.sprite is not None:
        size = sheet_size(recipe.sprite)
        sheet = OutputFacts(role=FileRole.SPRITE, codec="mjpeg", width=size[0], height=size[1], frame_count=recipe.sprite.count)
        yield recipe.sprite.path, sheet
        yield recipe.sprite.index, OutputFacts(role=FileRole.SPRITE_INDEX, codec="vtt")


def index(sprite: PlannedSprite, length: Fraction) -> str:
    """WebVTT that names the part of the sheet for every moment, the last one's to the end of the film. `length` in seconds:
    a damaged film may end before the last of them.
    """
    name, end = sprite.path.rpartition("/")[2], ceil(length * 1000)
    told = ["WEBVTT\n"]
    starts = [start for n in range(sprite.count) if (start := round(Fraction(sprite.interval) * 1000 * n)) < end]
    for n, (start, stop) in enumerate(zip(starts, [*starts[1:], end], strict=True)):
        row, column = divmod(n, sprite.columns)
        where = f"{column * sprite.width},{row * sprite.height},{sprite.width},{sprite.height}"
        told.append(f"{mark(start)} --> {mark(stop)}\n{name}#xywh={where}\n")
    return "\n".join(told)
