"""Holds the outputs of a transcode against what was asked for. FFmpeg's exit code 0 is not proof.

A picture or a sound that ends early is the input's fault; anything else that does not fit is this engine's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from plugins.media import checks, hls, sound_proof, stills, subtitles
from plugins.media.codecs import codecs
from plugins.media.framecrc import Frames, frames_of
from plugins.media.lengths import SLACK_FRAMES, Lengths, as_made, end_of, hold, rendition_rate
from plugins.media.picture_proof import hold_picture
from plugins.media.probe import Unreadable, facts_of
from plugins.media.rejected import Rejected
from plugins.media.segments import written
from plugins.media.sound_proof import SoundProof
from plugins.media.soundtracks import own_playlists, sound_files
from plugins.media.subtitles import ProvenText
from plugins.media.text_playlists import TextPlaylist, texts_of
from protocol.errors import ErrorCode
from protocol.media import MediaFacts
from protocol.plugins import MadeFile, Outcome
from protocol.recipes import PlannedRendition, TranscodeRecipe
from protocol.steps import EXTRACT_AUDIO_MP3, GENERATE_THUMBNAILS, hls_step, transcode_step


@dataclass(frozen=True, slots=True)
class ProvenRendition:
    """A rendition that holds, with what was measured. `playlist` is None without HLS; `sizes` are its segments' bytes.

    `codecs` is what a master playlist calls its streams.
    """

    planned: PlannedRendition
    facts: MediaFacts
    codecs: str
    playlist: hls.Playlist | None
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """Everything that was measured of outputs that hold."""

    renditions: tuple[ProvenRendition, ...]
    sound: SoundProof
    texts: tuple[TextPlaylist, ...] = ()
    own_thumbnail: tuple[int, int] | None = None
    subtitles: tuple[ProvenText, ...] = ()
    source: MediaFacts | None = None
    """The timeline as it came out: another than was told where that is allowed. `warnings` say how."""
    warnings: tuple[str, ...] = ()


def presence(recipe: TranscodeRecipe, files: Sequence[MadeFile]) -> None:
    """Every file that was asked for is there and not empty. Raises Rejected."""
    expected: dict[str, str | None] = {planned.path: transcode_step(planned.rendition.name) for planned in recipe.renditions}
    expected |= {planned.playlist: hls_step(planned.rendition.name) for planned in recipe.renditions if planned.playlist}
    expected |= (of_film := stills.expected(recipe))
    expected |= {track.planned.playlist: None for track in own_playlists(recipe) if track.planned.playlist}
    expected |= {file.planned.path: EXTRACT_AUDIO_MP3 for file in sound_files(recipe)}
    expected |= {recipe.speech: None} if recipe.speech and recipe.source.audio else {}
    made = {file.path for file in files if file.size > 0}
    stills.presence(recipe, made)
    missing = [path for path in expected if path not in made]
    if expected and len(missing) == len(expected):
        raise Rejected(ErrorCode.INPUT_CORRUPT, "Nothing of the file decodes.")
    if missing and set(of_film) == set(missing):  # each keeps the first frame of all until its own comes
        raise Rejected(ErrorCode.INPUT_CORRUPT, "No picture of the file decodes.", GENERATE_THUMBNAILS)
    if missing and (silent := sound_proof.nothing_of(recipe, missing)):
        raise sound_proof.undecoded(expected[silent])
    if missing:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"The tool did not make {missing[0]}.", expected[missing[0]])


def verify(recipe: TranscodeRecipe, outcomes: Mapping[str, Outcome], files: Sequence[MadeFile]) -> Proof:
    """What the checks measured, when every output is what was asked for. Raises Rejected."""
    sizes = {file.path: file.size for file in files}
    keyframes = frames_of(outcomes[checks.KEYFRAMES].stdout) if checks.KEYFRAMES in outcomes else {}
    renditions = []
    with_playlist = 0
    for planned in recipe.renditions:
        facts = _rendition(recipe, planned, outcomes, sizes)
        playlist: hls.Playlist | None = None
        segment_sizes: tuple[int, ...] = ()
        if planned.playlist:
            playlist, segment_sizes = written(recipe, planned.playlist, outcomes, sizes, hls_step(planned.rendition.name))
            _segments_hold(recipe, planned, playlist, keyframes.get(with_playlist))
            with_playlist += 1
        renditions.append(ProvenRendition(planned, facts, _codecs(planned, outcomes), playlist, segment_sizes))
    own = stills.own_size(outcomes) if recipe.own_thumbnail else None
    sound = sound_proof.prove(recipe, outcomes, sizes)
    lengths = _lengths(recipe, renditions, sound)
    warnings = hold(recipe.source, lengths, allows_damage=recipe.allows_damage)  # before the endings, which are missing then
    source = as_made(recipe.source, lengths) if warnings else recipe.source
    shown = recipe.model_copy(update={"source": source})
    texts = subtitles.prove(shown, outcomes)
    _decoded(recipe, outcomes)
    return Proof(tuple(renditions), sound, texts_of(shown, texts), own, texts, source, warnings)


def _measured(outcomes: Mapping[str, Outcome], path: str, size: int, step: str) -> MediaFacts:
    try:
        return facts_of(outcomes[f"{checks.FACTS}:{path}"].stdout, size)
    except (Unreadable, KeyError) as error:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"{path} cannot be read back.", step) from error


def _decoded(recipe: TranscodeRecipe, outcomes: Mapping[str, Outcome]) -> None:
    """The first and last frames of every output, and every thumbnail, decode to the size that was asked for."""
    for name, endings in checks.endings(recipe):
        streams = frames_of(outcomes[name].stdout)
        for n, ending in enumerate(endings):
            frames = streams.get(n)
            if frames is None or (ending.is_required and not frames.moments):
                raise Rejected(ErrorCode.OUTPUT_INVALID, f"The start or the end of {ending.path} does not decode.")
            if ending.size is not None and frames.size != ending.size:
                raise Rejected(ErrorCode.OUTPUT_INVALID, f"The picture of {ending.path} has another size than was asked for.")


def _rendition(
    recipe: TranscodeRecipe, planned: PlannedRendition, outcomes: Mapping[str, Outcome], sizes: Mapping[str, int]
) -> MediaFacts:
    step = transcode_step(planned.rendition.name)
    facts = _measured(outcomes, planned.path, sizes[planned.path], step)
    hold_picture(recipe, planned, facts.video)
    sound_proof.beside_picture(recipe, planned, facts)
    return facts


def _codecs(planned: PlannedRendition, outcomes: Mapping[str, Outcome]) -> str:
    told = codecs(outcomes[f"{checks.FACTS}:{planned.path}"].stdout)
    if told is None:
        step = transcode_step(planned.rendition.name)
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"{planned.path} has a profile that is not known.", step)
    return told


def _segments_hold(recipe: TranscodeRecipe, planned: PlannedRendition, playlist: hls.Playlist, keyframes: Frames | None) -> None:
    """Every segment begins with a keyframe, and none is longer than was asked for."""
    step = hls_step(planned.rendition.name)
    frame = 1 / rendition_rate(recipe, planned)
    begin_with_keyframes(planned.rendition.name, playlist, keyframes, frame=frame, step=step)
    longest = max(length for _, length in playlist.segments)
    if recipe.hls is not None and longest > recipe.hls.segment_seconds + SLACK_FRAMES * frame:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"A segment of {planned.rendition.name} is too long.", step)


def begin_with_keyframes(name: str, playlist: hls.Playlist, keyframes: Frames | None, *, frame: Fraction, step: str) -> None:
    """Raises Rejected where a segment of rendition `name` does not begin with one; `frame` is the length of a frame."""
    moments = sorted(keyframes.moments) if keyframes else []
    if not moments:
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"The segments of {name} have no keyframes.", step)
    ticks = {round((moment - moments[0]) / frame) for moment in moments}
    if any(not ticks & set(range(tick - 1, tick + 2)) for tick in (round(start / frame) for start in playlist.starts)):
        raise Rejected(ErrorCode.OUTPUT_INVALID, f"A segment of {name} does not begin with a keyframe.", step)


def _lengths(recipe: TranscodeRecipe, renditions: Sequence[ProvenRendition], sound: SoundProof) -> Lengths:
    made = tuple(one.facts for one in renditions)
    return Lengths(
        pictures=tuple(end_of(facts.video) for facts in made if facts.video),
        sounds=(),
        playlists=tuple(one.playlist.duration for one in renditions if one.playlist),
        tracks=sound_proof.lengths(recipe, made, sound),
    )
