"""Stages what an attempt made: writes the plugin's small extra files, then uploads every file the plugin named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from engine.shell.scratch import Place
from engine.shell.transfer import Transfer
from protocol.errors import ErrorCode, ReelyardError
from protocol.plugins import Conclusion, MadeFile
from protocol.results import StagedFile, StagedOriginal

PARALLEL_UPLOADS = 4


async def stage(
    transfer: Transfer, place: Place, conclusion: Conclusion, staging_url: str | None, uploaded: Callable[[float], None]
) -> tuple[StagedFile, ...]:
    """Upload the files of a conclusion, four at a time; `uploaded` hears the share of bytes that went through.

    Raises TransferFailed, ScratchFull, or ReelyardError(PLUGIN_FAILED) for a file that was not made.
    """
    if not conclusion.facts:
        return ()
    if staging_url is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The plugin made files for a task that stages none.")
    for path, content in conclusion.extra.items():
        place.write(path, content)
    made = {file.path: file for file in place.files()}
    if missing := sorted(set(conclusion.facts) - set(made)):
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The plugin names a file that was not made: {missing[0]}.")
    upload = _Upload(transfer, place, conclusion, [made[path] for path in conclusion.facts], uploaded)
    return await upload.run(staging_url)


async def stage_original(
    transfer: Transfer, place: Place, ending: str, staging_url: str | None, uploaded: Callable[[float], None]
) -> StagedOriginal:
    """Upload the input that was fetched from the net. Raises TransferFailed."""
    if staging_url is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "There is nowhere to stage the fetched original.")
    path, size, moved = f"original.{ending}", max(1, place.input.stat().st_size), 0

    def count(more: int) -> None:
        nonlocal moved
        moved += more
        uploaded(min(1.0, moved / size))

    written = await transfer.stage(staging_url, path, place.input, count)
    return StagedOriginal(path=path, size=written.size, sha256=written.sha256)


class _Upload:
    """One attempt's files on their way up."""

    def __init__(
        self,
        transfer: Transfer,
        place: Place,
        conclusion: Conclusion,
        files: list[MadeFile],
        uploaded: Callable[[float], None],
    ) -> None:
        self._transfer, self._place, self._conclusion = transfer, place, conclusion
        self._files, self._uploaded = files, uploaded
        self._moved, self._total = 0, max(1, sum(file.size for file in files))
        self._staged: dict[str, StagedFile] = {}

    async def run(self, staging_url: str) -> tuple[StagedFile, ...]:
        todo = iter(self._files)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(PARALLEL_UPLOADS, len(self._files))):
                    group.create_task(self._some(todo, staging_url))
        except ExceptionGroup as broken:  # the first to fail tells why; it has ended the others
            raise broken.exceptions[0] from broken
        return tuple(self._staged[file.path] for file in self._files)

    async def _some(self, todo: Iterator[MadeFile], staging_url: str) -> None:
        for file in todo:
            written = await self._transfer.stage(staging_url, file.path, self._place.work / file.path, self._count)
            self._staged[file.path] = StagedFile(
                path=file.path, size=written.size, sha256=written.sha256, facts=self._conclusion.facts[file.path]
            )

    def _count(self, size: int) -> None:
        self._moved += size
        self._uploaded(min(1.0, self._moved / self._total))
