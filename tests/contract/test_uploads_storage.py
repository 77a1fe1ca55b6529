"""What every storage must do with files that grow and files that become one, asked of each adapter with real files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from protocol.storage import AlreadyExists, InvalidPath, NotFound, StorageProvider
from tests.contract.storage_adapters import ADAPTERS, blocks, content, names, opened

FILE, TARGET = "uploads/upl_1", "acme/raw/job_1_original.mp4"


@pytest.fixture(params=ADAPTERS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageProvider]:
    with opened(request.param, tmp_path) as made:
        yield made


class BrokeOffError(Exception):
    pass


async def broken(*given: bytes) -> AsyncIterator[bytes]:
    for block in given:
        yield block
    raise BrokeOffError


async def test_a_file_grows_where_it_ended(storage: StorageProvider) -> None:
    sizes = [
        await storage.append(FILE, 0, blocks()),
        await storage.append(FILE, 0, blocks(b"one ", b"two")),
        await storage.append(FILE, 7, blocks(b" three")),
    ]

    assert (sizes, await content(storage, FILE)) == ([0, 7, 13], b"one two three")


async def test_what_lies_behind_the_offset_is_cut_off(storage: StorageProvider) -> None:
    await storage.append(FILE, 0, blocks(b"0123456789"))

    assert await storage.append(FILE, 4, blocks(b"ab")) == 6
    assert await content(storage, FILE) == b"0123ab"
    assert await storage.append(FILE, 0, blocks(b"new")) == 3


async def test_blocks_that_fail_leave_what_came_before_the_call(storage: StorageProvider) -> None:
    await storage.append(FILE, 0, blocks(b"kept "))

    with pytest.raises(BrokeOffError):
        await storage.append(FILE, 5, broken(b"half a"))

    assert (await content(storage, FILE))[:5] == b"kept "
    assert await storage.append(FILE, 5, blocks(b"whole")) == 10
    assert await content(storage, FILE) == b"kept whole"


async def test_a_file_is_not_continued_behind_its_end(storage: StorageProvider) -> None:
    await storage.append(FILE, 0, blocks(b"short"))

    with pytest.raises(NotFound):
        await storage.append(FILE, 6, blocks(b"x"))
    with pytest.raises(NotFound):
        await storage.append("uploads/none", 1, blocks(b"x"))

    assert await content(storage, FILE) == b"short"


async def test_a_file_with_a_lasting_name_never_changes(storage: StorageProvider) -> None:
    await storage.append(FILE, 0, blocks(b"film"))
    await storage.concatenate([FILE], TARGET)

    if storage.local_path(FILE) is not None:  # elsewhere it is a copy, and the other name cannot be met
        with pytest.raises(AlreadyExists):
            await storage.append(FILE, 4, blocks(b"x"))

    assert await content(storage, TARGET) == b"film"


async def test_one_file_gets_a_second_name_that_outlives_the_first(storage: StorageProvider) -> None:
    await storage.append(FILE, 0, blocks(b"film"))

    size = await storage.concatenate([FILE], TARGET)
    await storage.delete(FILE)

    assert (size, await content(storage, TARGET), await names(storage)) == (4, b"film", [TARGET])


async def test_files_become_one_in_their_order(storage: StorageProvider) -> None:
    for name, value in (("uploads/a", b"a" * 700_000), ("uploads/b", b""), ("uploads/c", b"c" * 2_000_000)):
        await storage.append(name, 0, blocks(value))

    size = await storage.concatenate(["uploads/c", "uploads/b", "uploads/a", "uploads/a"], TARGET)

    assert (size, await content(storage, TARGET)) == (3_400_000, b"c" * 2_000_000 + b"a" * 1_400_000)
    assert await names(storage) == [TARGET, "uploads/a", "uploads/b", "uploads/c"]


@pytest.mark.parametrize("sources", [["uploads/none"], ["uploads/a", "uploads/none"]])
async def test_a_missing_part_makes_nothing(storage: StorageProvider, sources: list[str]) -> None:
    await storage.append("uploads/a", 0, blocks(b"a"))

    with pytest.raises(NotFound):
        await storage.concatenate(sources, TARGET)

    assert await names(storage) == ["uploads/a"]


@pytest.mark.parametrize("sources", [["uploads/a"], ["uploads/a", "uploads/a"]])
async def test_a_target_is_never_overwritten(storage: StorageProvider, sources: list[str]) -> None:
    await storage.append("uploads/a", 0, blocks(b"a"))
    await storage.write(TARGET, blocks(b"first"))

    with pytest.raises(AlreadyExists):
        await storage.concatenate(sources, TARGET)

    assert await content(storage, TARGET) == b"first"


@pytest.mark.parametrize("path", ["../out", "/abs", "a//b", "uploads/.hidden", ""])
async def test_paths_stay_below_the_root(storage: StorageProvider, path: str) -> None:
    await storage.append(FILE, 0, blocks(b"film"))

    with pytest.raises(InvalidPath):
        await storage.append(path, 0, blocks(b"x"))
    with pytest.raises(InvalidPath):
        await storage.concatenate([FILE], path)
    with pytest.raises(InvalidPath):
        await storage.concatenate([path], TARGET)
