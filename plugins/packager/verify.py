"""Holds a package against what was asked for: every file named is there and no other, and together they are the film."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from plugins.media import checks, hls
from plugins.media.calling import quiet, text
from plugins.media.framecrc import Frames, frames_of
from plugins.media.lengths import LEAST_SLACK, Heard, Lengths, end_of, expected_ends, hold, output_rate, slack
from plugins.media.rejected import Rejected
from plugins.media.verify import begin_with_keyframes
from plugins.packager import dash, locks, sealed
from plugins.packager.command import MANIFEST, MASTER
from plugins.packager.tracks import INIT, Kind, Track, played, tracks
from protocol.errors import ErrorCode
from protocol.packaging import ContentKeys
from protocol.plugins import Invocation, MadeFile, Outcome
from protocol.recipes import PackageRecipe
from protocol.steps import PACKAGE_STREAMS

TEXT, ENDS = "text", "ends"


@dataclass(frozen=True, slots=True)
class Proven:
    """A track that holds, the bytes of its segments, and its playlist; that of text for DASH is what the manifest says."""

    track: Track
    playlist: hls.Playlist
    sizes: tuple[int, ...]
    written: str = ""
    """The playlist as the packager wrote it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`manifest` is the text of the DASH manifest as the packager wrote it, None without one; so is `master`, of HLS."""

    tracks: tuple[Proven, ...]
    manifest: str | None
    master: str


def build(
    ffmpeg: str, recipe: PackageRecipe, threads: int, keys: ContentKeys | None, files: Sequence[MadeFile]
) -> tuple[Invocation, ...]:
    """Playlists and manifest as text, every keyframe, and the last frames of every track, read as a player reads them.

    Where they are encrypted, the initialization segments too, and what one gets of the segments who has no key.
    """
    texts = [recipe.hls_master or MASTER, *(track.playlist for track in listed(recipe))]
    texts += [MANIFEST] if recipe.dash_manifest else []
    known = () if keys is None else locks.keys_for(played(recipe), recipe, keys, files, _last(recipe))
    reads = [
        checks.check(checks.KEYFRAMES, (ffmpeg, *quiet(), "-xerror", *_keyframes(recipe))),
        checks.check(ENDS, (ffmpeg, *quiet(), "-xerror", *_ends(recipe, threads))),
    ]
    return (
        *(checks.check(f"{TEXT}:{path}", text(ffmpeg, path)) for path in texts),
        *(replace(one, secrets=known) for one in reads),
        *(() if keys is None else sealed.build(ffmpeg, recipe, known)),
    )


def listed(recipe: PackageRecipe) -> tuple[Track, ...]:
    """The tracks that have a playlist."""
    return tuple(track for track in tracks(recipe) if not track.is_for_dash_alone)


def _keyframes(recipe: PackageRecipe) -> tuple[str, ...]:
    pictures = [track for track in played(recipe) if track.kind is Kind.PICTURE]
    inputs = [argument for track in pictures for argument in locks.opened(track, recipe, "-skip_frame", "nokey")]
    maps = [word for n in range(len(pictures)) for word in ("-map", f"{n}:v:0")]
    return (*inputs, *maps, "-fps_mode", "passthrough", "-f", "framecrc", "pipe:1")


def _ends(recipe: PackageRecipe, threads: int) -> tuple[str, ...]:
    inputs: list[str] = []
    for track in played(recipe):
        seek = _seek(track, recipe)
        faster = () if track.kind is Kind.SOUND else ("-threads", str(threads), *checks.FASTER_TAIL)
        inputs += locks.opened_end(track, recipe, seek, *faster)
    maps = [
        word for n, track in enumerate(played(recipe)) for word in ("-map", f"{n}:{'a' if track.kind is Kind.SOUND else 'v'}:0")
    ]
    return (*inputs, *maps, "-fps_mode", "passthrough", "-f", "framecrc", "pipe:1")


def _seek(track: Track, recipe: PackageRecipe) -> tuple[str, ...]:
    """Where films may be shorter than they tell, what there is is read from its own end."""
    if recipe.allows_damage:
        return ("-sseof", f"-{float(_back(track, recipe)):.6f}")
    begin = _read_from(track, recipe)
    return ("-ss", f"{float(begin):.6f}") if begin else ()


def _back(track: Track, recipe: PackageRecipe) -> Fraction:
    group = 0 if track.kind is Kind.SOUND else recipe.packaging.segment_seconds
    return LEAST_SLACK + checks.TAIL_SECONDS + group


def _read_from(track: Track, recipe: PackageRecipe) -> Fraction:
    """From when on a track is read for its end, in seconds: a picture from a segment before its tail.

    Where frames are reordered at 24, 30000/1001 or 60 a second, FFmpeg seeks past the keyframe that a segment begins with: it
    rounds the moment up once and down once. What it gives begins with the next one, and a film of one segment gives nothing.
    """
    begin = checks.tail_start(recipe.source, _expected(track, recipe))
    return begin if track.kind is Kind.SOUND else max(Fraction(0), begin - recipe.packaging.segment_seconds)


def _ends_late_enough(one: Proven, recipe: PackageRecipe, frames: Frames) -> bool:
    """Whether a frame stands in the tail. Scripts of last segments are not sought in: there any frame is one."""
    if not frames.moments or locks.is_scripted(recipe):
        return bool(frames.moments)
    track = one.track
    if recipe.allows_damage:
        return max(frames.moments) >= min(_back(track, recipe), one.playlist.duration) - LEAST_SLACK - checks.TAIL_SECONDS
    return max(frames.moments) >= checks.tail_start(recipe.source, _expected(track, recipe)) - _read_from(track, recipe)


def _last(recipe: PackageRecipe) -> int:
    """So many segments hold the end of a track, however short it is allowed to be, and one whole before it."""
    end = Fraction(recipe.source.duration)
    return 2 + ceil((slack(recipe.source, end) + checks.TAIL_SECONDS) / recipe.packaging.segment_seconds)


def _expected(track: Track, recipe: PackageRecipe) -> Fraction | None:
    """When it should end; None where the source does not tell."""
    picture, sound = expected_ends(recipe.source)
    if track.kind is Kind.PICTURE:
        return picture
    if track.heard is None:
        return sound
    found = next((one for one in recipe.source.audio if one.index == track.heard.stream), None)
    return end_of(found) if found is not None and found.duration is not None else None


def verify(
    recipe: PackageRecipe, outcomes: Mapping[str, Outcome], files: Sequence[MadeFile], keys: ContentKeys | None = None
) -> Proof:
    """Raises Rejected where the package is not what was asked for."""
    sizes = {file.path: file.size for file in files}
    proven = tuple(_track(track, outcomes, sizes) for track in listed(recipe))
    master = _text(outcomes, recipe.hls_master or MASTER)
    _master_names(recipe, master, proven)
    manifest = _text(outcomes, MANIFEST) if recipe.dash_manifest else None
    if manifest is not None:
        proven = (*proven, *_manifest_names(manifest, recipe, proven, sizes))
    _lengths_hold(recipe, proven)
    _decoded(recipe, outcomes, proven)
    if keys is not None:
        sealed.verify(recipe, outcomes, keys)
        for one in proven if recipe.hls_master else ():
            if one.track.kind is not Kind.TEXT:
                sealed.tagged(recipe, one.track.playlist, one.written, one.playlist)
    return Proof(proven, manifest, master)


def finished(recipe: PackageRecipe, outcome: Outcome) -> None:
    """Raises Rejected for a media playlist without an end: whoever plays it, the next checks too, would wait for more."""
    kind, _, path = outcome.invocation.name.partition(":")
    if kind == TEXT and path in {track.playlist for track in listed(recipe)}:
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
    written = _text(outcomes, track.playlist)
    playlist = _finished(track.playlist, written)
    named = [f"{track.directory}/{name}" for name, _ in playlist.segments]
    whole = {track.playlist, *([track.init] if track.init else []), *named}
    if playlist.init != (INIT if track.init else None) or len(set(named)) != len(named):
        raise _wrong(f"{track.playlist} does not name the segments that were written.")
    _all_there(track, whole, sizes)
    return Proven(track, playlist, tuple(sizes[path] for path in named), written)


def _all_there(track: Track, whole: Set[str], sizes: Mapping[str, int]) -> None:
    if {path for path in sizes if path.startswith(f"{track.directory}/")} != whole:
        raise _wrong(f"{track.playlist} does not name the segments that were written.")
    if not all(sizes[path] for path in whole):
        raise _wrong(f"A segment of {track.playlist} is empty.")


def _master_names(recipe: PackageRecipe, content: str, proven: Sequence[Proven]) -> None:
    """The master playlist names every track's playlist, and nothing else."""
    directory = posixpath.dirname(recipe.hls_master or MASTER)
    named = {posixpath.normpath(posixpath.join(directory, uri)) for uri in hls.uris(content)}
    if not content.startswith("#EXTM3U") or named != {one.track.playlist for one in proven}:
        raise _wrong("The master playlist does not name the playlists that were written.")


def _manifest_names(
    content: str, recipe: PackageRecipe, proven: Sequence[Proven], sizes: Mapping[str, int]
) -> tuple[Proven, ...]:
    """The manifest names the very segments of the playlists, of the same lengths; and text of its own, which is given."""
    manifest = dash.parse(content)
    if manifest is None:
        raise _wrong("The DASH manifest is not a finished one.")
    found = {one.init: one for one in manifest.representations}
    alike = {_files(one): one.playlist.duration for one in proven if one.track.kind is not Kind.TEXT}
    own = {track.init: track for track in tracks(recipe) if track.is_for_dash_alone}
    if len(found) != len(manifest.representations) or set(found) != {init for init, _ in alike} | set(own):
        raise _wrong("The DASH manifest does not name the tracks that were written.")
    for (init, segments), duration in alike.items():
        if found[init].segments != segments:
            raise _wrong("The DASH manifest does not name the segments that were written.")
        if abs(found[init].duration - duration) > LEAST_SLACK:
            raise _wrong("The DASH manifest and the playlists differ in length.")
    longest = max(one.duration for one in manifest.representations)
    if abs(manifest.duration - longest) > LEAST_SLACK:
        raise _wrong("The DASH manifest tells another length than its segments have.")
    return tuple(_text_track(track, found[init], sizes) for init, track in own.items() if init is not None)


def _text_track(track: Track, found: dash.Representation, sizes: Mapping[str, int]) -> Proven:
    _all_there(track, {found.init, *found.segments}, sizes)
    names = tuple(posixpath.basename(path) for path in found.segments)
    playlist = hls.Playlist(tuple((name, found.duration / len(names)) for name in names), INIT)
    return Proven(track, playlist, tuple(sizes[path] for path in found.segments))


def _files(proven: Proven) -> tuple[str, tuple[str, ...]]:
    directory = proven.track.directory
    return f"{directory}/{INIT}", tuple(f"{directory}/{name}" for name, _ in proven.playlist.segments)


def _lengths_hold(recipe: PackageRecipe, proven: Sequence[Proven]) -> None:
    pictures = tuple(one.playlist.duration for one in proven if one.track.kind is Kind.PICTURE)
    heard = [one for one in proven if one.track.kind is Kind.SOUND]
    sounds = tuple(Heard(_expected(one.track, recipe), (one.playlist.duration,)) for one in heard)
    try:
        hold(recipe.source, Lengths(pictures=pictures, sounds=(), playlists=(), tracks=sounds))
    except Rejected as rejected:  # the renditions were held against the source when they were made: this is ours
        raise _wrong("The segments do not add up to the length of the film.") from rejected
    for one in proven:
        if one.track.kind is Kind.TEXT and one.playlist.duration > max(pictures) + LEAST_SLACK + recipe.packaging.segment_seconds:
            raise _wrong(f"{one.track.directory} goes on after the film.")


def _decoded(recipe: PackageRecipe, outcomes: Mapping[str, Outcome], proven: Sequence[Proven]) -> None:
    """Every segment begins with a keyframe of the right size that decodes, and the last frames decode."""
    keyframes, ends = (frames_of(outcomes[name].stdout) for name in (checks.KEYFRAMES, ENDS))
    frame = 1 / output_rate(recipe.source.video) if recipe.source.video else LEAST_SLACK
    for n, one in enumerate(one for one in proven if one.track.kind is Kind.PICTURE):
        found = keyframes.get(n)
        begin_with_keyframes(one.track.name, one.playlist, found, frame=frame, step=PACKAGE_STREAMS)
        _sized(one.track, found)
    for n, one in enumerate(one for one in proven if one.track.kind is not Kind.TEXT):
        last = ends.get(n)
        if last is None or (_expected(one.track, recipe) is not None and not _ends_late_enough(one, recipe, last)):
            raise _wrong(f"The end of {one.track.playlist} does not decode.")


def _sized(track: Track, frames: Frames | None) -> None:
    planned = track.planned
    if frames is None or planned is None or frames.size != (planned.width, planned.height):
        raise _wrong(f"The picture of {track.playlist} has another size than was asked for.")
