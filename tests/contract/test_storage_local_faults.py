"""Local storage against what a real machine does to it: links, full and read-only disks, disks that go away."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from plugins.storage_local.provider import LocalStorage
from protocol.storage import (
    InvalidPath,
    NotFound,
    Promoted,
    StagedFileLost,
    StorageFull,
    StorageUnavailable,
    TargetDiffers,
)

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "storage"
    made.mkdir()
    return made


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    return LocalStorage(str(root))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own, of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a tmpfs needs root and CAP_SYS_ADMIN")
    yield place
    command("umount", str(place))


async def blocks(*given: bytes) -> AsyncIterator[bytes]:
    for block in given:
        yield block


async def content(storage: LocalStorage, path: str) -> bytes:
    return b"".join([block async for block in await storage.read(path)])


def command(*arguments: str) -> None:
    subprocess.run(arguments, check=True)


def fill(file: Path) -> None:
    """Write until the disk is full to its last page."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(descriptor, bytes(4096)):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(descriptor)


def everything(root: Path) -> list[str]:
    """What lies there for anybody who looks, unfinished files too."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink())


@pytest.mark.parametrize("path", ["link", "link/secret", "a/link/secret", "a/to_file"])
async def test_no_link_is_followed(storage: LocalStorage, root: Path, tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "a").mkdir()
    (root / "link").symlink_to(outside)
    (root / "a/link").symlink_to(outside)
    (root / "a/to_file").symlink_to(outside / "secret")

    with pytest.raises(InvalidPath):
        await storage.read(path)
    with pytest.raises(InvalidPath):
        await storage.stat(path)
    with pytest.raises(InvalidPath):
        await storage.write(f"{path}/new", blocks(b"x"))
    with pytest.raises(InvalidPath):
        await storage.list(path)
    with pytest.raises(InvalidPath):
        await storage.promote(f"{path}/job", "work", [], {"x": b"x"})
    assert storage.local_path(path) is None
    assert await storage.list("") == []
    assert everything(outside) == ["secret"]


async def test_overwriting_a_link_leaves_what_it_points_to(storage: LocalStorage, root: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"victim")
    (root / "link").symlink_to(tmp_path / "victim")
    await storage.write("link", blocks(b"new"), create_only=False)

    assert (tmp_path / "victim").read_bytes() == b"victim"
    assert await content(storage, "link") == b"new"


async def test_deleting_stops_at_links(storage: LocalStorage, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/link").symlink_to(outside)
    (root / "link").symlink_to(outside)
    await storage.delete("a")
    await storage.delete("link")

    assert everything(root) == []
    assert everything(outside) == ["kept"]


async def test_a_link_among_the_staged_files_counts_as_lost(storage: LocalStorage, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    (root / "staging").mkdir()
    (root / "staging/a").symlink_to(tmp_path / "secret")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    with pytest.raises(StagedFileLost):
        await storage.promote("out", "work", [Promoted("staging/a", "a", 0, empty)], {})
    assert not (root / "out").exists()


async def test_a_link_in_the_place_of_the_target_differs(storage: LocalStorage, root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path)

    with pytest.raises(TargetDiffers):
        await storage.promote("out", "work", [], {"a": b"a"})


async def test_a_named_pipe_is_no_file_and_hangs_nobody(storage: LocalStorage, root: Path) -> None:
    os.mkfifo(root / "pipe")

    with pytest.raises(NotFound):
        await storage.read("pipe")
    assert await storage.list("") == []


async def test_a_full_disk_is_told_and_nothing_is_kept(disk: Path) -> None:
    storage = LocalStorage(str(disk))
    with pytest.raises(StorageFull):
        await storage.write("a/large", blocks(*[bytes(MIB)] * 8))

    assert everything(disk) == []
    await storage.write("a/small", blocks(bytes(MIB)))


async def test_the_probe_tells_a_full_disk_and_its_end(disk: Path) -> None:
    storage = LocalStorage(str(disk))
    filler = disk / "filler"
    fill(filler)
    with pytest.raises(StorageFull):
        await storage.probe()
    os.unlink(filler)
    await storage.probe()

    assert everything(disk) == []


async def test_a_promotion_that_fills_the_disk_publishes_nothing(disk: Path) -> None:
    storage = LocalStorage(str(disk))
    written = await storage.write("staging/a", blocks(bytes(MIB)))
    with pytest.raises(StorageFull):
        await storage.promote("out", "work", [Promoted("staging/a", "a", MIB, written.sha256)], {"extra": bytes(8 * MIB)})

    assert everything(disk) == ["staging/a"]


async def test_a_read_only_disk_is_unavailable_until_it_is_back(disk: Path) -> None:
    storage = LocalStorage(str(disk))
    await storage.write("a", blocks(b"a"))
    command("mount", "-o", "remount,ro", str(disk))
    with pytest.raises(StorageUnavailable):
        await storage.write("b", blocks(b"b"))
    with pytest.raises(StorageUnavailable):
        await storage.probe()
    with pytest.raises(StorageUnavailable):
        await storage.delete("a")
    read = await content(storage, "a")
    command("mount", "-o", "remount,rw", str(disk))
    await storage.probe()

    assert read == b"a"


async def test_a_root_that_is_away_is_unavailable_and_never_made_anew(storage: LocalStorage, root: Path) -> None:
    await storage.write("a", blocks(b"a"))
    os.rename(root, root.parent / "away")
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: storage.read("a"),
        lambda: storage.write("b", blocks(b"b")),
        lambda: storage.stat("a"),
        lambda: storage.list(""),
        lambda: storage.list("a"),
        lambda: storage.delete("a"),
        storage.space,
        storage.probe,
        lambda: storage.promote("out", "work", [], {"x": b"x"}),
    ]
    for call in calls:
        with pytest.raises(StorageUnavailable):
            await call()
    assert "storage" not in os.listdir(root.parent)

    os.rename(root.parent / "away", root)
    assert await content(storage, "a") == b"a"


async def test_a_root_nobody_may_enter_is_unavailable(storage: LocalStorage, root: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not stop root")
    os.chmod(root, 0)
    with pytest.raises(StorageUnavailable):
        await storage.stat("a")
    with pytest.raises(StorageUnavailable):
        await storage.probe()
    os.chmod(root, 0o700)


async def test_published_files_are_links_to_the_staged_ones(storage: LocalStorage, root: Path) -> None:
    written = await storage.write("staging/a", blocks(b"film"))
    await storage.promote("out", "work", [Promoted("staging/a", "a", 4, written.sha256)], {})

    assert (root / "out/a").samefile(root / "staging/a")


class CancelHalfway(list[Promoted]):
    """Files that cancel whoever goes through them once the first half stands in the work directory."""

    def __init__(self, files: list[Promoted], work: Path) -> None:
        super().__init__(files)
        self.work = work
        self.task: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Promoted]:
        for file in super().__iter__():
            if self.task and len(everything(self.work)) == len(self) // 2:
                self.task.cancel()
            yield file


async def test_a_promotion_cancelled_halfway_leaves_nothing_and_can_be_redone(storage: LocalStorage, root: Path) -> None:
    files = []
    for n in range(8):
        written = await storage.write(f"staging/{n}", blocks(b"film"))
        files.append(Promoted(f"staging/{n}", f"{n}", 4, written.sha256))
    halfway = CancelHalfway(files, root / "work")
    async with asyncio.TaskGroup() as group:
        halfway.task = group.create_task(storage.promote("out", "work", halfway, {}))

    assert halfway.task.cancelled()
    assert everything(root) == [file.staged for file in files]
    await storage.promote("out", "work", files, {})
    assert everything(root / "out") == [file.path for file in files]


async def test_where_links_fail_staged_files_are_copied(storage: LocalStorage, root: Path, disk: Path) -> None:
    (root / "staging").mkdir()
    command("mount", "--bind", str(disk), str(root / "staging"))
    try:
        written = await storage.write("staging/a", blocks(b"film"))
        await storage.promote("out", "work", [Promoted("staging/a", "b/a", 4, written.sha256)], {})
    finally:
        command("umount", str(root / "staging"))

    assert everything(root) == ["out/b/a"]
    assert await content(storage, "out/b/a") == b"film"


async def test_an_unfinished_file_is_unseen_and_swept_when_abandoned(root: Path) -> None:
    storage = LocalStorage(str(root), unique=lambda: "1")
    begun, end = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        yield b""
        begun.set()
        await end.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(storage.write("a/b", slow()))
        await begun.wait()
        assert everything(root) == ["a/.tmp-1"]
        assert await storage.list("") == []
        written_at = (root / "a/.tmp-1").stat().st_mtime
        assert await storage.sweep_temporary(older_than_s=60, now=written_at + 59) == 0
        end.set()
    (root / "a/.tmp-2").write_bytes(b"of a process that died")
    os.utime(root / "a/.tmp-2", (written_at, written_at))

    assert await storage.sweep_temporary(older_than_s=60, now=written_at + 61) == 1
    assert everything(root) == ["a/b"]


async def test_a_file_where_a_directory_is_needed_is_told(storage: LocalStorage) -> None:
    await storage.write("a", blocks(b"a"))

    with pytest.raises(InvalidPath):
        await storage.write("a/b", blocks(b"b"))
    assert await content(storage, "a") == b"a"


async def test_a_cancel_while_the_thread_writes_waits_for_it(storage: LocalStorage, root: Path) -> None:
    """Many cancels at many moments: no unfinished file may stay, and none may be half there."""
    whole = bytes(MIB)
    writing: list[asyncio.Task[object]] = []

    async def some(reached: asyncio.Event, blocks_first: int) -> AsyncIterator[bytes]:
        for n in range(8):
            if n == blocks_first:
                reached.set()
            yield whole

    async with asyncio.TaskGroup() as group:
        for n in range(16):
            reached = asyncio.Event()
            task: asyncio.Task[object] = group.create_task(storage.write(f"f{n}", some(reached, n % 8)))
            writing.append(task)
            await reached.wait()
            task.cancel()

    assert all(task.cancelled() for task in writing)
    assert everything(root) == []
