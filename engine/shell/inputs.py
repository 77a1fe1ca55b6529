"""How an attempt gets an input of dispatch: looks at size, room and container, and does what the table decides."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from engine.core.containers import LARGE_BOX_HEAD, MOST_BOXES, Box, Layout, box_at, container_of, layout_of
from engine.core.transfer_choice import (
    END_BYTES,
    Situation,
    Way,
    choose,
    expected_outputs,
    need_of,
    needs_a_look,
)
from engine.shell.download import PART, is_complete, note_complete
from engine.shell.feeding import Feeder, Feeds
from engine.shell.scratch import Place
from engine.shell.shares import NOTHING_SHARED, Shares, link_to
from engine.shell.space import watching_for_space
from engine.shell.transfer import Transfer
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Grant, InputAccess

log = structlog.get_logger()
RANGES, PIPE, SHARED = "input.ranges", "input.pipe", "input.shared"
HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Supply:
    """`path` is what the tool reads. With `has_holes` it is only good for success: a failure is looked into on the whole."""

    path: Path
    has_holes: bool = False
    feeder: Feeds | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    transfer: Transfer
    shares: Shares = NOTHING_SHARED

    @asynccontextmanager
    async def supply(self, grant: Grant, access: InputAccess, place: Place) -> AsyncIterator[Supply]:
        """For as long as the tools run.

        Raises TransferFailed, ScratchFull, or ReelyardError(TASK_DISK) before anything is fetched that cannot fit.
        """
        descriptor = await asyncio.to_thread(self.shares.open, access)
        if descriptor is None:
            yield await self._supplied(grant, access, place)
            return
        log.info("input_way", task=grant.task_id, way=Way.SHARED, size=access.size)
        try:
            link_to(descriptor, place.base / SHARED)
            yield Supply(place.base / SHARED)
        finally:
            os.close(descriptor)

    async def _supplied(self, grant: Grant, access: InputAccess, place: Place) -> Supply:
        ranges = place.base / RANGES
        if is_complete(ranges, access):
            return Supply(ranges, has_holes=True)
        if is_complete(place.input, access):
            return Supply(place.input)
        now = await self._situation(grant, access, place)
        way = choose(now)
        if way is not Way.WHOLE:
            log.info("input_way", task=grant.task_id, way=way, size=access.size, free=now.free, container=now.layout.container)
        match way:
            case Way.RANGES:
                await self._fetch_ranges(access, now.layout, ranges)
                return Supply(ranges, has_holes=True)
            case Way.STREAM:
                return Supply(place.base / PIPE, feeder=self._feeder(access, place))
            case Way.NO_ROOM:
                raise _no_room(now)
            case _:
                await self.transfer.fetch(access, place.input)
                return Supply(place.input)

    async def whole(self, grant: Grant, access: InputAccess, place: Place) -> Supply:
        """After parts of it were not enough. What the parts held is kept: a later engine comes the same way again."""
        if not is_complete(place.input, access):
            now = await self._situation(grant, access, place)
            if not now.fits(access.size):
                raise _no_room(now)
            await self.transfer.fetch(access, place.input)
        return Supply(place.input)

    async def _situation(self, grant: Grant, access: InputAccess, place: Place) -> Situation:
        need, outputs = need_of(grant.kind, grant.recipe), expected_outputs(grant.recipe)
        free, bandwidth = await asyncio.to_thread(_free, place), self.transfer.pace.mean
        layout = Layout("not looked at")
        if needs_a_look(access.size, free, outputs, need, bandwidth):
            layout = await self._look(access)
        return Situation(access.size, free, outputs, need, layout, bandwidth=bandwidth)

    async def _look(self, access: InputAccess) -> Layout:
        head = await self._read(access, 0, HEAD_BYTES)
        container = container_of(head)
        if container != "mp4":
            return layout_of(container)
        boxes: list[Box] = []
        at = 0
        while at < access.size and len(boxes) < MOST_BOXES:
            found = head[at : at + LARGE_BOX_HEAD] if at + LARGE_BOX_HEAD <= len(head) else await self._head_at(access, at)
            box = box_at(at, found, access.size)
            if box is None:
                return Layout("mp4-other")
            boxes.append(box)
            at = box.end
        return layout_of(container, boxes, access.size)

    async def _head_at(self, access: InputAccess, at: int) -> bytes:
        return await self._read(access, at, LARGE_BOX_HEAD)

    async def _read(self, access: InputAccess, at: int, size: int) -> bytes:
        return b"".join([block async for block in self.transfer.blocks(access, at, min(at + size, access.size))])

    async def _fetch_ranges(self, access: InputAccess, layout: Layout, target: Path) -> None:
        """A sparse file of the input's size with both ends, and the index wherever it lies."""
        growing = target.with_name(target.name + PART)
        with watching_for_space(), growing.open("wb") as file:
            file.truncate(access.size)
            for start, end in _spans(access.size, layout):
                file.seek(start)
                async for block in self.transfer.blocks(access, start, end):
                    await asyncio.to_thread(file.write, block)
        growing.replace(target)
        note_complete(target, access)

    def _feeder(self, access: InputAccess, place: Place) -> Feeder:
        """A stream cannot be taken up again: what an earlier run of the attempt made of it goes."""
        place.start_over()
        feeder = Feeder(self.transfer, access, place.base / PIPE)
        feeder.prepare()
        return feeder


def _spans(size: int, layout: Layout) -> list[tuple[int, int]]:
    """Non-overlapping, in order."""
    wanted = [(0, END_BYTES), (size - END_BYTES, size), *((box.start, box.end) for box in layout.index)]
    spans: list[tuple[int, int]] = []
    for start, end in sorted((max(0, start), min(size, end)) for start, end in wanted):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    return spans


def _free(place: Place) -> int:
    """What an earlier try has fetched counts as free: it is gone on with."""
    part = place.input.with_name(place.input.name + PART)
    return shutil.disk_usage(place.base).free + (part.stat().st_size if part.exists() else 0)


def _no_room(now: Situation) -> ReelyardError:
    message = (
        f"The engine's disk has {now.free >> 20} MiB free; the input of {now.size >> 20} MiB and outputs of about "
        f"{now.outputs >> 20} MiB do not fit, and this task cannot read such a file ({now.layout.container}) in one pass."
    )
    return ReelyardError(ErrorCode.TASK_DISK, message)
