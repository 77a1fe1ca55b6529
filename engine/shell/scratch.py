"""The scratch directory: one directory per attempt, with the input beside the work directory of its tools."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.core.attempts import Key
from engine.ports import ScratchFull
from protocol.plugins import MadeFile

INPUT, WORK = "input", "work"
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def watching_for_space() -> Iterator[None]:
    """Turns a write that found no room into ScratchFull."""
    try:
        yield
    except OSError as fault:
        if fault.errno in NO_ROOM:
            raise ScratchFull(str(fault)) from fault
        raise


@dataclass(frozen=True, slots=True)
class Place:
    """Where one attempt works. `work` is the only directory its tools write to."""

    base: Path

    @property
    def input(self) -> Path:
        return self.base / INPUT

    @property
    def work(self) -> Path:
        return self.base / WORK

    def files(self) -> Sequence[MadeFile]:
        """The plain files below the work directory, by path. Links are not followed and not listed."""
        found = []
        for folder, _, names in os.walk(self.work):
            for name in names:
                path = Path(folder) / name
                if path.is_file() and not path.is_symlink():
                    found.append(MadeFile(str(path.relative_to(self.work)), path.stat().st_size))
        return sorted(found, key=lambda made: made.path)

    def write(self, path: str, content: bytes) -> None:
        target = self.work / path
        with watching_for_space():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


class Scratch:
    """All attempts' directories below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: set[Key] = set()

    def name_of(self, key: Key) -> str:
        return f"{self._root}/{key.task_id}-{key.token}"

    def place(self, key: Key) -> Place:
        return Place(Path(self.name_of(key)))

    def make(self, key: Key) -> Place:
        place = self.place(key)
        with watching_for_space():
            place.work.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._made.add(key)
        return place

    async def remove(self, key: Key) -> None:
        if key in self._made:
            self._made.discard(key)
            await asyncio.to_thread(shutil.rmtree, self.place(key).base, ignore_errors=True)

    async def sweep(self, keep: Collection[Key]) -> None:
        """Remove every directory that belongs to no attempt in `keep`; those will be removed with their attempts."""
        kept = {self.place(key).base.name: key for key in keep}
        self._root.mkdir(parents=True, mode=0o700, exist_ok=True)
        for found in sorted(self._root.iterdir()):
            if found.name in kept:
                self._made.add(kept[found.name])
            else:
                await asyncio.to_thread(shutil.rmtree, found, ignore_errors=True)
