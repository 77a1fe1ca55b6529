"""Fetches a live HLS playlist, segment by segment, by the one fetcher: no tool gets a URL, and no private address is asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from engine.core.fetching import InputFailed
from engine.core.hls_live import Listed, read
from engine.core.tracks import MAX_PLAYLIST_BYTES, Piece, Track, refused
from engine.shell.fetch import Fetcher, Limit
from engine.shell.flatten import Flattening
from engine.shell.intake import Intake
from engine.shell.tries import TransferFailed
from protocol.addresses import FetchPolicy

log = structlog.get_logger()
MOST_SEGMENT_BYTES = 64 << 20
QUIET_S = 60.0
"""A playlist that says nothing new for so long has ended, whatever it says of itself."""

MOST_HEAD_BYTES = 4 << 20


@dataclass(slots=True)
class HlsPull:
    """`folder` takes segments on their way. Only one lies there at a time."""

    fetcher: Fetcher
    policy: FetchPolicy
    url: str
    folder: Path
    ingest_url: str | None = None
    _last: int | None = None
    _init: Piece | None = None
    _silent_from: float = field(default=0.0)

    async def run(self, intake: Intake) -> None:
        """Satisfies `Source`. What fails before the first segment fails the job; what fails later ends the stream."""
        self._silent_from = self.fetcher.clock.now()
        try:
            url = await self._media()
            while not intake.over.is_set():
                listed = await self._listed(url)
                await self._take(listed, intake)
                if listed.is_over or self._is_silent():
                    return
                await _pause(listed.wait_s, intake)
        except (InputFailed, TransferFailed) as failed:
            if not intake.opened.is_set():
                raise
            log.warning("stream_source_failed", problem=str(failed))

    async def _media(self) -> str:
        """The media playlist: the one named, or the best of the master playlist."""
        text, url = await self._text(self.url)
        found = await asyncio.to_thread(read, text, url)
        return url if isinstance(found, Listed) else found.variant

    async def _listed(self, url: str) -> Listed:
        text, found_at = await self._text(url)
        listed = await asyncio.to_thread(read, text, found_at)
        if not isinstance(listed, Listed):
            raise refused("the master playlist names another master playlist")
        return listed

    async def _text(self, url: str) -> tuple[str, str]:
        target = self.folder / "playlist"
        async with self.fetcher.within(self.policy) as fetching:
            found = await fetching.get(url, target, limit=Limit(MAX_PLAYLIST_BYTES))
        try:
            return target.read_text(encoding="utf-8-sig"), found.url
        except UnicodeDecodeError:
            raise refused("the playlist is not UTF-8") from None

    async def _take(self, listed: Listed, intake: Intake) -> None:
        for number, piece, seconds in listed.after(self._last):
            if self._last is not None and number > self._last + 1:
                log.warning("stream_segments_missed", count=number - self._last - 1)
            content = await self._content(listed, piece)
            if not intake.opened.is_set():
                intake.open(content[:MOST_HEAD_BYTES])
            await intake.take(content)
            intake.seconds += seconds
            self._last, self._silent_from = number, self.fetcher.clock.now()
            if intake.over.is_set():
                return

    async def _content(self, listed: Listed, piece: Piece) -> bytes:
        """With its initialization section before it where that is new."""
        is_new = listed.init is not None and listed.init != self._init
        pieces = (listed.init, piece) if is_new and listed.init is not None else (piece,)
        self._init = listed.init
        target = self.folder / "segment"
        async with self.fetcher.within(self.policy.model_copy(update={"max_bytes": MOST_SEGMENT_BYTES})) as fetching:
            await Flattening(fetching, self.folder).write(Track(pieces, "ts"), target)
        return await asyncio.to_thread(target.read_bytes)

    def _is_silent(self) -> bool:
        return self.fetcher.clock.now() - self._silent_from > QUIET_S


async def _pause(seconds: float, intake: Intake) -> None:
    try:
        async with asyncio.timeout(seconds):
            await intake.over.wait()
    except TimeoutError:
        return
