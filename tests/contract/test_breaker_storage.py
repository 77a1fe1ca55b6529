"""A storage that fails and comes back: who asks meanwhile is answered at once, and one look shows that it is there again."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch.services.guarded_storage import GuardedStorage
from plugins.storage_local.provider import LocalStorage
from protocol.storage import NotFound, Stat, StorageUnavailable
from tests.contract.services_world import Moments, world
from tests.contract.storage_adapters import blocks, content


class Failing(LocalStorage):
    """A real directory that is away while it is told so; `asked` counts what came this far."""

    is_away = False
    asked = 0

    def _met(self, path: str) -> None:
        self.asked += 1
        if self.is_away:
            raise StorageUnavailable(path, "no route")

    async def stat(self, path: str) -> Stat:
        self._met(path)
        return await super().stat(path)

    async def probe(self) -> None:
        self._met("probe")
        await super().probe()


async def fail(storage: GuardedStorage, *paths: str) -> None:
    for path in paths:
        with pytest.raises(StorageUnavailable):
            await storage.stat(path)


async def opened(root: Path) -> tuple[Failing, GuardedStorage, Moments]:
    inner, clock = Failing(str(root)), Moments()
    storage = GuardedStorage(inner, clock)
    await storage.write("kept", blocks(b"bytes"))
    inner.is_away = True
    await fail(storage, "a", "b", "c", "d", "e")
    inner.asked = 0
    return inner, storage, clock


async def test_a_storage_that_is_away_is_left_alone(tmp_path: Path) -> None:
    inner, storage, _ = await opened(tmp_path)
    await fail(storage, "f", "g")

    assert (inner.asked, storage.why_not()) == (0, "it was away a moment ago, and is asked again in 5 s")


async def test_one_call_finds_that_it_is_back(tmp_path: Path) -> None:
    inner, storage, clock = await opened(tmp_path)
    clock.advance(5.0)
    inner.is_away = False
    found = await storage.stat("kept")

    assert (found.size, storage.why_not(), await content(storage, "kept")) == (5, None, b"bytes")


async def test_a_missing_file_is_proof_that_it_is_back(tmp_path: Path) -> None:
    inner, storage, clock = await opened(tmp_path)
    clock.advance(5.0)
    inner.is_away = False
    with pytest.raises(NotFound):
        await storage.stat("never")

    assert storage.why_not() is None


async def test_the_probe_goes_whatever_it_is_and_lets_all_through_again(tmp_path: Path) -> None:
    inner, storage, _ = await opened(tmp_path)
    with pytest.raises(StorageUnavailable):
        await storage.probe()
    before = storage.why_not()
    inner.is_away = False
    await storage.probe()

    assert (before is None, storage.why_not()) == (False, None)


async def test_one_file_that_cannot_be_read_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    inner = Failing(str(tmp_path))
    inner.is_away = True
    storage = GuardedStorage(inner, Moments())
    await fail(storage, *["damaged"] * 20)

    assert storage.why_not() is None


async def test_health_tells_of_it_at_once_and_the_next_probe_ends_it(tmp_path: Path) -> None:
    inner = Failing(str(tmp_path))
    async with world(tmp_path, storage=inner) as farm:
        health, storage = farm.core.services.health, farm.core.services.storage
        inner.is_away = True
        for path in "abcde":
            with pytest.raises(StorageUnavailable):
                await storage.stat(path)
        away = await health.part("storage")
        inner.is_away = False
        await farm.core.work.gate.run_once()
        back = await health.part("storage")

    assert (away.status, away.message) == ("unavailable", "it was away a moment ago, and is asked again in 5 s")
    assert back.status == "ok"
