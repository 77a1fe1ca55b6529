"""Results that go past dispatch: from an engine's files to a storage that hands out links, with faults on the way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest

from engine.clock import SystemClock
from engine.core.servers import Servers
from engine.shell.direct import DirectStaging
from engine.shell.transfer import Transfer
from engine.shell.tries import TransferFailed
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Grant, UploadFinish, UploadsReply, UploadsRequest
from protocol.storage import Written
from tests.contract.links_bucket import PART_BYTES, Bucket, LinkedStorage, bucket
from tests.contract.services_world import CLIENT, World, world

FILM = b"\0\0\0\x20ftypisom" + bytes(100)
SIZE = 3 * PART_BYTES + 12_345
WHOLE = 10 * PART_BYTES
"""A part is not cut."""


@dataclass
class Asked:
    """Dispatch's own service, as an engine would ask it by HTTP."""

    farm: World
    engine_id: str
    calls: list[str]

    async def uploads(self, task_id: str, request: UploadsRequest) -> UploadsReply:
        self.calls.append("uploads")
        return await self.farm.core.services.leases.uploads(self.engine_id, task_id, request)

    async def finish_upload(self, task_id: str, request: UploadFinish) -> None:
        self.calls.append("finish")
        await self.farm.core.services.leases.finish_upload(self.engine_id, task_id, request)


@dataclass
class Lane:
    farm: World
    bucket: Bucket
    asked: Asked
    grant: Grant
    staging: DirectStaging
    directory: Path

    def hasty(self) -> DirectStaging:
        """A process that gives up at the first fault, as one that is killed there."""
        old = self.staging
        return DirectStaging(replace(old.transfer, patience_s=-1.0), self.asked, old.task_id, old.token, old.notes)

    def sent(self) -> list[str]:
        """The numbers of the parts that came, in this order."""
        return [path.rpartition("/")[2] for path in self.bucket.puts]

    def again(self) -> DirectStaging:
        """Another process of the same engine."""
        old = self.staging
        return DirectStaging(old.transfer, self.asked, old.task_id, old.token, old.notes)

    def file(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path

    def lies(self, path: str) -> bytes:
        return (self.bucket.root / f"staging/{self.grant.job_id}/{self.grant.task_id}/{self.grant.token}" / path).read_bytes()


@asynccontextmanager
async def lane(tmp_path: Path, patience_s: float = 60.0) -> AsyncIterator[Lane]:
    media = tmp_path / "media"
    media.mkdir()
    (media / "film.mp4").write_bytes(FILM)
    async with bucket(tmp_path / "storage") as held, aiohttp.ClientSession() as session:
        storage = LinkedStorage(str(held.root), held)
        async with world(tmp_path, storage=storage, allowed_roots=[media]) as farm:
            engine = await farm.register()
            job = await farm.submit(profile="web", input={"path": str(media / "film.mp4")})
            grant = await farm.grant(engine.engine_id, job)
            asked = Asked(farm, engine.engine_id, [])
            transfer = Transfer(session, Servers(["http://127.0.0.1:9"]), SystemClock(), random.Random(1).random, patience_s)
            staging = DirectStaging(transfer, asked, grant.task_id, grant.token, tmp_path / "parts")
            yield Lane(farm, held, asked, grant, staging, tmp_path)


def written(content: bytes) -> Written:
    return Written(len(content), hashlib.sha256(content).hexdigest())


def unheard(_: int) -> None:
    return


async def test_small_files_go_up_whole_asked_for_together(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        files = [(f"hls/s{n}.ts", way.file(f"s{n}", os.urandom(1000 + n))) for n in range(5)]
        way.staging.expect(files)

        made = [await way.staging.put(path, source, unheard) for path, source in files]

        assert made == [written(source.read_bytes()) for _, source in files]
        assert [way.lies(path) for path, _ in files] == [source.read_bytes() for _, source in files]
        assert way.asked.calls == ["uploads"]


async def test_a_large_file_goes_up_in_parts_and_is_one_when_it_is_finished(tmp_path: Path) -> None:
    moved: list[int] = []
    async with lane(tmp_path) as way:
        source = way.file("film", os.urandom(SIZE))

        made = await way.staging.put("web.mp4", source, moved.append)

        assert (made, way.lies("web.mp4")) == (written(source.read_bytes()), source.read_bytes())
        assert way.asked.calls == ["uploads", "finish"]
        assert (len(way.bucket.puts), sum(moved)) == (4, SIZE)


async def test_a_cut_part_is_sent_again_and_no_other(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        way.bucket.cuts[:] = [WHOLE, 10_000]
        way.bucket.refuses[:] = [503]
        source = way.file("film", os.urandom(SIZE))

        await way.staging.put("web.mp4", source, unheard)

        assert way.lies("web.mp4") == source.read_bytes()
        assert way.sent() == ["0", "0", "0", "1", "2", "3"]


async def test_another_process_sends_only_the_parts_that_are_missing(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        source = way.file("film", os.urandom(SIZE))
        way.bucket.cuts[:] = [WHOLE, WHOLE, 1000]
        with pytest.raises(TransferFailed):
            await way.hasty().put("web.mp4", source, unheard)
        way.bucket.puts.clear()
        moved: list[int] = []

        made = await way.again().put("web.mp4", source, moved.append)

        assert (made, way.lies("web.mp4")) == (written(source.read_bytes()), source.read_bytes())
        assert way.sent() == ["2", "3"]
        assert sum(moved) == SIZE


async def test_parts_of_other_bytes_are_never_mixed_in(tmp_path: Path) -> None:
    """The tool was run again under the same token, and made another file."""
    async with lane(tmp_path) as way:
        source = way.file("film", os.urandom(SIZE))
        way.bucket.cuts[:] = [WHOLE, 1000]
        with pytest.raises(TransferFailed):
            await way.hasty().put("web.mp4", source, unheard)
        source.write_bytes(os.urandom(SIZE))

        made = await way.again().put("web.mp4", source, unheard)

        assert (made, way.lies("web.mp4")) == (written(source.read_bytes()), source.read_bytes())


async def test_links_that_expired_are_asked_for_again(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        source = way.file("film", os.urandom(SIZE))
        way.bucket.cuts[:] = [WHOLE, 1000]
        with pytest.raises(TransferFailed):
            await way.hasty().put("web.mp4", source, unheard)
        way.bucket.era += 1

        await way.again().put("web.mp4", source, unheard)

        assert way.lies("web.mp4") == source.read_bytes()
        assert way.asked.calls == ["uploads", "uploads", "finish"]


async def test_a_storage_that_forgot_the_parts_gets_them_all_again(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        source = way.file("film", os.urandom(SIZE))
        way.bucket.cuts[:] = [WHOLE] * 3 + [1000]
        with pytest.raises(TransferFailed):
            await way.hasty().put("web.mp4", source, unheard)
        way.bucket.parts.clear()

        await way.again().put("web.mp4", source, unheard)

        assert way.lies("web.mp4") == source.read_bytes()


async def test_a_file_that_stands_there_already_is_ours(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        small, large = way.file("small", b"x" * 100), way.file("large", os.urandom(SIZE))
        await way.staging.put("small.jpg", small, unheard)
        await way.staging.put("large.mp4", large, unheard)

        again = way.again()

        assert await again.put("small.jpg", small, unheard) == written(b"x" * 100)
        assert await again.put("large.mp4", large, unheard) == written(large.read_bytes())


async def test_an_attempt_that_is_over_gets_no_place_and_finishes_nothing(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        source = way.file("film", os.urandom(SIZE))
        way.bucket.cuts[:] = [WHOLE] * 3 + [1000]
        with pytest.raises(TransferFailed):
            await way.hasty().put("web.mp4", source, unheard)
        await way.farm.core.services.jobs.cancel(CLIENT, way.grant.job_id)

        with pytest.raises(ReelyardError) as late:
            await way.again().put("web.mp4", source, unheard)
        with pytest.raises(ReelyardError) as new:
            await way.again().put("other.mp4", way.file("other", b"abc"), unheard)

        assert (late.value.code, new.value.code) == (ErrorCode.STALE_LEASE, ErrorCode.STALE_LEASE)


async def test_many_files_at_once_get_each_its_own_bytes(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        files = [(f"s{n:03}.ts", way.file(f"s{n}", os.urandom(500 + n))) for n in range(230)]
        way.staging.expect(files)

        async with asyncio.TaskGroup() as group:
            for path, source in files:
                group.create_task(way.staging.put(path, source, unheard))

        assert all(way.lies(path) == source.read_bytes() for path, source in files)
        assert way.asked.calls == ["uploads"] * 3
