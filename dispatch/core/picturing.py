"""The timeline that a job's outputs show: several inputs joined, a part of a film cut out, its picture cropped, turned and
padded. Everything else is planned of what comes out here."""

from __future__ import annotations

from fractions import Fraction

from dispatch.core.copying import replace
from dispatch.core.feeding import attached
from dispatch.core.joining import SAMPLES, joined, lasting, length_of
from dispatch.core.plans import Film
from protocol.errors import ErrorCode, FailureClass
from protocol.languages import short
from protocol.media import AudioStream, MediaFacts, SubtitleStream, VideoStream
from protocol.pictures import Clip, Crop
from protocol.profiles import INPUT, Profile
from protocol.recipes import Cut, PicturePlan, PlannedBurnIn, PlannedOverlay, SourcePart
from protocol.results import Failure
from protocol.shapes import Size, cropped, even, shaped

PAST_END = Fraction(1, 10)
"""By so many seconds a clip may end after its film: clients know durations by a few digits alone."""

SHORTEST = Fraction(1, 10)
SMALLEST, LONGEST, MOST_PIXELS = 16, 16_384, 8192 * 4352
"""Pixels, of a side and of all: what is left by a crop, and made by padding."""


class NotShown(Exception):
    """This cannot be made of this input."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(failure_class=FailureClass.INPUT, code=code, message=message)


def parts_of(profile: Profile) -> tuple[str, ...]:
    """The inputs, besides the job's own, that the film is made of, as its tasks name them."""
    return tuple(dict.fromkeys(attached(name) for name in profile.concat if name != INPUT))


def shown(film: Film) -> Film | Failure:
    """The film with the facts of its timeline, and how it becomes that."""
    try:
        parts = _parts(film.profile, film.facts)
        facts = joined(parts, film.facts) if parts else film.facts
        facts, cut = _clipped(film.profile.clip, facts)
        offset = Fraction(cut.start) if cut else Fraction(0)
        if parts and cut:
            parts, cut = _cut_parts(parts, cut), None
        picture = _plan(film, offset, is_joined=bool(parts))
        return replace(film, facts=_framed(facts, picture), parts=parts, cut=cut, picture=picture)
    except NotShown as problem:
        return problem.failure


def _parts(profile: Profile, facts: MediaFacts) -> tuple[SourcePart, ...]:
    if profile.concat in ((), (INPUT,)):
        return ()
    own = facts.model_copy(update={"parts": {}})
    inputs = {
        INPUT: SourcePart(facts=own, length=str(lasting(own))),
        **{name: _part(facts, name) for name in profile.concat if name != INPUT},
    }
    parts = tuple(inputs[name] for name in profile.concat)
    if any(part.facts.video for part in parts):
        for name, part in zip(profile.concat, parts, strict=True):
            if part.facts.video is None:
                raise NotShown(ErrorCode.INPUT_NO_VIDEO, f"part {name} has no picture, and other parts have one")
    return parts


def _part(facts: MediaFacts, name: str) -> SourcePart:
    found = facts.parts.get(attached(name))
    if found is None:
        raise NotShown(ErrorCode.INPUT_NOT_FOUND, f"part {name} did not come with the job")
    return SourcePart(facts=found, attachment=attached(name), length=str(lasting(found)))


# --- clips


def _clipped(clip: Clip | None, facts: MediaFacts) -> tuple[MediaFacts, Cut | None]:
    if clip is None:
        return facts, None
    lasts = Fraction(facts.duration)
    start, end = _exact(clip.start), lasts if clip.end is None else _exact(clip.end)
    if start >= lasts or end > lasts + PAST_END:
        to = "its end" if clip.end is None else f"{float(end):g} s"
        message = f"the clip is from {float(start):g} s to {to}, and the film ends at {float(lasts):g} s"
        raise NotShown(ErrorCode.INPUT_CLIP, message)
    end = min(end, lasts)
    if end - start < SHORTEST:
        raise NotShown(ErrorCode.INPUT_CLIP, f"the clip lasts {float(end - start):g} s; give at least {float(SHORTEST):g} s")
    if start == 0 and end == lasts:
        return facts, None
    return within(facts, start, end), Cut(start=str(start), end=str(end))


def _exact(seconds: float) -> Fraction:
    """As it was written, to the microsecond."""
    return Fraction(round(seconds * 1_000_000), 1_000_000)


def within(facts: MediaFacts, start: Fraction, end: Fraction) -> MediaFacts:
    """What is told of a film, of this part of it. Raises NotShown where it has no picture then."""
    video = facts.video and _cut_picture(facts.video, start, end)
    if facts.video is not None and video is None:
        raise NotShown(ErrorCode.INPUT_CLIP, "the film has no picture within the clip")
    chapters = tuple(
        chapter.model_copy(
            update={
                "start": str(max(Fraction(chapter.start), start) - start),
                "end": str(min(Fraction(chapter.end), end) - start),
            }
        )
        for chapter in facts.chapters
        if Fraction(chapter.end) > start and Fraction(chapter.start) < end
    )
    changed: dict[str, object] = {
        "duration": str(end - start),
        "video": video,
        "audio": tuple(cut for sound in facts.audio if (cut := _cut_sound(sound, start, end))),
        "chapters": chapters,
    }
    return facts.model_copy(update=changed)


def _cut_picture(stream: VideoStream, start: Fraction, end: Fraction) -> VideoStream | None:
    span = _span(stream, start, end)
    if span is None:
        return None
    return stream.model_copy(update={"start": str(span[0]), "duration": str(span[1] - span[0]), "frames": None})


def _cut_sound(stream: AudioStream, start: Fraction, end: Fraction) -> AudioStream | None:
    span = _span(stream, start, end)
    return stream.model_copy(update={"start": str(span[0]), "duration": str(span[1] - span[0])}) if span else None


def _span(stream: VideoStream | AudioStream, start: Fraction, end: Fraction) -> tuple[Fraction, Fraction] | None:
    """From when to when the stream is there within the clip; one that does not tell its length reaches to the end."""
    first = Fraction(stream.start)
    last = end if stream.duration is None else min(end, first + Fraction(stream.duration))
    begin = max(Fraction(0), first - start)
    return (begin, last - start) if last - start > begin else None


def _cut_parts(parts: tuple[SourcePart, ...], cut: Cut) -> tuple[SourcePart, ...]:
    """The parts that the clip touches, each with what it takes of them."""
    start, end, begins = Fraction(cut.start), Fraction(cut.end), Fraction(0)
    found = []
    for part in parts:
        lasts = length_of(part)
        first, last = max(start, begins), min(end, begins + lasts)
        if last - first >= SAMPLES:
            found.append(part.model_copy(update={"start": str(first - begins), "length": str(last - first)}))
        begins += lasts
    return tuple(found)


# --- the picture


def _plan(film: Film, offset: Fraction, *, is_joined: bool) -> PicturePlan:
    profile = film.profile
    if not film.facts.video and not is_joined:
        return PicturePlan()
    wanted = profile.picture
    mark, burn = profile.watermark, _burnt(film, offset, is_joined=is_joined)
    overlay = PlannedOverlay(watermark=mark, attachment=attached(mark.attachment)) if mark else None
    if wanted is None:
        return PicturePlan(overlay=overlay, burn_in=burn)
    return PicturePlan(
        deinterlace={"auto": None, "always": True, "never": False}[wanted.deinterlace.value],
        crop=_crop(film),
        pad=wanted.pad_to and str(Fraction(wanted.pad_to.replace(":", "/"))),
        rotate=wanted.rotate,
        overlay=overlay,
        burn_in=burn,
    )


def _crop(film: Film) -> Crop | None:
    """What was asked for and what is black, whichever takes more from a side; from even places."""
    wanted = film.profile.picture
    asked = (wanted.crop if wanted else None) or Crop()
    black = (film.measured.crop if film.measured and wanted and wanted.crop_black else None) or Crop()
    sides = {name: max(getattr(asked, name), getattr(black, name)) for name in ("left", "right", "top", "bottom")}
    crop = Crop(left=even(sides["left"]), top=even(sides["top"]), right=sides["right"], bottom=sides["bottom"])
    return crop if crop != Crop() else None


def _burnt(film: Film, offset: Fraction, *, is_joined: bool) -> PlannedBurnIn | None:
    wanted = film.profile.burn_in
    if wanted is None:
        return None
    if wanted.attachment is not None:
        return PlannedBurnIn(attachment=attached(wanted.attachment), offset=str(offset))
    texts = [text for text in film.facts.subtitles if not is_joined and text.is_text and _is_in(text, wanted.language)]
    if not texts:
        message = f"the film has no subtitles of text in {wanted.language}, which are to be drawn into the picture"
        raise NotShown(ErrorCode.INPUT_FORMAT, message)
    chosen = min(texts, key=lambda text: text.is_forced)
    return PlannedBurnIn(stream=chosen.index, offset=str(offset))


def _is_in(text: SubtitleStream, language: str | None) -> bool:
    return short(text.language) is not None and short(text.language) == short(language)


def _framed(facts: MediaFacts, picture: PicturePlan) -> MediaFacts:
    """The facts with the picture's final size."""
    video = facts.video
    if video is None:
        return facts
    size = _size((video.width, video.height), picture)
    return facts.model_copy(update={"video": video.model_copy(update={"width": size[0], "height": size[1]})})


def _size(size: Size, picture: PicturePlan) -> Size:
    left = size if picture.crop is None else cropped(size, picture.crop)
    if min(left) < min(SMALLEST, *size):
        message = f"the picture is {size[0]}x{size[1]}, and the crop leaves {max(0, left[0])}x{max(0, left[1])} of it"
        raise NotShown(ErrorCode.INPUT_TOO_SMALL, message)
    made = shaped(size, picture)
    if max(made) > LONGEST or made[0] * made[1] > MOST_PIXELS:
        message = f"padded to its shape, the picture would be {made[0]}x{made[1]}; that is more than is taken"
        raise NotShown(ErrorCode.INPUT_LIMITS, message)
    return made
