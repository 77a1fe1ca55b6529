"""Two servers that publish one job on a shared directory, for the one that led before does not know yet that it leads no more."""

from __future__ import annotations

from pathlib import Path

from plugins.storage_local.promotion import Promotion
from plugins.storage_local.provider import LocalStorage
from plugins.storage_local.tree import Tree
from protocol.storage import Promoted
from tests.contract.storage_adapters import blocks, content, names

TARGET, WORK = "acme/processed/job_1", "staging/job_1/publish-7"


async def staged(storage: LocalStorage) -> list[Promoted]:
    written = await storage.write("staging/job_1/tsk_1/4/web.mp4", blocks(b"film"))
    return [Promoted("staging/job_1/tsk_1/4/web.mp4", "web.mp4", written.size, written.sha256)]


async def test_a_server_that_gives_up_removes_nothing_of_what_another_assembles(tmp_path: Path) -> None:
    storage, tree = LocalStorage(str(tmp_path)), Tree(str(tmp_path))
    files = await staged(storage)
    before, now = (Promotion(tree, TARGET, WORK, files, {"metadata.json": b"{}"}, unique=name) for name in ("a", "b"))
    before.begin()
    before.take(files[0])
    now.begin()
    now.take(files[0])
    before.abandon()  # its term is over
    now.publish()

    assert await content(storage, f"{TARGET}/web.mp4") == b"film"
    assert await names(storage, TARGET) == [f"{TARGET}/metadata.json", f"{TARGET}/web.mp4"]
    assert await names(storage, WORK) == []


async def test_the_second_of_two_finds_it_published_and_changes_nothing(tmp_path: Path) -> None:
    storage, tree = LocalStorage(str(tmp_path)), Tree(str(tmp_path))
    files = await staged(storage)
    second = Promotion(tree, TARGET, WORK, files, {}, unique="b")
    await storage.promote(TARGET, WORK, files, {})
    inode = (tmp_path / TARGET).stat().st_ino
    second.begin()
    second.take(files[0])
    second.publish()

    assert ((tmp_path / TARGET).stat().st_ino, await content(storage, f"{TARGET}/web.mp4")) == (inode, b"film")
    assert await names(storage, WORK) == []
