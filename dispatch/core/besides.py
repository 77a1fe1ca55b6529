"""The tasks beside the encode: speech to text, single pictures, packaging."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

from dispatch.core.picturing import within
from dispatch.core.plans import Film, LeftOut, Planned, steps_of
from protocol.capabilities import ENCRYPTS
from protocol.errors import ErrorCode, FailureClass
from protocol.extras import TextFormat
from protocol.media import MediaFacts
from protocol.profiles import Profile
from protocol.recipes import FramesRecipe, PackageRecipe, PlannedRendition, PlannedSubtitle, TranscodeRecipe, TranscribeRecipe
from protocol.results import Failure
from protocol.states import TaskKind

MODEL_BY_DURATION = ((5 * 60, "tiny"), (30 * 60, "base"), (60 * 60, "small"))
"""The model for sound under so many seconds; still longer sound goes to `base` again, which is four times as fast."""

SPEECH_COST = {"tiny": 0.1, "base": 0.2, "small": 0.6}
"""Seconds of work for a second of sound on two threads; only an estimate for queueing."""

PIXELS_DECODED_PER_SECOND = 250e6
"""Decode and scale of 1080p H.264 on two threads; only an estimate for queueing."""

NO_SPEECH = "no engine offers speech to text for this: it needs a model for the language named, or one that detects languages"
NO_SOUND = "the source has no audio"

TRANSCRIPTS: Mapping[Literal["txt", "srt", "vtt", "json"], str] = {
    "txt": "transcription/transcript.txt",
    "srt": "transcription/transcript.srt",
    "vtt": "transcription/transcript.vtt",
    "json": "transcription/transcript.json",
}


def plan_transcribe(profile: Profile, facts: MediaFacts) -> Planned[TranscribeRecipe] | LeftOut | Failure:
    """A model named is needed; one by duration is a wish, and the engine may take the nearest it has.

    Without a language the engine must be able to detect one (`speech:any`).
    """
    wanted = profile.transcription
    if wanted is None or not facts.audio:
        return _silent(profile) if wanted is not None and wanted.required else LeftOut(NO_SOUND)
    model = wanted.model or model_for(float(Fraction(facts.duration)))
    needs = {"speech:any" if wanted.language is None else f"speech:{wanted.language}"}
    if wanted.model is not None:
        needs.add(f"model:{wanted.model}")
    return Planned(
        TranscribeRecipe(duration=facts.duration, language=wanted.language, model=model, paths=dict(TRANSCRIPTS)),
        tuple(sorted(needs)),
        1.0 + float(Fraction(facts.duration)) * SPEECH_COST.get(model, max(SPEECH_COST.values())),
        steps_of(TaskKind.TRANSCRIBE, profile, {}),
    )


def model_for(seconds: float) -> str:
    return next((model for limit, model in MODEL_BY_DURATION if seconds < limit), "base")


def _silent(profile: Profile) -> Failure:
    message = f"the input has no sound; profile {profile.name} has to transcribe it"
    return Failure(failure_class=FailureClass.INPUT, code=ErrorCode.INPUT_FORMAT, message=message)


def plan_frames(film: Film, whole: MediaFacts) -> Planned[FramesRecipe] | LeftOut:
    """Of the input as it came, whose facts are `whole`, or of its clip: not cropped, and with nothing laid over it."""
    profile, cut = film.profile, film.cut
    facts = whole if cut is None else within(whole, Fraction(cut.start), Fraction(cut.end))
    if profile.frames is None or facts.video is None:
        return LeftOut("the source has no picture")
    recipe = FramesRecipe(source=facts, cut=cut, frames=profile.frames, path="frames/frames.zip")
    pixels = facts.video.width * facts.video.height * float(Fraction(facts.video.frame_rate)) * float(Fraction(facts.duration))
    return Planned(recipe, (), 1.0 + pixels / PIXELS_DECODED_PER_SECOND, steps_of(TaskKind.FRAMES, profile, {}))


def plan_package(
    profile: Profile, facts: MediaFacts, renditions: tuple[PlannedRendition, ...], made: TranscodeRecipe | None = None
) -> Planned[PackageRecipe] | LeftOut:
    """`made` is what makes the renditions, where it is one process that makes sound tracks and subtitles, too."""
    packaging = profile.packaging
    if packaging is None or not renditions:
        return LeftOut("there is no rendition to package")
    recipe = PackageRecipe(
        source=facts,
        packaging=packaging,
        renditions=renditions,
        tracks=made.tracks if made is not None else (),
        subtitles=_as_webvtt(made) if made is not None else (),
        directory="cmaf",
        hls_master="hls/master.m3u8" if packaging.hls else None,
        dash_manifest="dash/manifest.mpd" if packaging.dash else None,
        allows_damage=made is not None and made.allows_damage,
    )
    needs = (ENCRYPTS,) if packaging.encryption is not None else ()
    return Planned(recipe, needs, 1.0 + float(Fraction(facts.duration)) * 0.005, steps_of(TaskKind.PACKAGE, profile, {}))


def _as_webvtt(made: TranscodeRecipe) -> tuple[PlannedSubtitle, ...]:
    """Those that players of a package read."""
    return tuple(
        one.model_copy(update={"paths": {TextFormat.VTT: one.paths[TextFormat.VTT]}})
        for one in made.subtitles
        if TextFormat.VTT in one.paths
    )
