"""How every storage publishes what was staged: all at once, once, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.storage import (
    InvalidPath,
    Promoted,
    StagedFileLost,
    StorageProvider,
    TargetDiffers,
)
from tests.contract.storage_adapters import ADAPTERS, blocks, content, names, opened

TARGET, WORK = "acme/processed/job_1", "staging/job_1/publish-7"
METADATA = {"metadata.json": b'{"job": 1}'}


@pytest.fixture(params=ADAPTERS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageProvider]:
    with opened(request.param, tmp_path) as made:
        yield made


async def staged(storage: StorageProvider, *paths: str) -> list[Promoted]:
    """Files as an attempt stages them; the content tells the path."""
    files = []
    for path in paths:
        written = await storage.write(f"staging/job_1/tsk_1/4/{path}", blocks(path.encode()))
        files.append(Promoted(f"staging/job_1/tsk_1/4/{path}", path, written.size, written.sha256))
    return files


async def test_promotion_publishes_all_and_keeps_what_was_staged(storage: StorageProvider) -> None:
    files = await staged(storage, "web.mp4", "hls/360p/seg_0.m4s", "hls/360p/seg_1.m4s", "hls/master.m3u8")
    await storage.promote(TARGET, WORK, files, METADATA)

    published = ["hls/360p/seg_0.m4s", "hls/360p/seg_1.m4s", "hls/master.m3u8", "metadata.json", "web.mp4"]
    assert await names(storage, TARGET) == [f"{TARGET}/{path}" for path in published]
    assert await content(storage, f"{TARGET}/hls/master.m3u8") == b"hls/master.m3u8"
    assert await content(storage, f"{TARGET}/metadata.json") == METADATA["metadata.json"]
    assert await names(storage, "staging") == sorted(file.staged for file in files)


async def test_promotion_again_is_a_success_even_without_what_was_staged(storage: StorageProvider) -> None:
    files = await staged(storage, "web.mp4", "a/b")
    await storage.promote(TARGET, WORK, files, METADATA)
    before = await storage.list(TARGET)
    await storage.delete("staging")

    await storage.promote(TARGET, WORK, files, METADATA)
    assert await storage.list(TARGET) == before


@pytest.mark.parametrize(
    ("path", "value"),
    [("web.mp4", b"WEB.MP4"), ("web.mp4", b"longer than it"), ("extra", b"x"), ("metadata.json", b'{"job": 2}')],
)
async def test_a_target_that_differs_is_never_touched(storage: StorageProvider, path: str, value: bytes) -> None:
    files = await staged(storage, "web.mp4")
    await storage.promote(TARGET, WORK, files, METADATA)
    await storage.write(f"{TARGET}/{path}", blocks(value), create_only=False)
    before = await storage.list(TARGET)

    with pytest.raises(TargetDiffers):
        await storage.promote(TARGET, WORK, files, METADATA)
    assert await storage.list(TARGET) == before
    assert await content(storage, f"{TARGET}/{path}") == value


async def test_a_target_that_lacks_a_file_differs(storage: StorageProvider) -> None:
    files = await staged(storage, "web.mp4", "web.mp3")
    await storage.promote(TARGET, WORK, files[:1], METADATA)

    with pytest.raises(TargetDiffers):
        await storage.promote(TARGET, WORK, files, METADATA)


async def test_a_file_in_the_place_of_the_target_differs(storage: StorageProvider) -> None:
    await storage.write(TARGET, blocks(b"not a directory"))

    with pytest.raises(TargetDiffers):
        await storage.promote(TARGET, WORK, await staged(storage, "a"), {})
    assert await content(storage, TARGET) == b"not a directory"


@pytest.mark.parametrize("damage", ["missing", "other size", "other content", "other size reported"])
async def test_a_lost_staged_file_publishes_nothing(storage: StorageProvider, damage: str) -> None:
    files = await staged(storage, "one", "two", "three")
    if damage == "other size reported":
        files[1] = replace(files[1], size=4)
    elif damage == "missing":
        await storage.delete(files[1].staged)
    else:
        await storage.write(files[1].staged, blocks(b"2w0" if damage == "other content" else b"t"), create_only=False)
    before = await storage.list("")

    with pytest.raises(StagedFileLost) as lost:
        await storage.promote(TARGET, WORK, files, METADATA)
    assert lost.value.path == files[1].staged
    assert await storage.list("") == before


async def test_what_an_earlier_try_left_in_work_is_not_published(storage: StorageProvider) -> None:
    files = await staged(storage, "web.mp4")
    await storage.write(f"{WORK}/leftover", blocks(b"of a crash between assembling and renaming"))
    await storage.write(f"{WORK}/web.mp4", blocks(b"half"))

    await storage.promote(TARGET, WORK, files, METADATA)
    assert await names(storage, TARGET) == [f"{TARGET}/metadata.json", f"{TARGET}/web.mp4"]
    assert await content(storage, f"{TARGET}/web.mp4") == b"web.mp4"
    assert await names(storage, WORK) == []


async def test_a_cancelled_promotion_publishes_nothing_and_can_be_redone(storage: StorageProvider) -> None:
    files = await staged(storage, *(f"seg_{n}" for n in range(8)))
    async with asyncio.TaskGroup() as group:
        promoting = group.create_task(storage.promote(TARGET, WORK, files, METADATA))
        await asyncio.sleep(0)  # it has begun
        promoting.cancel()

    assert promoting.cancelled()
    assert await names(storage, TARGET) == []
    assert await names(storage, WORK) == []
    await storage.promote(TARGET, WORK, files, METADATA)
    assert len(await names(storage, TARGET)) == 9


async def test_two_promotions_at_once_publish_one_set(storage: StorageProvider) -> None:
    files = await staged(storage, "a", "b/c")
    results = await asyncio.gather(
        *(storage.promote(TARGET, f"staging/job_1/publish-{n}", files, METADATA) for n in range(6)), return_exceptions=True
    )

    assert results == [None] * 6
    assert await names(storage, TARGET) == [f"{TARGET}/a", f"{TARGET}/b/c", f"{TARGET}/metadata.json"]
    assert await names(storage, "staging") == [file.staged for file in files]


async def test_two_files_of_one_name_are_refused(storage: StorageProvider) -> None:
    files = await staged(storage, "metadata.json")

    with pytest.raises(InvalidPath):
        await storage.promote(TARGET, WORK, files, METADATA)
    with pytest.raises(InvalidPath):
        await storage.promote(TARGET, WORK, [*files, *files], {})


async def test_work_that_would_wipe_what_is_staged_is_refused(storage: StorageProvider) -> None:
    files = await staged(storage, "a")

    with pytest.raises(InvalidPath):
        await storage.promote(TARGET, "staging/job_1", files, METADATA)
    assert await names(storage) == [files[0].staged]
