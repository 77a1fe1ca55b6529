"""The scratch directory: one directory per attempt, with the input beside the work directory of its tools."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from engine.core.attempts import Key
from engine.shell.journal import Journal
from engine.shell.space import watching_for_space as watching_for_space
from engine.shell.trees import plain_files, remove
from protocol.plugins import MadeFile

INPUT, INPUTS, WORK, TOOLS, BROUGHT, MADE = "input", "inputs", "work", "tools", "brought.json", "made"
"""What an attempt fetched of its job and of sibling tasks, where its tools write, their journals; and two notes for an
engine that takes it over."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Brought:
    """The input lies on the disk whole, or as two `tracks`, picture and sound, that a tool has to join.

    `ending` is that of a file from the net. What another run of the machine (`boot`) wrote down may have been lost.
    """

    boot: str
    ending: str = ""
    tracks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where one attempt works. `work` is the only directory its tools write to."""

    base: Path

    def journal(self, number: int) -> Path:
        """Of the attempt's nth tool process."""
        return self.base / TOOLS / str(number)

    def brought(self, boot: str) -> Brought | None:
        """What `note_brought` wrote down in this run of the machine."""
        noted = _noted(self.base / BROUGHT, _BROUGHT)
        return noted if noted is not None and noted.boot == boot else None

    def note_brought(self, brought: Brought) -> None:
        """The input is complete: an engine that takes the attempt over need not fetch it again."""
        _note(self.base / BROUGHT, _BROUGHT.dump_json(brought))

    def take_for_input(self, made: str, parts: Iterable[str]) -> None:
        """What a tool made of `parts` below the work directory becomes the input, unless it has become it already."""
        if (self.work / made).exists():
            (self.work / made).replace(self.input)
        for part in parts:
            Path(part).unlink(missing_ok=True)

    def start_over(self) -> None:
        """Nothing of an earlier run of the attempt is taken over, but for its input."""
        self.dismiss_tools()
        for folder in (self.base / TOOLS, self.base / MADE, self.work):
            remove(folder)
        with watching_for_space():
            self.work.mkdir(mode=0o700)

    def made(self, after: int) -> Sequence[MadeFile]:
        """What lay there after so many tool processes; asked again, the same, whatever was written beside it since."""
        note = self.base / MADE / f"{after}.json"
        noted = _noted(note, _FILES)
        if noted is None:
            noted = self.files()
            note.parent.mkdir(exist_ok=True)
            _note(note, _FILES.dump_json(noted))
        return noted

    def dismiss_tools(self) -> None:
        """End the tools that run here, if any, with their minders. Blocks."""
        for journal in self.base.glob(f"{TOOLS}/*"):
            Journal(journal).dismiss()

    @property
    def input(self) -> Path:
        return self.base / INPUT

    def of_sibling(self, name: str) -> Path:
        """Where what a sibling task staged goes; its directory is made."""
        target = self.base / INPUTS / name
        target.parent.mkdir(exist_ok=True)
        return target

    @property
    def work(self) -> Path:
        return self.base / WORK

    def files(self) -> list[MadeFile]:
        """The plain files below the work directory, by path. Links are not followed and not listed."""
        return [MadeFile(path, size) for path, size in sorted(plain_files(self.work))]

    def write(self, path: str, content: bytes) -> None:
        target = self.work / path
        with watching_for_space():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


_BROUGHT, _FILES = TypeAdapter(Brought), TypeAdapter(list[MadeFile])


def _noted(path: Path, kind: TypeAdapter[T]) -> T | None:
    try:
        return kind.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _note(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".tmp")
    with watching_for_space():
        beside.write_bytes(content)
        beside.replace(path)


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
            await asyncio.to_thread(_clear, self.place(key).base)

    async def sweep(self, keep: Collection[Key]) -> None:
        """Remove every directory that belongs to no attempt in `keep`; those will be removed with their attempts."""
        kept = {self.place(key).base.name: key for key in keep}
        self._root.mkdir(parents=True, mode=0o700, exist_ok=True)
        for found in sorted(self._root.iterdir()):
            if found.name in kept:
                self._made.add(kept[found.name])
            else:
                await asyncio.to_thread(_clear, found)


def _clear(base: Path) -> None:
    """Remove an attempt's directory, after the minders that still work in it have ended."""
    Place(base).dismiss_tools()
    remove(base)
