"""How every storage gives a staged file its lasting name: create-only, checked, and safe to do again."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.storage_local.provider import LocalStorage
from protocol.storage import AlreadyExists, InvalidPath, StagedFileLost, StorageProvider
from tests.contract.storage_adapters import ADAPTERS, blocks, content, digest, names, opened

STAGED, TARGET = "staging/job_1/tsk_1/4/original.mp4", "acme/raw/job_1_original.mp4"
FILM = b"a film" * 1000


@pytest.fixture(params=ADAPTERS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageProvider]:
    with opened(request.param, tmp_path) as made:
        yield made


async def link(storage: StorageProvider, film: bytes = FILM, target: str = TARGET) -> None:
    await storage.link(STAGED, target, size=len(film), sha256=digest(film))


async def test_a_staged_file_gets_a_second_name_and_stays(storage: StorageProvider) -> None:
    await storage.write(STAGED, blocks(FILM))

    await link(storage)
    assert await names(storage) == [TARGET, STAGED]
    assert await content(storage, TARGET) == FILM


async def test_the_name_outlives_the_staged_file(storage: StorageProvider) -> None:
    await storage.write(STAGED, blocks(FILM))
    await link(storage)
    await storage.delete("staging")

    assert await content(storage, TARGET) == FILM


async def test_again_is_a_success_even_without_the_staged_file(storage: StorageProvider) -> None:
    await storage.write(STAGED, blocks(FILM))
    await link(storage)
    await storage.delete("staging")

    await link(storage)
    assert await names(storage) == [TARGET]


async def test_other_bytes_of_that_name_are_left_alone(storage: StorageProvider) -> None:
    await storage.write(STAGED, blocks(FILM))
    await storage.write(TARGET, blocks(FILM[:-1] + b"!"))

    with pytest.raises(AlreadyExists):
        await link(storage)
    assert await content(storage, TARGET) == FILM[:-1] + b"!"


async def test_a_directory_of_that_name_is_left_alone(storage: StorageProvider) -> None:
    await storage.write(STAGED, blocks(FILM))
    await storage.write(f"{TARGET}/file", blocks(b"x"))

    with pytest.raises(AlreadyExists):
        await link(storage)
    assert await names(storage, TARGET) == [f"{TARGET}/file"]


@pytest.mark.parametrize("staged", [None, b"", FILM[:-1], FILM + b"x", FILM[:-1] + b"!"])
async def test_a_staged_file_that_is_missing_or_another_gets_no_name(storage: StorageProvider, staged: bytes | None) -> None:
    if staged is not None:
        await storage.write(STAGED, blocks(staged))

    with pytest.raises(StagedFileLost) as lost:
        await link(storage)
    assert lost.value.path == STAGED
    assert await names(storage, "acme") == []


async def test_of_many_at_once_all_succeed_with_one_file(storage: StorageProvider) -> None:
    await storage.write(STAGED, blocks(FILM))

    await asyncio.gather(*(link(storage) for _ in range(8)))
    assert await names(storage) == [TARGET, STAGED]


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a/../b", ".hidden", "a/.tmp-0"])
async def test_a_bad_path_is_refused(storage: StorageProvider, path: str) -> None:
    await storage.write(STAGED, blocks(FILM))

    with pytest.raises(InvalidPath):
        await link(storage, target=path)
    with pytest.raises(InvalidPath):
        await storage.link(path, TARGET, size=0, sha256=digest(b""))


# --- the local storage on a real machine


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A storage whose staging is a file system of its own, so that nothing can be linked out of it."""
    made = tmp_path / "storage"
    (made / "staging").mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(made / "staging")]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root and CAP_SYS_ADMIN")
    yield made
    subprocess.run(["umount", str(made / "staging")], check=True)


async def test_where_links_fail_the_bytes_are_copied(root: Path) -> None:
    storage = LocalStorage(str(root))
    await storage.write(STAGED, blocks(FILM))

    await link(storage)
    assert await names(storage) == [TARGET, STAGED]
    assert [path.name for path in (root / "acme" / "raw").iterdir()] == ["job_1_original.mp4"]
    assert await content(storage, TARGET) == FILM
