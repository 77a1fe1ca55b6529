"""Stages what an attempt made: writes the plugin's small extra files, then uploads every file the plugin named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.shell.direct import DirectStaging, Places
from engine.shell.scratch import Place
from engine.shell.transfer import Moved, Transfer
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Grant
from protocol.plugins import Conclusion, MadeFile
from protocol.results import StagedFile, StagedOriginal
from protocol.storage import Written

PARALLEL_UPLOADS = 4
PARTS = "parts"
"""Below an attempt's own directory: notes of what has gone up in parts."""


class Way(Protocol):
    """How files get to the storage: to dispatch, or past it."""

    def expect(self, files: Sequence[tuple[str, Path]]) -> None: ...
    async def put(self, path: str, source: Path, moved: Moved) -> Written: ...


@dataclass(frozen=True, slots=True)
class ByDispatch:
    """Below a signed prefix of dispatch."""

    transfer: Transfer
    staging_url: str

    def expect(self, files: Sequence[tuple[str, Path]]) -> None:
        """Nothing has to be known beforehand."""

    async def put(self, path: str, source: Path, moved: Moved) -> Written:
        return await self.transfer.stage(self.staging_url, path, source, moved)


def way_of(transfer: Transfer, places: Places | None, grant: Grant, place: Place) -> Way | None:
    """None for a task that stages nothing."""
    if grant.staging_url is None:
        return None
    if grant.stages_directly and places is not None:
        return DirectStaging(transfer, places, grant.task_id, grant.token, place.base / PARTS)
    return ByDispatch(transfer, grant.staging_url)


async def stage(
    way: Way | None, place: Place, conclusion: Conclusion, uploaded: Callable[[float], None]
) -> tuple[StagedFile, ...]:
    """Upload the files of a conclusion, four at a time; `uploaded` hears the share of bytes that went through.

    Raises TransferFailed, ScratchFull, or ReelyardError(PLUGIN_FAILED) for a file that was not made.
    """
    if not conclusion.facts:
        return ()
    if way is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The plugin made files for a task that stages none.")
    for path, content in conclusion.extra.items():
        place.write(path, content)
    made = {file.path: file for file in place.files()}
    if missing := sorted(set(conclusion.facts) - set(made)):
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The plugin names a file that was not made: {missing[0]}.")
    way.expect([(path, place.work / path) for path in conclusion.facts])
    return await _Upload(way, place, conclusion, [made[path] for path in conclusion.facts], uploaded).run()


async def stage_original(way: Way | None, place: Place, ending: str, uploaded: Callable[[float], None]) -> StagedOriginal:
    """Upload the input that was fetched from the net. Raises TransferFailed."""
    if way is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "There is nowhere to stage the fetched original.")
    path, size, moved = f"original.{ending}", max(1, place.input.stat().st_size), 0

    def count(more: int) -> None:
        nonlocal moved
        moved += more
        uploaded(min(1.0, moved / size))

    written = await way.put(path, place.input, count)
    return StagedOriginal(path=path, size=written.size, sha256=written.sha256)


class _Upload:
    """One attempt's files on their way up."""

    def __init__(
        self,
        way: Way,
        place: Place,
        conclusion: Conclusion,
        files: list[MadeFile],
        uploaded: Callable[[float], None],
    ) -> None:
        self._way, self._place, self._conclusion = way, place, conclusion
        self._files, self._uploaded = files, uploaded
        self._moved, self._total = 0, max(1, sum(file.size for file in files))
        self._staged: dict[str, StagedFile] = {}

    async def run(self) -> tuple[StagedFile, ...]:
        todo = iter(self._files)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(PARALLEL_UPLOADS, len(self._files))):
                    group.create_task(self._some(todo))
        except ExceptionGroup as broken:  # the first to fail tells why; it has ended the others
            raise broken.exceptions[0] from broken
        return tuple(self._staged[file.path] for file in self._files)

    async def _some(self, todo: Iterator[MadeFile]) -> None:
        for file in todo:
            written = await self._way.put(file.path, self._place.work / file.path, self._count)
            self._staged[file.path] = StagedFile(
                path=file.path, size=written.size, sha256=written.sha256, facts=self._conclusion.facts[file.path]
            )

    def _count(self, size: int) -> None:
        self._moved += size
        self._uploaded(min(1.0, self._moved / self._total))
