"""The result of a transcode as it is reported: facts of every file, the steps, the tools that ran, the master playlist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from plugins.media import hls, stills, subtitles
from plugins.media.lengths import shown_until
from plugins.media.master import master
from plugins.media.sound_report import sound_facts, unlevelled
from plugins.media.soundtracks import sound_files
from plugins.media.verdict import redact
from plugins.media.verify import Proof, ProvenRendition
from protocol.packaging import HlsPackaging
from protocol.plugins import Conclusion, Outcome
from protocol.recipes import TranscodeRecipe
from protocol.results import AttemptResult, FileRole, OutputFacts, StepReport, ToolUse
from protocol.states import StepState
from protocol.steps import (
    EXTRACT_AUDIO_MP3,
    EXTRACT_SUBTITLES,
    GENERATE_SPRITE,
    GENERATE_THUMBNAILS,
    TRANSCRIBE_VIDEO,
    hls_step,
    transcode_step,
)

SKIP_REASONS = {
    EXTRACT_AUDIO_MP3: "The input has no sound.",
    TRANSCRIBE_VIDEO: "No engine has proven a speech model.",
    GENERATE_THUMBNAILS: "No thumbnails were asked for.",
    GENERATE_SPRITE: "No sprite sheet was asked for.",
    EXTRACT_SUBTITLES: "The input has no subtitles that are text.",
}
ALIKE: Mapping[str, float] = {}
SKIP_RENDITION = "The picture is smaller than this rendition needs."


def conclusion(
    recipe: TranscodeRecipe,
    proof: Proof,
    steps: tuple[str, ...],
    encode: Outcome,
    tools: tuple[ToolUse, ...],
    took: Mapping[str, float],
) -> Conclusion:
    """The success. Every step that was served took the one encode's time, but for those of `took`, in seconds."""
    recipe = recipe.model_copy(update={"source": proof.source}) if proof.warnings else recipe
    facts = dict(output_facts(recipe, proof))
    extra: dict[str, bytes] = {}
    if recipe.master_playlist and recipe.hls:
        for path, content, told in (file for text in proof.texts for file in text.files()):
            extra[path], facts[path] = content, told
        extra[recipe.master_playlist] = master(recipe, proof, recipe.master_playlist)
        facts[recipe.master_playlist] = OutputFacts(role=FileRole.MASTER_PLAYLIST)
    if recipe.sprite is not None:
        extra[recipe.sprite.index] = stills.index(recipe.sprite, shown_until(recipe.source)).encode()
    if recipe.chapters is not None:
        extra[recipe.chapters] = subtitles.chapters(recipe)
        facts[recipe.chapters] = OutputFacts(role=FileRole.CHAPTERS, codec="vtt")
    for path, (content, told) in subtitles.files(proof.subtitles).items():
        extra[path], facts[path] = content, told
    quiet = unlevelled(recipe, proof.sound)
    result = AttemptResult(
        steps=step_reports(steps, served(recipe), encode.wall_seconds, took),
        tools=tools,
        warnings=(*recipe.notes, *proof.warnings, *subtitles.warnings(proof.subtitles), *warnings(encode), *quiet),
        log_tail=redact(encode.stderr_tail),
    )
    return Conclusion(facts=facts, result=result, extra=extra)


def served(recipe: TranscodeRecipe) -> frozenset[str]:
    """The steps for which this recipe makes something."""
    names = {transcode_step(planned.rendition.name) for planned in recipe.renditions}
    names |= {hls_step(planned.rendition.name) for planned in recipe.renditions if planned.playlist}
    names |= {EXTRACT_AUDIO_MP3} if sound_files(recipe) else set()
    names |= {EXTRACT_SUBTITLES} if recipe.subtitles or recipe.chapters else set()
    return frozenset(names | set(stills.expected(recipe).values()))


def step_reports(
    steps: Sequence[str], done: frozenset[str], wall_seconds: float, took: Mapping[str, float] = ALIKE
) -> tuple[StepReport, ...]:
    """Each step completed, or skipped with its reason."""
    return tuple(
        StepReport(name=step, state=StepState.COMPLETED, progress=1.0, duration_seconds=round(took.get(step, wall_seconds), 3))
        if step in done
        else StepReport(name=step, state=StepState.SKIPPED, reason=SKIP_REASONS.get(step, SKIP_RENDITION))
        for step in steps
    )


def warnings(encode: Outcome) -> tuple[str, ...]:
    """What a client should know of a success. FFmpeg conceals damage and goes on."""
    errors = sum("[error]" in line for line in encode.stderr_tail.splitlines())
    if not errors:
        return ()
    return (f"Parts of the input are damaged: {errors} errors were met while it was decoded, and the pictures may show it.",)


def output_facts(recipe: TranscodeRecipe, proof: Proof) -> Iterator[tuple[str, OutputFacts]]:
    """Each proven file by its path."""
    for proven in proof.renditions:
        yield proven.planned.path, _rendition(proven).model_copy(update={"loudness": proof.sound.level(proven.planned.path)})
        if recipe.hls and proven.playlist:
            yield from _hls(recipe.hls, proven, proven.playlist)
    yield from sound_facts(recipe, proof.sound)
    yield from stills.facts(recipe, proof.own_thumbnail)


def _rendition(proven: ProvenRendition) -> OutputFacts:
    facts, planned = proven.facts, proven.planned
    duration = Fraction(facts.duration)
    return OutputFacts(
        role=FileRole.RENDITION,
        rendition=planned.rendition.name,
        codec=planned.rendition.codec.value,
        width=planned.width,
        height=planned.height,
        bitrate=round(facts.size_bytes * 8 / duration),
        sample_rate=facts.audio[0].sample_rate if facts.audio else None,
        duration=round(float(duration), 6),
    )


def _hls(packaging: HlsPackaging, proven: ProvenRendition, playlist: hls.Playlist) -> Iterator[tuple[str, OutputFacts]]:
    planned, name = proven.planned, proven.planned.rendition.name
    path = planned.playlist or ""
    directory = path.rpartition("/")[0]
    yield (
        path,
        OutputFacts(
            role=FileRole.PLAYLIST,
            rendition=name,
            codec=planned.rendition.codec.value,
            width=planned.width,
            height=planned.height,
            duration=round(float(playlist.duration), 6),
            segment_count=len(playlist.segments),
            segment_seconds=float(packaging.segment_seconds),
            segments_bytes=sum(proven.sizes),
        ),
    )
    for segment, length in playlist.segments:
        yield f"{directory}/{segment}", OutputFacts(role=FileRole.SEGMENT, rendition=name, duration=float(length))
    if playlist.init:
        yield f"{directory}/{playlist.init}", OutputFacts(role=FileRole.INIT_SEGMENT, rendition=name)
