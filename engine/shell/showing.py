"""Shows a live stream while it is encoded: finished segments go up to dispatch, and after them the playlists that name them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from engine.core.live import MASTER, PLAYLIST, Segment, Shown, Window, listed, master, most_bitrate
from engine.shell.transfer import Transfer
from engine.shell.tries import TransferFailed
from protocol.recipes import LiveRecipe, PlannedRendition

log = structlog.get_logger()
LOOK_S = 0.2
"""Between two looks at what the tool has finished."""


@dataclass(slots=True)
class Show:
    """`work` is where the tool writes; `publish_url` the signed prefix of this attempt alone.

    Who stops watching a stream that cannot be shown any more loses nothing: the recording goes on.
    """

    transfer: Transfer
    publish_url: str
    work: Path
    recipe: LiveRecipe
    _window: Window | None = None
    _told: dict[str, bytes] = field(default_factory=dict)
    _firsts: dict[str, tuple[bytes, Segment]] = field(default_factory=dict)

    @property
    def is_shown(self) -> bool:
        return MASTER in self._told

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._tried()
            await self.transfer.clock.sleep(LOOK_S)

    async def close(self) -> None:
        """The last segments, and playlists that say that there will be no more."""
        await self._tried(is_over=True)

    async def _tried(self, *, is_over: bool = False) -> None:
        try:
            await self._round(is_over=is_over)
        except TransferFailed as failed:
            log.warning("stream_not_shown", problem=str(failed))

    async def _round(self, *, is_over: bool) -> None:
        playlists = await asyncio.to_thread(self._playlists)
        window = self._window or self._opened(playlists)
        if window is None:
            return
        for due in window.seen(playlists):
            source = self._folder(due.rendition) / due.name
            await self.transfer.stage(self.publish_url, f"{due.rendition}/{due.name}", source, _uncounted)
            window.uploaded(due)
            if due.rendition not in self._firsts:
                segment = playlists[due.rendition][due.number]
                self._firsts[due.rendition] = (await asyncio.to_thread(source.read_bytes), segment)
        if not window.is_shown:
            return
        for name in window.renditions:
            await self._put(f"{name}/{PLAYLIST}", window.playlist(name, is_over=is_over))
        if not self.is_shown:
            await self._put(MASTER, self._master(window))
            log.info("stream_shown", renditions=window.renditions)

    async def _put(self, path: str, content: bytes) -> None:
        if self._told.get(path) != content:
            await self.transfer.put(self.publish_url, path, content)
            self._told[path] = content

    def _playlists(self) -> Mapping[str, tuple[Segment, ...]]:
        """Those that are there: which renditions are made follows from the stream, so all begin at once."""
        found = {}
        for planned in self.recipe.renditions:
            path = self.work / (planned.playlist or "")
            if path.is_file():
                found[planned.rendition.name] = listed(path.read_text(encoding="utf-8"))
        return found

    def _opened(self, playlists: Mapping[str, tuple[Segment, ...]]) -> Window | None:
        made = [planned for planned in self.recipe.renditions if self._folder(planned.rendition.name).is_dir()]
        if not made or len(playlists) < len(made):
            return None
        live = self.recipe.live
        self._window = Window(tuple(planned.rendition.name for planned in made), live.window_segments, live.segment_seconds)
        return self._window

    def _folder(self, rendition: str) -> Path:
        planned = self._planned(rendition)
        return (self.work / (planned.playlist or "")).parent

    def _planned(self, rendition: str) -> PlannedRendition:
        return next(planned for planned in self.recipe.renditions if planned.rendition.name == rendition)

    def _master(self, window: Window) -> bytes:
        shown = []
        for name in window.renditions:
            planned, (first, segment) = self._planned(name), self._firsts[name]
            most = most_bitrate(planned.rendition, self.recipe.live.segment_seconds)
            shown.append(Shown(name, most, first, segment.seconds))
        return master(shown)


def _uncounted(_: int) -> None:
    """Nobody wants to know."""
