"""Uploads on a real disk that is another one, or full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.storage_local.provider import LocalStorage
from protocol.storage import InvalidPath, StorageFull
from tests.contract.storage_adapters import blocks, content, names

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "storage"
    made.mkdir()
    return made


@pytest.fixture
def small(root: Path) -> Iterator[LocalStorage]:
    """A storage whose uploads lie on a filesystem of their own, of 4 MiB."""
    place = root / "uploads"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a tmpfs needs root and CAP_SYS_ADMIN")
    yield LocalStorage(str(root))
    subprocess.run(["umount", str(place)], check=True)


async def test_a_file_of_another_disk_is_copied(small: LocalStorage) -> None:
    await small.append("uploads/a", 0, blocks(b"film"))

    size = await small.concatenate(["uploads/a"], "acme/raw/b")
    grown = await small.append("uploads/a", 4, blocks(b"!"))  # the copy has nothing to do with it

    assert (size, grown, await content(small, "acme/raw/b")) == (4, 5, b"film")


async def test_a_full_disk_stops_an_upload_which_goes_on_once_there_is_room(small: LocalStorage) -> None:
    await small.write("uploads/other", blocks(bytes(2 * MIB)))
    await small.append("uploads/a", 0, blocks(b"kept"))
    with pytest.raises(StorageFull):
        await small.append("uploads/a", 4, blocks(*[bytes(MIB)] * 3))
    with pytest.raises(StorageFull):
        await small.concatenate(["uploads/other", "uploads/other"], "uploads/joined")

    await small.delete("uploads/other")
    size = await small.append("uploads/a", 4, blocks(*[bytes(MIB)] * 3))

    assert (size, await names(small)) == (4 + 3 * MIB, ["uploads/a"])
    assert await content(small, "uploads/a") == b"kept" + bytes(3 * MIB)


async def test_a_link_in_the_place_of_an_upload_is_not_followed(root: Path, tmp_path: Path) -> None:
    storage = LocalStorage(str(root))
    (tmp_path / "outside").write_bytes(b"secret")
    (root / "uploads").mkdir()
    (root / "uploads" / "a").symlink_to(tmp_path / "outside")

    with pytest.raises(InvalidPath):
        await storage.append("uploads/a", 0, blocks(b"x"))
    with pytest.raises(InvalidPath):
        await storage.concatenate(["uploads/a"], "acme/b")

    assert (tmp_path / "outside").read_bytes() == b"secret"
