"""What a tool leaves behind in its work directory, on a real disk: it is listed and removed whatever it looks like."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.attempts import Key
from engine.shell.scratch import Place, Scratch
from engine.shell.trees import plain_files, remove

DEEP = 3000
"""More than Python may call itself, and more than a path may have."""


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[Path]:
    """Directories below one another, with a file in each."""
    root = tmp_path / "1-2"
    (root / "work").mkdir(parents=True)
    here = os.open(root / "work", os.O_RDONLY)
    for _ in range(DEEP):
        os.close(os.open("film", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.mkdir("down", dir_fd=here)
        below = os.open("down", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    yield root
    remove(root)  # pytest could not


def test_what_lies_too_deep_is_not_listed(nested: Path) -> None:
    made = Place(nested).files()

    assert (made[-1].path, len(made)) == ("film", 33)


async def test_a_sweep_removes_what_lies_too_deep_for_a_path(nested: Path) -> None:
    await Scratch(nested.parent).sweep(())

    assert list(nested.parent.iterdir()) == []


def close_up(work: Path) -> None:
    (work / "closed" / "below").mkdir(parents=True)
    (work / "closed" / "below" / "film").touch()
    for closed in (work / "closed" / "below", work / "closed", work):
        closed.chmod(0)


async def test_an_attempt_leaves_nothing_of_directories_that_were_closed(tmp_path: Path) -> None:
    scratch, key = Scratch(tmp_path), Key("t", 1)
    work = scratch.make(key).work
    close_up(work)

    await scratch.remove(key)

    assert os.listdir(tmp_path) == []


def test_only_plain_files_with_names_that_are_text_are_listed(tmp_path: Path) -> None:
    (tmp_path / "line\nbreak").write_bytes(b"123")
    (tmp_path / "link").symlink_to("line\nbreak")
    os.mkfifo(tmp_path / "pipe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()

    assert list(plain_files(tmp_path)) == [("line\nbreak", 3)]


def test_removing_follows_no_link(tmp_path: Path) -> None:
    kept, going = tmp_path / "kept", tmp_path / "going"
    kept.mkdir()
    going.mkdir()
    (kept / "film").touch()
    (going / "link").symlink_to(kept)
    (tmp_path / "link").symlink_to(kept)

    remove(going)
    remove(tmp_path / "link")
    remove(tmp_path / "never")

    assert (list(tmp_path.iterdir()), list(kept.iterdir())) == ([kept], [kept / "film"])
