"""Which subtitles become files of their own: the film's text tracks, and the files that came with its job. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

from dispatch.core import attachments
from dispatch.core.attachments import Use
from dispatch.core.plans import AttachedText, Beside, Film
from dispatch.core.records import Job
from protocol.extras import Subtitles, TextFormat
from protocol.languages import short
from protocol.media import SubtitleStream
from protocol.profiles import Profile
from protocol.recipes import PlannedSubtitle, TranscodeRecipe

ATTACHED = "attachment-"
"""What the name of a task's input begins with that came with the job."""

CHAPTERS = "subtitles/chapters.vtt"
UNKNOWN = "und"
"""ISO 639-2 for a language that is not told."""


def beside(job: Job, profile: Profile) -> Beside:
    """What came with the job beside its input, as far as planning asks for it. What is burnt in is no file of its own."""
    burnt = profile.burn_in.attachment if profile.burn_in is not None else None
    texts = (
        AttachedText(name, file.language)
        for name, file in attachments.of_job(job).items()
        if file.use is Use.TEXT and name != burnt
    )
    return Beside(has_thumbnail=job.thumbnail_json is not None, texts=tuple(texts))


def with_subtitles(film: Film, recipe: TranscodeRecipe) -> TranscodeRecipe:
    """Tracks of several inputs shown one behind the other are left out: no one of them spans the film."""
    wanted = film.profile.subtitles
    if wanted is None:
        return recipe
    of_film = [] if film.parts else [stream for stream in film.facts.subtitles if _is_wanted(wanted, stream.language)]
    notes = (*recipe.notes, *_notes(of_film, film.facts.subtitles if film.parts else ()))
    chapters = CHAPTERS if recipe.source.chapters and TextFormat.VTT in wanted.formats else None
    return recipe.model_copy(update={"subtitles": subtitles(film), "chapters": chapters, "notes": notes})


def subtitles(film: Film) -> tuple[PlannedSubtitle, ...]:
    wanted = film.profile.subtitles
    if wanted is None:
        return ()
    of_film = [] if film.parts else [stream for stream in film.facts.subtitles if _is_wanted(wanted, stream.language)]
    texts = [text for text in film.beside.texts if _is_wanted(wanted, text.language)]
    named = _planned(wanted, texts, [stream for stream in of_film if stream.is_text])
    offset = _offset(film)
    return tuple(one.model_copy(update={"offset": offset}) for one in named)


def _offset(film: Film) -> str:
    """A clip of several inputs is taken of the film they make together."""
    if film.cut is not None:
        return film.cut.start
    clip = film.profile.clip
    return str(Fraction(round(clip.start * 1_000_000), 1_000_000)) if film.parts and clip is not None else "0"


WHY_NONE = "the source has no text tracks that are wanted, and no subtitles came with the job"


def _is_wanted(wanted: Subtitles, language: str | None) -> bool:
    return not wanted.languages or short(language) in {short(one) for one in wanted.languages}


def _planned(wanted: Subtitles, texts: Sequence[AttachedText], streams: Sequence[SubtitleStream]) -> Iterable[PlannedSubtitle]:
    """What the client sent comes first: of two in one language it is the one without a number."""
    seen: Counter[str] = Counter()
    for text in texts:
        name = _name(text.language, False, seen)
        yield PlannedSubtitle(
            name=name, attachment=f"{ATTACHED}{text.name}", language=short(text.language), paths=_paths(wanted, name)
        )
    for stream in streams:
        name = _name(stream.language, stream.is_forced, seen)
        yield PlannedSubtitle(
            name=name,
            stream=stream.index,
            language=short(stream.language),
            is_forced=stream.is_forced,
            paths=_paths(wanted, name),
        )


def _name(language: str | None, is_forced: bool, seen: Counter[str]) -> str:
    name = f"{short(language) or UNKNOWN}{'-forced' if is_forced else ''}"
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"


def _paths(wanted: Subtitles, name: str) -> dict[TextFormat, str]:
    return {kind: f"subtitles/{name}.{kind.value}" for kind in sorted(set(wanted.formats))}


def _notes(of_film: Iterable[SubtitleStream], of_parts: Sequence[SubtitleStream]) -> tuple[str, ...]:
    pictures = [stream for stream in of_film if not stream.is_text]
    told = ["The subtitles of a film made of several inputs are not taken."] if of_parts else []
    if pictures:
        languages = ", ".join(sorted({short(stream.language) or UNKNOWN for stream in pictures}))
        told.append(f"Subtitles that are pictures of text are not taken ({languages}): they cannot be converted.")
    return tuple(told)
