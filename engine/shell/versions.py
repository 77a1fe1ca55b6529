"""The versions installed beside the machine's own package: their directories, and the state that says which one runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from engine.core.updates import Installed

PACKAGE = "reelyard"
STATE = "installed.json"


class Versions:
    """Everything below `root`; the engine that holds the data directory's lock is the only one that writes here."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def state(self) -> Installed:
        """What is remembered; nothing at all where it cannot be read: then the machine's own package runs."""
        try:
            return Installed.model_validate_json((self._root / STATE).read_bytes())
        except (FileNotFoundError, ValidationError):
            return Installed()

    def save(self, state: Installed) -> None:
        """Whole and durable, or not at all."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._root / f".{STATE}.new"
        with beside.open("w", encoding="utf-8") as file:
            file.write(state.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._root / STATE)
        _sync(self._root)

    def place(self, version: str) -> Path:
        return self._root / version

    def has(self, version: str) -> bool:
        return self.place(version).is_dir()

    @contextmanager
    def building(self, version: str) -> Iterator[Path]:
        """A new directory that becomes the version's when the block ends well, and goes when it does not."""
        half = self._root / f".{version}.part"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700, parents=True)
        try:
            yield half
            shutil.rmtree(self.place(version), ignore_errors=True)
            half.rename(self.place(version))
            _sync(self._root)
        finally:
            shutil.rmtree(half, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what is neither running nor what it would fall back to."""
        state = self.state()
        if self._root.is_dir():
            for found in self._root.iterdir():
                if found.is_dir() and found.name not in (state.current, state.previous, state.waiting):
                    shutil.rmtree(found, ignore_errors=True)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
