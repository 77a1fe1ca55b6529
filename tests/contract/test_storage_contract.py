"""What every storage must do with single files, asked of each adapter with real files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from protocol.storage import (
    AlreadyExists,
    InvalidPath,
    NotFound,
    Promoted,
    StorageProvider,
    Written,
)
from tests.contract.storage_adapters import ADAPTERS, blocks, content, digest, names, opened

TARGET, WORK = "acme/processed/job_1", "staging/job_1/publish-7"
METADATA = {"metadata.json": b'{"job": 1}'}


@pytest.fixture(params=ADAPTERS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageProvider]:
    with opened(request.param, tmp_path) as made:
        yield made


async def test_what_was_written_is_read_back(storage: StorageProvider) -> None:
    assert await storage.write("a/b/c.bin", blocks(b"one ", b"", b"two")) == Written(7, digest(b"one two"))

    assert await content(storage, "a/b/c.bin") == b"one two"
    assert (await storage.stat("a/b/c.bin")).size == 7


async def test_an_empty_file_is_a_file(storage: StorageProvider) -> None:
    assert await storage.write("empty", blocks()) == Written(0, digest(b""))

    assert await content(storage, "empty") == b""


async def test_a_large_file_comes_in_blocks_of_at_most_one_mebibyte(storage: StorageProvider) -> None:
    part = bytes(range(256)) * 2731
    whole = part * 12
    await storage.write("large", blocks(*[part] * 12))
    read = [block async for block in await storage.read("large")]

    assert b"".join(read) == whole
    assert max(len(block) for block in read) <= 1 << 20


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 3, b"012"), (4, 2, b"45"), (7, None, b"789"), (8, 100, b"89"), (3, 0, b""), (10, None, b""), (99, 5, b"")],
)
async def test_a_range_is_read(storage: StorageProvider, start: int, length: int | None, expected: bytes) -> None:
    await storage.write("digits", blocks(b"0123456789"))

    assert await content(storage, "digits", start, length) == expected


async def test_a_reader_may_leave_in_the_middle(storage: StorageProvider) -> None:
    await storage.write("large", blocks(bytes(3 << 20)))
    async for block in await storage.read("large"):
        assert block
        break

    await storage.delete("large")
    assert await names(storage) == []


async def test_a_missing_file_is_told_before_the_first_block(storage: StorageProvider) -> None:
    with pytest.raises(NotFound):
        await storage.read("a/missing")
    with pytest.raises(NotFound):
        await storage.stat("a/missing")


async def test_a_directory_is_not_a_file(storage: StorageProvider) -> None:
    await storage.write("a/b", blocks(b"x"))

    with pytest.raises(NotFound):
        await storage.read("a")
    with pytest.raises(NotFound):
        await storage.stat("a")
    with pytest.raises(NotFound):
        await storage.stat("a/b/c")


async def test_create_only_never_overwrites(storage: StorageProvider) -> None:
    await storage.write("a", blocks(b"first"))

    with pytest.raises(AlreadyExists):
        await storage.write("a", blocks(b"second"))
    assert await content(storage, "a") == b"first"


async def test_an_asked_overwrite_replaces_the_whole_file(storage: StorageProvider) -> None:
    await storage.write("a", blocks(b"a long first content"))

    await storage.write("a", blocks(b"second"), create_only=False)
    assert await content(storage, "a") == b"second"


async def test_of_many_create_only_writers_exactly_one_wins(storage: StorageProvider) -> None:
    everybody_writes = asyncio.Barrier(12)

    async def slow(value: bytes) -> AsyncIterator[bytes]:
        yield value
        await everybody_writes.wait()
        yield value

    async def attempt(value: bytes) -> bytes | None:
        try:
            await storage.write("prize", slow(value))
        except AlreadyExists:
            return None
        return value

    results = await asyncio.gather(*(attempt(bytes([n]) * 5000) for n in range(12)))
    winners = [value for value in results if value is not None]

    assert len(winners) == 1
    assert await content(storage, "prize") == winners[0] * 2
    assert await names(storage) == ["prize"]


class ClientGone(Exception):
    """The body broke off."""


async def test_a_body_that_breaks_off_leaves_nothing(storage: StorageProvider) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(3 << 20)
        raise ClientGone

    with pytest.raises(ClientGone):
        await storage.write("a/b", broken())
    assert await names(storage) == []
    assert await storage.write("a/b", blocks(b"again")) == Written(5, digest(b"again"))


async def test_a_cancelled_write_leaves_nothing(storage: StorageProvider) -> None:
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield bytes(1 << 20)
        reached.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(storage.write("a/b", endless()))
        await reached.wait()
        writing.cancel()

    assert writing.cancelled()
    assert await names(storage) == []


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "a/", "a//b", "..", "a/../b", ".", "./a", "a/.", ".hidden", "a/.tmp-0"),
        *("a\0b", "a/b\n", "é" * 128, "/".join(["a" * 200] * 6), "a\udc80"),
    ],
)
async def test_a_bad_path_is_refused_everywhere(storage: StorageProvider, path: str) -> None:
    async def promote() -> None:
        await storage.promote(TARGET, WORK, [Promoted("s", path, 0, digest(b""))], {})

    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: storage.read(path),
        lambda: storage.write(path, blocks(b"x")),
        lambda: storage.stat(path),
        lambda: storage.delete(path),
        lambda: storage.promote(path, WORK, [], METADATA),
        lambda: storage.promote(TARGET, path, [], METADATA),
        promote,
    ]
    for call in calls:
        with pytest.raises(InvalidPath):
            await call()
    with pytest.raises(InvalidPath):
        storage.local_path(path)


async def test_the_longest_component_is_accepted(storage: StorageProvider) -> None:
    await storage.write("é" * 127 + "x", blocks(b"x"))

    assert await names(storage) == ["é" * 127 + "x"]


async def test_list_goes_by_whole_names_and_is_sorted(storage: StorageProvider) -> None:
    for path in ("b", "a/z", "a/b/c", "ab/x"):
        await storage.write(path, blocks(path.encode()))

    assert await names(storage) == ["a/b/c", "a/z", "ab/x", "b"]
    assert await names(storage, "a") == ["a/b/c", "a/z"]
    assert await names(storage, "a/z") == ["a/z"]
    assert await names(storage, "missing/x") == []
    assert [file.size for file in await storage.list("a/b")] == [5]


async def test_delete_takes_a_file_a_directory_or_nothing(storage: StorageProvider) -> None:
    for path in ("a/b/c", "a/b/d", "a/e", "f"):
        await storage.write(path, blocks(b"x"))
    await storage.delete("a/b")
    await storage.delete("f")
    await storage.delete("f")
    await storage.delete("no/such/thing")

    assert await names(storage) == ["a/e"]


async def test_space_and_probe(storage: StorageProvider) -> None:
    await storage.probe()
    space = await storage.space()

    assert 0 < space.free <= space.total
    assert await names(storage) == []
