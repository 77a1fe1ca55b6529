"""Links of a real S3 store: inputs out of its buckets, results and uploads into it, and playback from it."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from client.api import ReelyardClient
from dispatch.api.server import application
from dispatch.services.s3_inputs import Buckets, S3Inputs
from engine.clock import SystemClock
from engine.core.fetching import InputFailed
from engine.core.servers import Servers
from engine.shell.direct import DirectStaging
from engine.shell.transfer import Transfer
from plugins.storage_s3.source import S3Source
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput, JobSubmission, S3Object
from protocol.leases import Grant, InputAccess
from protocol.objects import ObjectReach
from protocol.storage import NotFound, StorageUnavailable, Written
from tests.contract.api_server import UNCOUNTED, Server
from tests.contract.playback_world import FILES, beside, finished, link, opened
from tests.contract.services_world import World, world
from tests.contract.storage_adapters import s3
from tests.contract.test_links_staging import Asked, unheard
from tests.servers import seaweed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART = 5 << 20
SIZE = 2 * PART + 4321
FILM = b"\0\0\0\x20ftypisom" + bytes(5000)


@dataclass
class Lane:
    """`puts` are the files and parts that the store took of this process."""

    farm: World
    transfer: Transfer
    server: Server
    client: ReelyardClient
    directory: Path
    puts: list[str] = field(default_factory=list)

    async def grant(self) -> tuple[str, Grant]:
        engine = await self.farm.register()
        job = await self.farm.submit(profile="web", input=self.object("film.mp4"))
        return engine.engine_id, await self.farm.grant(engine.engine_id, job)

    def object(self, key: str) -> JobInput:
        return JobInput(s3=S3Object(bucket=seaweed.BUCKET, key=key))

    def file(self, size: int) -> Path:
        path = self.directory / "film.mp4"
        path.write_bytes(FILM[:12] + os.urandom(size - 12))
        return path

    def staging(self, engine_id: str, grant: Grant) -> DirectStaging:
        asked = Asked(self.farm, engine_id, [])
        return DirectStaging(self.transfer, asked, grant.task_id, grant.token, self.directory / "parts")

    async def lies(self, path: str) -> bytes:
        return b"".join([block async for block in await self.farm.core.outside.storage.read(path)])


def reach(**changed: str) -> ObjectReach:
    server = seaweed.shared()
    told = {"endpoint": server.url, "credentials_file": str(server.credentials), **changed}
    return ObjectReach(path_style=True, **told)


@cache
def reader() -> S3Source:
    """Making a client takes a tenth of a second: one for all."""
    made = S3Source(reach())
    atexit.register(made.close)
    return made


def put(key: str, content: bytes) -> None:
    _eye().put_object(Bucket=seaweed.BUCKET, Key=key, Body=content)


@cache
def _eye() -> S3Client:
    client = seaweed.shared().client()
    atexit.register(client.close)
    return client


@pytest.fixture
def key() -> str:
    """Of an object that lies there, for one test alone."""
    made = f"{seaweed.own_prefix()}/footage/über uns + 100 %.mp4"
    put(made, FILM)
    return made


@asynccontextmanager
async def lane(tmp_path: Path) -> AsyncIterator[Lane]:
    put("film.mp4", FILM)
    buckets = S3Inputs((Buckets(reader(), frozenset({seaweed.BUCKET}), frozenset()),))
    puts: list[str] = []

    async def note(session: aiohttp.ClientSession, context: SimpleNamespace, told: aiohttp.TraceRequestEndParams) -> None:
        if told.method == "PUT" and told.response.ok:
            puts.append(told.url.query.get("partNumber", "whole"))

    tracing = aiohttp.TraceConfig()
    tracing.on_request_end.append(note)
    with s3(whole_bytes=100_000, link_part_bytes=PART) as storage:
        session = aiohttp.ClientSession(trace_configs=[tracing])
        async with world(tmp_path, storage=storage, buckets=buckets) as farm, session as http, listening(farm) as running:
            url = f"http://127.0.0.1:{running.addresses[0][1]}"
            transfer = Transfer(http, Servers([url]), SystemClock(), random.Random(1).random, 30.0)
            async with ReelyardClient(url, "rk_admin", notes=tmp_path / "notes") as client:
                yield Lane(farm, transfer, Server(farm.core, tmp_path, url, http, running), client, tmp_path, puts)


@asynccontextmanager
async def listening(farm: World) -> AsyncIterator[web.AppRunner]:
    running = web.AppRunner(application(farm.core.services, UNCOUNTED), access_log=None, shutdown_timeout=0.1)
    await running.setup()
    await web.TCPSite(running, "127.0.0.1", 0).start()
    try:
        yield running
    finally:
        await running.cleanup()


# --- objects as inputs


async def test_an_object_is_looked_at_by_its_first_bytes(key: str) -> None:
    found = await reader().look(seaweed.BUCKET, key, head_bytes=12)

    assert (found.size, found.head) == (len(FILM), FILM[:12])
    assert found.etag == hashlib.md5(FILM, usedforsecurity=False).hexdigest()


async def test_an_object_of_no_bytes_has_no_first_ones(key: str) -> None:
    put(key, b"")
    found = await reader().look(seaweed.BUCKET, key, head_bytes=12)

    assert (found.size, found.head) == (0, b"")


async def test_what_is_not_there_is_told_as_missing(key: str) -> None:
    for bucket, name in ((seaweed.BUCKET, "none.mp4"), ("no-such-bucket", key)):
        with pytest.raises(NotFound):
            await reader().look(bucket, name, head_bytes=12)


async def test_wrong_credentials_are_no_fault_of_the_input(tmp_path: Path, key: str) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("[default]\naws_access_key_id=nobody\naws_secret_access_key=nothing\n")
    source = S3Source(reach(credentials_file=str(wrong)))

    with pytest.raises(StorageUnavailable):
        await source.look(seaweed.BUCKET, key, head_bytes=12)
    source.close()


async def test_a_store_that_is_away_is_no_missing_object(key: str) -> None:
    source = S3Source(reach(endpoint="http://127.0.0.1:9"))
    with pytest.raises(StorageUnavailable):
        await source.look(seaweed.BUCKET, key, head_bytes=12)
    source.close()


@pytest.mark.parametrize("text", ["", "[other]\na=b\n", "[default]\naws_access_key_id=a\n", "no sections"])
def test_credentials_that_cannot_be_used_are_named_without_what_they_hold(tmp_path: Path, text: str) -> None:
    file = tmp_path / "credentials"
    file.write_text(text)

    with pytest.raises(ValueError, match="cannot be read") as error:
        S3Source(reach(credentials_file=str(file)))
    assert "aws_access_key_id=a" not in str(error.value)


async def granted(way: Lane, key: str) -> InputAccess:
    job_id = await way.farm.submit(profile="web", input=way.object(key))
    access = (await way.farm.grant((await way.farm.register()).engine_id, job_id)).input
    assert access is not None
    return access


async def test_an_engine_reads_an_object_whole_and_in_parts(tmp_path: Path, key: str) -> None:
    async with lane(tmp_path) as way:
        access = await granted(way, key)

        await way.transfer.fetch(access, tmp_path / "input")
        end = b"".join([block async for block in way.transfer.blocks(access, 5000, len(FILM))])

        assert ((tmp_path / "input").read_bytes(), end) == (FILM, FILM[5000:])


@pytest.mark.parametrize("change", [b"x", b""])
async def test_an_object_that_was_replaced_is_not_taken_for_the_one_submitted(tmp_path: Path, key: str, change: bytes) -> None:
    async with lane(tmp_path) as way:
        access = await granted(way, key)
        put(key, FILM[:-1] + change)

        with pytest.raises(InputFailed) as error:
            await way.transfer.fetch(access, tmp_path / "input")

        assert error.value.code == ErrorCode.INPUT_CHANGED


async def test_an_object_that_was_deleted_is_told_as_missing(tmp_path: Path, key: str) -> None:
    async with lane(tmp_path) as way:
        access = await granted(way, key)
        _eye().delete_object(Bucket=seaweed.BUCKET, Key=key)

        with pytest.raises(InputFailed) as error:
            await way.transfer.fetch(access, tmp_path / "input")
        with pytest.raises(ReelyardError) as refused:
            await way.farm.submit(profile="web", input=way.object(key))

        assert (error.value.code, refused.value.code) == (ErrorCode.INPUT_NOT_FOUND, ErrorCode.INPUT_NOT_FOUND)


async def test_a_link_to_dispatch_leads_to_the_object_too(tmp_path: Path, key: str) -> None:
    async with lane(tmp_path) as way:
        job_id = await way.farm.submit(profile="web", input=way.object(key))
        here = f"{way.server.signed('GET', f'inputs/{job_id}')}/inputs/{job_id}/source"

        async with way.server.http.get(way.server.url + here) as response:
            assert await response.read() == FILM
            assert str(response.url).startswith(seaweed.shared().url)


@pytest.mark.parametrize("path", ["s3", "minio"])
async def test_an_object_is_submitted_by_a_call_of_its_own(tmp_path: Path, key: str, path: str) -> None:
    async with lane(tmp_path) as way:
        body = {"bucket": seaweed.BUCKET, "object_key": key, "profile": "web", "priority": 3}

        answer = await way.server.call("POST", f"/api/v1/jobs/{path}", json=body)

        assert (answer.status, answer.json["priority"]) == (202, 3)
        assert answer.json["input"] == {"s3": {"bucket": seaweed.BUCKET, "key": key}}


# --- results


async def test_results_go_up_whole_and_in_parts(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        engine_id, grant = await way.grant()
        large, small = way.file(SIZE), tmp_path / "small"
        small.write_bytes(b"a playlist")
        staging = way.staging(engine_id, grant)

        made = [await staging.put("web.mp4", large, unheard), await staging.put("hls/web.m3u8", small, unheard)]

        prefix = f"staging/{grant.job_id}/{grant.task_id}/{grant.token}"
        assert made == [Written(len(c), hashlib.sha256(c).hexdigest()) for c in (large.read_bytes(), b"a playlist")]
        assert await way.lies(f"{prefix}/web.mp4") == large.read_bytes()
        assert await way.lies(f"{prefix}/hls/web.m3u8") == b"a playlist"
        assert sorted(way.puts) == ["1", "2", "3", "whole"]


async def test_a_result_of_no_bytes_is_a_result(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        engine_id, grant = await way.grant()
        (tmp_path / "empty").touch()

        made = await way.staging(engine_id, grant).put("words.txt", tmp_path / "empty", unheard)

        assert made == Written(0, hashlib.sha256(b"").hexdigest())
        assert await way.lies(f"staging/{grant.job_id}/{grant.task_id}/{grant.token}/words.txt") == b""


async def test_an_engine_that_was_killed_sends_the_rest(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        engine_id, grant = await way.grant()
        large, sent = way.file(SIZE), 0

        def die(count: int) -> None:
            nonlocal sent
            sent += count
            if sent > PART + (1 << 20):
                dying.cancel()

        async with asyncio.TaskGroup() as group:
            dying = group.create_task(way.staging(engine_id, grant).put("web.mp4", large, die))
        assert way.puts == ["1"]

        await way.staging(engine_id, grant).put("web.mp4", large, unheard)

        assert await way.lies(f"staging/{grant.job_id}/{grant.task_id}/{grant.token}/web.mp4") == large.read_bytes()
        assert way.puts == ["1", "2", "3"]


async def test_what_stands_in_the_bucket_is_never_replaced(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        engine_id, grant = await way.grant()
        file = way.file(SIZE)
        await way.staging(engine_id, grant).put("web.mp4", file, unheard)
        first = file.read_bytes()

        await way.staging(engine_id, grant).put("web.mp4", way.file(SIZE), unheard)

        assert await way.lies(f"staging/{grant.job_id}/{grant.task_id}/{grant.token}/web.mp4") == first


# --- clients


@pytest.mark.parametrize("size", [5000, SIZE])
async def test_an_upload_goes_into_the_bucket_and_becomes_an_original(tmp_path: Path, size: int) -> None:
    async with lane(tmp_path) as way:
        file = way.file(size)

        job = await way.client.submit_file(file, JobSubmission(profile="web"))

        source = (await way.farm.graph(job.job_id)).job.source
        assert (source.kind, source.size) == ("storage", size)
        assert await way.lies(source.path) == file.read_bytes()


async def test_playback_takes_playlists_from_dispatch_and_media_from_the_bucket(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        job_id = await finished(way.server)
        told = await link(way.server)
        found, served = {}, set()
        for path in FILES:
            answer = await opened(way.server, beside(told["url"], path))
            served |= {path} if answer.status == 200 else set()
            async with way.server.http.get(beside(told["url"], path)) as response:
                found[path] = await response.read()
        ranged = {"Range": "bytes=2-4"}
        async with way.server.http.get(beside(told["url"], "cmaf/360p/segment_000.m4s"), headers=ranged) as response:
            part = (response.status, await response.read(), response.headers["Content-Type"])
        fetched = await way.client.output_file(job_id, "360p/video_360p.mp4", tmp_path / "fetched")

        assert served == {"hls/master.m3u8", "cmaf/360p/playlist.m3u8", "dash/manifest.mpd"}
        assert found == {path: content for path, (_, content) in FILES.items()}
        assert part == (206, b"seg", "video/iso.segment")
        assert fetched.read_bytes() == b"in the clear"
