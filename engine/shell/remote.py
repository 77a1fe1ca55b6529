"""Brings an input from the net to the scratch disk: the file itself, or what a playlist says it is made of."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from engine.core import dash_input, hls_input
from engine.core.fetching import ending_of
from engine.core.tracks import MAX_PLAYLIST_BYTES, Track, kind_of, refused
from engine.shell.fetch import Fetched, Fetcher, Fetching, Limit, OnShare, unheard
from engine.shell.flatten import Flattening
from engine.shell.scratch import Place
from protocol.leases import InputAccess, RemoteInput

HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Brought:
    """What lies on the disk now: the input in its place, or two `tracks`, picture and sound, that a tool has to join."""

    ending: str
    tracks: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoteInputs:
    fetcher: Fetcher

    async def fetch(self, access: InputAccess, remote: RemoteInput, place: Place, on_share: OnShare) -> Brought:
        """Raises InputFailed where trying again does not help, TransferFailed or ScratchFull."""
        async with self.fetcher.within(remote.policy) as fetching:
            found = await fetching.get(remote.url, place.input, limit=Limit(on_share=_once_large(place.input, on_share)))
            kind = kind_of(_head(place.input))
            if kind is None:
                return Brought(ending_of(access.filename))
            tracks = await _Playlist(fetching, place.base).tracks(kind, found, place.input)
            flattening = Flattening(fetching, place.base)
            if len(tracks) == 1:
                await flattening.write(tracks[0], place.input, on_share)
                return Brought(tracks[0].ending)
            return await _apart(flattening, tracks, place.base, on_share)


def _once_large(path: Path, on_share: OnShare) -> OnShare:
    """What is small may still be a playlist, and the work lies ahead; else it is there in a moment."""

    def told(share: float) -> None:
        if path.stat().st_size > MAX_PLAYLIST_BYTES:
            on_share(share)

    return told


async def _apart(flattening: Flattening, tracks: tuple[Track, ...], base: Path, on_share: OnShare) -> Brought:
    """The picture, which is by far the larger, tells how far they are."""
    written = []
    for n, track in enumerate(tracks):
        written.append(base / f"track-{n}")
        await flattening.write(track, written[-1], unheard if n else on_share)
    return Brought("mp4", tuple(written))


@dataclass(frozen=True, slots=True)
class _Playlist:
    """Reads playlists; the one an input began with lies on the disk already."""

    fetching: Fetching
    base: Path

    async def tracks(self, kind: str, found: Fetched, path: Path) -> tuple[Track, ...]:
        content = _content(found, path)
        if kind == "dash":
            return await asyncio.to_thread(dash_input.read, content, found.url)
        read = await asyncio.to_thread(hls_input.read, _text(content), found.url)
        if isinstance(read, Track):
            return (read,)
        variants = [await self._media(url) for url in (read.variant, read.audio) if url is not None]
        return tuple(variants)

    async def _media(self, url: str) -> Track:
        kept = self.base / "playlist"
        found = await self.fetching.get(url, kept, limit=Limit(MAX_PLAYLIST_BYTES))
        content = _content(found, kept)
        os.unlink(kept)
        if kind_of(content[:HEAD_BYTES]) != "hls":
            raise refused("the master playlist names something that is no playlist")
        read = await asyncio.to_thread(hls_input.read, _text(content), found.url)
        if not isinstance(read, Track):
            raise refused("the master playlist names another master playlist")
        return read


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _content(found: Fetched, path: Path) -> bytes:
    if found.size > MAX_PLAYLIST_BYTES:
        raise refused(f"the playlist is larger than {MAX_PLAYLIST_BYTES} bytes")
    return path.read_bytes()


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refused("the playlist is not UTF-8") from None
