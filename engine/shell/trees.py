"""Looks at and removes what strangers' tools left on the disk: however deep, however named, whatever it forbids."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DEEPEST = 32
"""Directories below one another in which a file is still looked for; no tool of ours needs more than a few."""


def plain_files(root: Path) -> Iterator[tuple[str, int]]:
    """The path below `root` and the size of each plain file. Links are not followed and not listed.

    Neither is what no tool of ours makes: names that are no text, files too deep, directories that cannot be read.
    """
    folders = [("", 0)]
    while folders:
        below, depth = folders.pop()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(root / below) as found:
            for entry in found:
                path = f"{below}/{entry.name}" if below else entry.name
                if not _is_text(entry.name):
                    continue
                if entry.is_file(follow_symlinks=False):
                    yield path, entry.stat(follow_symlinks=False).st_size
                elif entry.is_dir(follow_symlinks=False) and depth < DEEPEST:
                    folders.append((path, depth + 1))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def remove(root: Path) -> None:
    """With all that is below. What cannot be removed stays; what vanishes meanwhile is no matter.

    Directories that are not empty are first moved beside each other: no path becomes long, and nothing calls itself.
    """
    if root.is_symlink() or not root.is_dir():
        with suppress(OSError):
            root.unlink()
        return
    with suppress(OSError):
        aside = _beside(root)
        todo, count = [f"{aside}/0"], 1
        root.chmod(0o700)
        root.rename(todo[0])
        while todo:
            folder = todo.pop()
            for entry in _entries(folder):
                if not entry.is_dir(follow_symlinks=False):
                    with suppress(OSError):
                        os.unlink(entry.path)
                elif not _removed(entry.path) and _moved(entry.path, f"{aside}/{count}"):
                    todo.append(f"{aside}/{count}")
                    count += 1
            _removed(folder)
        _removed(aside)


def _beside(root: Path) -> str:
    """A new directory of a name that nobody can have taken; on a full disk room is made for it first."""
    try:
        return tempfile.mkdtemp(prefix=".removed-", dir=root.parent)
    except OSError:
        for path, _ in plain_files(root):
            with suppress(OSError):
                (root / path).unlink()
        return tempfile.mkdtemp(prefix=".removed-", dir=root.parent)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """Also of a directory that its owner was forbidden to read."""
    with suppress(OSError):
        os.chmod(folder, 0o700)
        with os.scandir(folder) as found:
            return list(found)
    return []


def _removed(path: str) -> bool:
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def _moved(path: str, target: str) -> bool:
    try:
        os.chmod(path, 0o700)  # to be moved, it must be writable
        os.rename(path, target)
    except OSError:
        return False
    return True
