"""The argument list for Shaka Packager: it copies, cuts at keyframes and writes playlists; it encodes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.recipes import PackageRecipe, PlannedRendition

AUDIO = "audio"
INIT, PLAYLIST, SEGMENT = "init.mp4", "playlist.m3u8", "segment_$Number%03d$.m4s"

MANIFEST = "packaged.mpd"
"""Where the packager writes its manifest: it names files from where it runs, and the published one stands elsewhere."""

MASTER = "hls/master.m3u8"
"""Where the master playlist goes when none is asked for: the media playlists beside it are read to prove the segments."""


@dataclass(frozen=True, slots=True)
class Track:
    """One stream of the package: the directory of its files, and which rendition's MP4 it is copied from."""

    name: str
    directory: str
    source: PlannedRendition

    @property
    def playlist(self) -> str:
        return f"{self.directory}/{PLAYLIST}"

    @property
    def is_sound(self) -> bool:
        return self.name == AUDIO


def tracks(recipe: PackageRecipe) -> tuple[Track, ...]:
    """The picture of every rendition; the sound once, from the rendition with the best."""
    made = [
        Track(planned.rendition.name, f"{recipe.directory}/{planned.rendition.name}", planned) for planned in recipe.renditions
    ]
    if recipe.source.audio:
        best = max(recipe.renditions, key=lambda planned: planned.rendition.audio.bitrate)
        made.append(Track(AUDIO, f"{recipe.directory}/{AUDIO}", best))
    return tuple(made)


def package(packager: str, recipe: PackageRecipe) -> tuple[str, ...]:
    """Input n is the MP4 of rendition n, by its descriptor: a path may hold letters that part the packager's words."""
    master = recipe.hls_master or MASTER
    numbers = {planned.rendition.name: n for n, planned in enumerate(recipe.renditions)}
    streams = [_stream(track, numbers[track.source.rendition.name], master) for track in tracks(recipe)]
    manifest = ("--mpd_output", MANIFEST, "--generate_static_live_mpd") if recipe.dash_manifest else ()
    return (
        *(packager, "--quiet", *streams, "--segment_duration", str(recipe.packaging.segment_seconds)),
        *("--hls_master_playlist_output", master, "--hls_playlist_type", "VOD", *manifest),
    )


def _stream(track: Track, number: int, master: str) -> str:
    up = "../" * master.count("/")
    words = {
        "in": f"/dev/fd/{{fd{number}}}",
        "stream": "audio" if track.is_sound else "video",
        "init_segment": f"{track.directory}/{INIT}",
        "segment_template": f"{track.directory}/{SEGMENT}",
        "playlist_name": f"{up}{track.playlist}",
        **({"hls_group_id": AUDIO, "hls_name": AUDIO} if track.is_sound else {}),
    }
    return ",".join(f"{word}={value}" for word, value in words.items())


def directories(recipe: PackageRecipe) -> tuple[str, ...]:
    """Below the work directory."""
    beside = {path.rpartition("/")[0] for path in (recipe.hls_master or MASTER, recipe.dash_manifest or "")}
    return tuple(sorted({track.directory for track in tracks(recipe)} | beside - {""}))
