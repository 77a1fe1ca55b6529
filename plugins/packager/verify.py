"""Holds a package against what was asked for: every file named is there and no other, and together they are the film."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plugins.media import checks, hls
from plugins.media.calling import own_file, quiet, text
from plugins.media.framecrc import Frames, frames_of
from plugins.media.lengths import LEAST_SLACK, Lengths, expected_ends, hold, output_rate
from plugins.media.rejected import Rejected
from plugins.media.verify import begin_with_keyframes
from plugins.packager import dash
from plugins.packager.command import INIT, MANIFEST, MASTER, Track, tracks
from protocol.errors import ErrorCode
from protocol.plugins import Invocation, MadeFile, Outcome
from protocol.recipes import PackageRecipe
from protocol.steps import PACKAGE_STREAMS

TEXT, ENDS = "text", "ends"


@dataclass(frozen=True, slots=True)
class Proven:
    """A track that holds, its playlist, and the bytes of its segments."""

    track: Track
    playlist: hls.Playlist
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """`manifest` is the text of the DASH manifest as the packager wrote it, None without one."""

    tracks: tuple[Proven, ...]
    manifest: str | None


def build(ffmpeg: str, recipe: PackageRecipe, threads: int) -> tuple[Invocation, ...]:
    """Playlists and manifest as text, every keyframe, and the last frames of every track, read as a player reads them."""
    texts = [recipe.hls_master or MASTER, *(track.playlist for track in tracks(recipe))]
    texts += [MANIFEST] if recipe.dash_manifest else []
    pictures = [track.playlist for track in tracks(recipe) if not track.is_sound]
    return (
        *(checks.check(f"{TEXT}:{path}", text(ffmpeg, path)) for path in texts),
        checks.keyframes(ffmpeg, pictures),
        checks.check(ENDS, (ffmpeg, *quiet(), "-xerror", *_ends(recipe, threads))),
    )


def _ends(recipe: PackageRecipe, threads: int) -> tuple[str, ...]:
    picture, sound = expected_ends(recipe.source)
    inputs: list[str] = []
    for track in tracks(recipe):
        end = checks.tail(recipe.source, sound if track.is_sound else picture)
        faster = () if track.is_sound else ("-threads", str(threads), *checks.FASTER_TAIL)
        inputs += own_file(track.playlist, *faster, *end)
    maps = [word for n, track in enumerate(tracks(recipe)) for word in ("-map", f"{n}:{'a' if track.is_sound else 'v'}:0")]
    return (*inputs, *maps, "-fps_mode", "passthrough", "-f", "framecrc", "pipe:1")


def verify(recipe: PackageRecipe, outcomes: Mapping[str, Outcome], files: Sequence[MadeFile]) -> Proof:
    """Raises Rejected where the package is not what was asked for."""
    sizes = {file.path: file.size for file in files}
    proven = tuple(_track(track, outcomes, sizes) for track in tracks(recipe))
    _master_names(recipe, _text(outcomes, recipe.hls_master or MASTER), proven)
    manifest = _text(outcomes, MANIFEST) if recipe.dash_manifest else None
    if manifest is not None:
        _manifest_names(manifest, proven)
    _lengths_hold(recipe, proven)
    _decoded(recipe, outcomes, proven)
    return Proof(proven, manifest)


def finished(recipe: PackageRecipe, outcome: Outcome) -> None:
    """Raises Rejected for a media playlist without an end: whoever plays it, the next checks too, would wait for more."""
    kind, _, path = outcome.invocation.name.partition(":")
    if kind == TEXT and path in {track.playlist for track in tracks(recipe)}:
        _finished(path, outcome.stdout.decode("utf-8", "replace"))


def _finished(path: str, content: str) -> hls.Playlist:
    playlist = hls.parse(content)
    if playlist is None:
        raise _wrong(f"{path} is not a finished playlist.")
    return playlist


def _wrong(message: str) -> Rejected:
    return Rejected(ErrorCode.OUTPUT_INVALID, message, PACKAGE_STREAMS)


def _text(outcomes: Mapping[str, Outcome], path: str) -> str:
    outcome = outcomes.get(f"{TEXT}:{path}")
    if outcome is None:
        raise _wrong(f"{path} cannot be read back.")
    return outcome.stdout.decode("utf-8", "replace")


def _track(track: Track, outcomes: Mapping[str, Outcome], sizes: Mapping[str, int]) -> Proven:
    """The playlist names exactly what lies beside it, none of it empty."""
    playlist = _finished(track.playlist, _text(outcomes, track.playlist))
    named = [f"{track.directory}/{name}" for name, _ in playlist.segments]
    beside = {path for path in sizes if path.startswith(f"{track.directory}/")}
    whole = {track.playlist, f"{track.directory}/{INIT}", *named}
    if playlist.init != INIT or beside != whole or len(set(named)) != len(named):
        raise _wrong(f"{track.playlist} does not name the segments that were written.")
    if not all(sizes[path] for path in whole):
        raise _wrong(f"A segment of {track.playlist} is empty.")
    return Proven(track, playlist, tuple(sizes[path] for path in named))


def _master_names(recipe: PackageRecipe, content: str, proven: Sequence[Proven]) -> None:
    """The master playlist names every track's playlist, and nothing else."""
    directory = posixpath.dirname(recipe.hls_master or MASTER)
    named = {posixpath.normpath(posixpath.join(directory, uri)) for uri in hls.uris(content)}
    if not content.startswith("#EXTM3U") or named != {one.track.playlist for one in proven}:
        raise _wrong("The master playlist does not name the playlists that were written.")


def _manifest_names(content: str, proven: Sequence[Proven]) -> None:
    """The manifest names the very segments of the playlists, of the same lengths."""
    manifest = dash.parse(content)
    if manifest is None:
        raise _wrong("The DASH manifest is not a finished one.")
    named = {(one.init, one.segments) for one in manifest.representations}
    if named != {_files(one) for one in proven}:
        raise _wrong("The DASH manifest does not name the segments that were written.")
    lengths = {one.init: one.duration for one in manifest.representations}
    for one in proven:
        if abs(lengths[_files(one)[0]] - one.playlist.duration) > LEAST_SLACK:
            raise _wrong("The DASH manifest and the playlists differ in length.")
    if abs(manifest.duration - max(lengths.values())) > LEAST_SLACK:
        raise _wrong("The DASH manifest tells another length than its segments have.")


def _files(proven: Proven) -> tuple[str, tuple[str, ...]]:
    directory = proven.track.directory
    return f"{directory}/{INIT}", tuple(f"{directory}/{name}" for name, _ in proven.playlist.segments)


def _lengths_hold(recipe: PackageRecipe, proven: Sequence[Proven]) -> None:
    pictures = tuple(one.playlist.duration for one in proven if not one.track.is_sound)
    sounds = tuple(one.playlist.duration for one in proven if one.track.is_sound)
    try:
        hold(recipe.source, Lengths(pictures=pictures, sounds=sounds, playlists=()))
    except Rejected as rejected:  # the renditions were held against the source when they were made: this is ours
        raise _wrong("The segments do not add up to the length of the film.") from rejected


def _decoded(recipe: PackageRecipe, outcomes: Mapping[str, Outcome], proven: Sequence[Proven]) -> None:
    """Every segment begins with a keyframe of the right size that decodes, and the last frames decode."""
    keyframes, ends = (frames_of(outcomes[name].stdout) for name in (checks.KEYFRAMES, ENDS))
    frame = 1 / output_rate(recipe.source.video) if recipe.source.video else LEAST_SLACK
    pictures = [one for one in proven if not one.track.is_sound]
    for n, one in enumerate(pictures):
        found = keyframes.get(n)
        begin_with_keyframes(one.track.name, one.playlist, found, frame=frame, step=PACKAGE_STREAMS)
        _sized(one.track, found)
    picture_end, sound_end = expected_ends(recipe.source)
    for n, one in enumerate(proven):
        last = ends.get(n)
        is_told = (sound_end if one.track.is_sound else picture_end) is not None
        if last is None or (is_told and not last.moments):
            raise _wrong(f"The end of {one.track.playlist} does not decode.")


def _sized(track: Track, frames: Frames | None) -> None:
    if frames is None or frames.size != (track.source.width, track.source.height):
        raise _wrong(f"The picture of {track.playlist} has another size than was asked for.")
