"""Live streams of this engine: each received, fed to its tool by a pipe, shown while it runs, and ended in good order.

A tool outlives its engine: when the pipe closes it finishes what it has, and the engine that takes the attempt over shows
and keeps that. A stream is never taken up again by another process: its publisher is gone with the first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from engine.core.attempts import Key, key_of
from engine.core.fetching import InputFailed
from engine.shell.feeding import fill, make_pipe, open_pipe
from engine.shell.fetch import Fetcher
from engine.shell.hls_pull import HlsPull
from engine.shell.intake import Intake, Source
from engine.shell.journal import Journal
from engine.shell.rtmp_door import Listening, RtmpDoor
from engine.shell.scratch import Place
from engine.shell.showing import Show
from engine.shell.transfer import Transfer
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Grant, LiveAccess
from protocol.live import LiveState, LiveTold
from protocol.plugins import Outcome
from protocol.recipes import LiveRecipe

log = structlog.get_logger()
PIPE, HEAD, PULLED = "stream.pipe", "stream.head", "pulled"
ENCODING = 1
"""Which of the attempt's processes encodes: the one after the look at the head."""

TELL_S = 1.0
Told = Callable[[LiveTold], None]


@dataclass(slots=True)
class Feed:
    """Satisfies `Feeds`. `told` hears how the stream is; `intake` is None where the tool of an earlier engine is taken over."""

    pipe: Path
    head: Path
    show: Show
    told: Told
    intake: Intake | None = None

    @property
    def is_journaled(self) -> bool:
        return True

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come in: it has ended, or its engine was another."""
        return self.intake is None or self.intake.over.is_set()

    async def feed(self, running: Awaitable[Outcome]) -> Outcome:
        pipe = None if self.intake is None else _Pipe(self.pipe)  # open before the tool wants to read it, or that would wait
        try:
            async with asyncio.TaskGroup() as group:
                besides = [group.create_task(self.show.run()), group.create_task(self._tell())]
                if self.intake is not None and pipe is not None:
                    besides.append(group.create_task(pipe.flow(self.intake)))
                outcome = await running
                for task in besides:
                    task.cancel()
        except ExceptionGroup as broken:
            raise broken.exceptions[0] from broken
        finally:
            if pipe is not None:
                pipe.close()
        self.told(LiveTold(state=LiveState.ENDED, seconds=self._seconds))
        await self.show.close()
        return outcome

    @property
    def _seconds(self) -> float:
        return 0.0 if self.intake is None else round(self.intake.seconds, 1)

    async def _tell(self) -> None:
        while True:
            state = LiveState.STREAMING if self.show.is_shown else LiveState.STARTING
            self.told(LiveTold(state=state, seconds=self._seconds))
            await self.show.transfer.clock.sleep(TELL_S)


class _Pipe:
    def __init__(self, path: Path) -> None:
        self._number: int | None = open_pipe(path)

    async def flow(self, intake: Intake) -> None:
        """Ends when the stream does, and closes the pipe: the tool then finishes."""
        while (piece := await intake.pieces.get()) is not None:
            if self._number is not None:
                await fill(self._number, memoryview(piece))
        self.close()

    def close(self) -> None:
        if self._number is not None:
            os.close(self._number)
            self._number = None


@dataclass(frozen=True, slots=True)
class Streams:
    """`new_key` gives stream keys that nobody can guess."""

    transfer: Transfer
    fetcher: Fetcher
    listening: Listening
    new_key: Callable[[], str]
    running: dict[Key, asyncio.Event] = field(default_factory=dict)

    def finish(self, key: Key) -> None:
        """End the stream: what has come in becomes the recording. Harmless for one that is not here."""
        over = self.running.get(key)
        if over is not None and not over.is_set():
            log.info("stream_stopping", task=key.task_id, token=key.token)
            over.set()

    @asynccontextmanager
    async def receiving(self, grant: Grant, recipe: LiveRecipe, place: Place, told: Told) -> AsyncIterator[Feed]:
        """Entered once the stream has come. Raises InputFailed(LIVE_NO_PUBLISHER), or what its source raises."""
        if grant.live is None:
            raise ReelyardError(ErrorCode.PLUGIN_FAILED, "Dispatch did not say where the stream is shown.")
        show = Show(self.transfer, grant.live.publish_url, place.work, recipe)
        feed = Feed(place.base / PIPE, place.base / HEAD, show, told)
        if Journal(place.journal(ENCODING)).begun() is not None:
            yield feed
            return
        place.start_over()
        make_pipe(feed.pipe)
        intake = feed.intake = Intake(feed.head)
        source = self._source(recipe, grant.live, place)
        told(LiveTold(state=LiveState.WAITING, ingest_url=source.ingest_url))
        key = key_of(grant)
        self.running[key] = intake.over
        try:
            async with asyncio.TaskGroup() as group:
                coming = group.create_task(_received(source, intake, recipe))
                await self._opened(intake, recipe)
                yield feed
                coming.cancel()
        except ExceptionGroup as broken:
            raise broken.exceptions[0] from broken
        finally:
            self.running.pop(key, None)

    def _source(self, recipe: LiveRecipe, access: LiveAccess, place: Place) -> Source:
        if recipe.source.protocol == "hls" and recipe.source.url is not None:
            folder = place.base / PULLED
            folder.mkdir(exist_ok=True)
            return HlsPull(self.fetcher, access.policy, recipe.source.url, folder)
        if recipe.source.protocol == "rtmp":
            return RtmpDoor(self.listening, self.new_key())
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"This engine receives no stream by {recipe.source.protocol}.")

    async def _opened(self, intake: Intake, recipe: LiveRecipe) -> None:
        wait_s = recipe.live.wait_s
        try:
            async with asyncio.timeout(wait_s):
                await intake.opened.wait()
        except TimeoutError:
            message = f"nobody published the stream within {wait_s} s"
            raise InputFailed(ErrorCode.LIVE_NO_PUBLISHER, message) from None


async def _received(source: Source, intake: Intake, recipe: LiveRecipe) -> None:
    """Until the stream ends, or has lasted as long as it may. The end is told behind the last piece."""
    try:
        async with asyncio.timeout(recipe.live.wait_s + recipe.live.most_hours * 3600):
            await source.run(intake)
    except TimeoutError:
        log.info("stream_lasted_long", most_hours=recipe.live.most_hours)
    if not intake.opened.is_set():
        raise InputFailed(ErrorCode.LIVE_NO_PUBLISHER, "the stream ended before anything could be read of it")
    intake.over.set()
    await intake.pieces.put(None)
