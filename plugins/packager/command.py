"""The argument list for Shaka Packager: it copies, cuts at keyframes and writes playlists; it encodes nothing."""

from __future__ import annotations

import re

from plugins.packager.locks import FLAGS
from plugins.packager.tracks import Kind, Track, played, tracks
from protocol.packaging import ContentKeys
from protocol.recipes import PackageRecipe

MANIFEST = "packaged.mpd"
"""Where the packager writes its manifest: it names files from where it runs, and the published one stands elsewhere."""

MASTER = "hls/master.m3u8"
"""Where the master playlist goes when none is asked for: the media playlists beside it are read to prove the segments."""

_NOT_IN_WORDS = re.compile(r"[^\w .()&+'!\-]")
"""What parts the packager's words, and what is none of a title's business."""


def sources(recipe: PackageRecipe) -> tuple[str, ...]:
    """The names of the task's inputs, in the order of their descriptors."""
    return tuple(dict.fromkeys(track.source for track in tracks(recipe)))


def renditions(recipe: PackageRecipe) -> tuple[str, ...]:
    """Of those, the renditions."""
    return tuple(dict.fromkeys(track.source for track in played(recipe)))


def package(packager: str, recipe: PackageRecipe, keys: ContentKeys | None = None) -> tuple[str, ...]:
    """Inputs go by their descriptors: a path may hold letters that part the packager's words. Keys are in a file of flags."""
    master, encryption = recipe.hls_master or MASTER, recipe.packaging.encryption
    numbers = {name: n for n, name in enumerate(sources(recipe))}
    streams = [_stream(track, recipe, numbers[track.source], master, keys) for track in tracks(recipe)]
    manifest = ("--mpd_output", MANIFEST, "--generate_static_live_mpd") if recipe.dash_manifest else ()
    sealed: tuple[str, ...] = ()
    if encryption is not None:
        scheme = encryption.scheme.replace("-", "")
        sealed = (f"--flagfile={FLAGS}", "--protection_scheme", scheme, "--clear_lead", str(encryption.clear_lead_seconds))
    return (
        *(packager, "--quiet", *streams, "--segment_duration", str(recipe.packaging.segment_seconds)),
        *("--hls_master_playlist_output", master, "--hls_playlist_type", "VOD", *manifest, *sealed),
    )


def _stream(track: Track, recipe: PackageRecipe, number: int, master: str, keys: ContentKeys | None) -> str:
    words = {
        "in": f"/dev/fd/{{fd{number}}}",
        "stream": track.selector,
        **({"init_segment": track.init} if track.init else {}),
        "segment_template": track.template,
        **({} if track.is_for_dash_alone else {"playlist_name": f"{'../' * master.count('/')}{track.playlist}"}),
        **_described(track),
        **_sealed(track, keys),
    }
    return ",".join(f"{word}={value}" for word, value in words.items())


def _described(track: Track) -> dict[str, str]:
    """What players are told of sounds and texts. The published master playlist is ours: names here only keep them apart."""
    words: dict[str, str] = {}
    if track.language:
        words["language"] = track.language
    if track.kind is Kind.SOUND:
        words |= {"hls_group_id": "audio", "hls_name": track.name}
        if track.heard is not None:
            words |= {"dash_roles": "main" if track.heard.is_default else "alternate"}
            words |= {"dash_label": label(track.heard.title or track.heard.name)}
    if track.kind is Kind.TEXT:
        role = "forced-subtitle" if track.read is not None and track.read.is_forced else "subtitle"
        own = {"format": "vtt+mp4", "dash_only": "1", "dash_roles": role, "dash_label": track.source}
        words |= own if track.is_for_dash_alone else {"format": "webvtt", "hls_only": "1", "hls_group_id": "text"}
        words |= {"hls_name": track.source}
    return words


def label(words: str) -> str:
    """A title as far as it harms nobody who reads it as a part of something."""
    return _NOT_IN_WORDS.sub(" ", words).strip() or "-"


def _sealed(track: Track, keys: ContentKeys | None) -> dict[str, str]:
    if keys is None or track.label is None:
        return {}
    return {"drm_label": "all" if any(key.label == "all" for key in keys.keys) else track.label}


def directories(recipe: PackageRecipe) -> tuple[str, ...]:
    """Below the work directory."""
    beside = {path.rpartition("/")[0] for path in (recipe.hls_master or MASTER, recipe.dash_manifest or "")}
    return tuple(sorted({track.directory for track in tracks(recipe)} | beside - {""}))
