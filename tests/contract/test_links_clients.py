"""What clients send and fetch past dispatch: uploads by links, outputs and playback by redirects."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from client.api import ReelyardClient
from client.transport import RetryPolicy
from dispatch.api.server import application
from dispatch.api.wiring import Limits
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobSubmission
from protocol.uploads import UploadState
from tests.contract.api_server import UNCOUNTED, Answer, Server, head_of
from tests.contract.links_bucket import PART_BYTES, Bucket, LinkedStorage, bucket
from tests.contract.playback_world import FILES, beside, finished, link, opened
from tests.contract.services_world import World, world

FILM = b"\0\0\0\x20ftypisom"
SIZE = 2 * PART_BYTES + 4321
UPLOADS = "/api/v1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass
class Lane:
    farm: World
    bucket: Bucket
    server: Server
    client: ReelyardClient
    directory: Path

    def film(self, size: int) -> Path:
        path = self.directory / "film.mp4"
        path.write_bytes(FILM + os.urandom(size - len(FILM)))
        return path

    async def begun(self, size: int = SIZE) -> tuple[str, Answer]:
        answer = await self.server.call("POST", UPLOADS, headers={**TUS, "Upload-Length": str(size)})
        return answer.headers["Location"].rpartition("/")[2], answer

    async def past(self, url: str) -> tuple[int, bytes]:
        """By a redirect, as a browser follows it."""
        async with self.server.http.get(url) as response:
            return response.status, await response.read()


@asynccontextmanager
async def lane(tmp_path: Path, *, is_direct: bool = True, limits: Limits = UNCOUNTED) -> AsyncIterator[Lane]:
    async with bucket(tmp_path / "storage") as held, aiohttp.ClientSession() as http:
        storage = LinkedStorage(str(held.root), held) if is_direct else None
        async with world(tmp_path, storage=storage) as farm:
            running = web.AppRunner(application(farm.core.services, limits), access_log=None, shutdown_timeout=0.1)
            await running.setup()
            await web.TCPSite(running, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{running.addresses[0][1]}"
            retry = RetryPolicy(longest_wait_s=0.01)
            async with ReelyardClient(url, "rk_admin", retry=retry, notes=tmp_path / "notes") as client:
                try:
                    yield Lane(farm, held, Server(farm.core, tmp_path, url, http, running), client, tmp_path)
                finally:
                    await running.cleanup()


# --- uploads


@pytest.mark.parametrize("size", [1000, SIZE])
async def test_a_file_goes_past_dispatch_and_becomes_the_original_of_a_job(tmp_path: Path, size: int) -> None:
    told: list[tuple[int, int]] = []
    async with lane(tmp_path) as way:
        file = way.film(size)

        job = await way.client.submit_file(file, JobSubmission(profile="web"), progress=lambda *at: told.append(at))

        source = (await way.farm.graph(job.job_id)).job.source
        assert (way.bucket.root / source.path).read_bytes() == file.read_bytes()
        assert (source.size, way.bucket.taken) == (size, size)
        assert (told[0], told[-1]) == ((0, size), (size, size))


async def test_a_cut_part_of_an_upload_is_sent_again_alone(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        way.bucket.cuts[:] = [10 * PART_BYTES, 1000]
        way.bucket.refuses[:] = [503]
        file = way.film(SIZE)

        upload_id = await way.client.send_file(file)

        assert (way.bucket.root / "uploads" / upload_id).read_bytes() == file.read_bytes()
        assert [path.rpartition("/")[2] for path in way.bucket.puts] == ["0", "0", "0", "1", "2"]


class Killed(Exception):
    """The run ends here."""


async def test_the_next_run_sends_only_the_parts_that_are_missing(tmp_path: Path) -> None:
    def die(sent: int, total: int) -> None:
        if sent > PART_BYTES + 1000:
            raise Killed

    async with lane(tmp_path) as way:
        file, told = way.film(SIZE), []
        with pytest.raises(Killed):
            await way.client.send_file(file, progress=die)
        way.bucket.puts.clear()

        upload_id = await way.client.send_file(file, progress=lambda sent, total: told.append(sent))

        assert (way.bucket.root / "uploads" / upload_id).read_bytes() == file.read_bytes()
        assert {path.rpartition("/")[2] for path in way.bucket.puts} == {"1", "2"}
        assert (told[0], told[-1]) == (PART_BYTES, SIZE)
        assert [path.name for path in (tmp_path / "notes").glob("*.parts")] == []


async def test_notes_of_an_upload_are_for_their_user_alone(tmp_path: Path) -> None:
    def die(sent: int, total: int) -> None:
        if sent > PART_BYTES + 1000:
            raise Killed

    async with lane(tmp_path) as way:
        with pytest.raises(Killed):
            await way.client.send_file(way.film(SIZE), progress=die)

        (note,) = (tmp_path / "notes").glob("*.parts")
        assert note.stat().st_mode & 0o777 == 0o600


async def test_links_of_an_upload_that_expired_are_asked_for_again(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        way.bucket.refuses[:] = [403]
        file = way.film(SIZE)

        upload_id = await way.client.send_file(file)

        assert (way.bucket.root / "uploads" / upload_id).read_bytes() == file.read_bytes()


async def test_where_the_bucket_is_out_of_reach_the_bytes_go_to_the_server(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        way.bucket.url = "http://127.0.0.1:9"
        file = way.film(1000)

        upload_id = await way.client.send_file(file)

        assert (way.bucket.root / "uploads" / upload_id).read_bytes() == file.read_bytes()
        assert way.bucket.puts == []


async def test_a_storage_without_links_says_so_and_takes_the_bytes_itself(tmp_path: Path) -> None:
    async with lane(tmp_path, is_direct=False) as way:
        upload_id, answer = await way.begun()
        refused = await way.server.call("POST", f"{UPLOADS}/{upload_id}/direct", json={})

        assert "Upload-Direct" not in answer.headers
        assert head_of(refused) == (409, "UPLOAD_NOT_DIRECT")
        assert (await way.client.upload_view(await way.client.send_file(way.film(SIZE)))).state is UploadState.FINISHED


async def test_an_upload_is_finished_only_with_all_its_bytes(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        upload_id, answer = await way.begun()
        place = (await way.server.call("POST", answer.headers["Upload-Direct"], json={})).json
        async with way.server.http.put(place["parts"][0], data=bytes(PART_BYTES)):
            pass
        short = await way.server.call("POST", f"{UPLOADS}/{upload_id}/finish", json={"write": place["write"]})
        view = await way.client.upload_view(upload_id)
        with pytest.raises(ReelyardError) as used:
            await way.farm.submit(profile="web", input={"upload_id": upload_id})

        assert (head_of(short), view.received_bytes) == ((409, "UPLOAD_UNFINISHED"), 0)
        assert used.value.code == ErrorCode.UPLOAD_UNFINISHED


async def test_places_asked_for_again_begin_anew(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        upload_id, answer = await way.begun()
        places = [(await way.server.call("POST", answer.headers["Upload-Direct"], json={})).json for _ in range(2)]
        finished = await way.server.call("POST", f"{UPLOADS}/{upload_id}/finish", json={"write": places[0]["write"]})

        assert list(way.bucket.parts) == [places[1]["write"]]
        assert head_of(finished) == (409, "UPLOAD_UNFINISHED")


async def test_calls_to_finish_that_meet_are_answered_alike(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        upload_id, answer = await way.begun(1000)
        place = (await way.server.call("POST", answer.headers["Upload-Direct"], json={})).json
        async with way.server.http.put(place["url"], data=bytes(1000), headers=place["headers"]) as put:
            assert put.status == 200

        async with asyncio.TaskGroup() as group:
            call = way.server.call
            calls = [group.create_task(call("POST", f"{UPLOADS}/{upload_id}/finish", json={})) for _ in range(3)]

        assert [(made.result().status, made.result().json["state"]) for made in calls] == [(200, "finished")] * 3


async def test_an_upload_that_is_ended_leaves_no_parts(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        upload_id, answer = await way.begun()
        await way.server.call("POST", answer.headers["Upload-Direct"], json={})

        await way.client.end_upload(upload_id)

        assert way.bucket.parts == {}


async def test_an_upload_that_has_bytes_goes_on_as_it_began(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        upload_id, answer = await way.begun(100)
        sent = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        await way.server.call("PATCH", f"{UPLOADS}/{upload_id}", headers=sent, data=bytes(10))

        refused = await way.server.call("POST", answer.headers["Upload-Direct"], json={})

        assert head_of(refused) == (409, "UPLOAD_OFFSET")


async def test_nobody_else_gets_a_place_in_an_upload(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        upload_id, answer = await way.begun()
        await way.server.new_tenant("acme")
        key = await way.server.new_key("files:write", tenant="acme")

        foreign = await way.server.call("POST", answer.headers["Upload-Direct"], json={}, key=key)
        finish = await way.server.call("POST", f"{UPLOADS}/{upload_id}/finish", json={}, key=key)

        assert (head_of(foreign), head_of(finish)) == ((404, "UPLOAD_NOT_FOUND"), (404, "UPLOAD_NOT_FOUND"))


# --- outputs and playback


async def test_media_is_redirected_and_what_names_other_files_is_not(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        job_id = await finished(way.server)
        told = await link(way.server)
        answers = {path: await opened(way.server, beside(told["url"], path)) for path in FILES}
        bodies = {path: await way.past(beside(told["url"], path)) for path in FILES}
        stable = await way.server.call("GET", f"/api/v1/jobs/{job_id}/files/360p/video_360p.mp4?download=1")

        here = {path for path, answer in answers.items() if answer.status == 200}
        assert here == {"hls/master.m3u8", "cmaf/360p/playlist.m3u8", "dash/manifest.mpd"}
        assert {answer.status for path, answer in answers.items() if path not in here} == {302}
        assert bodies == {path: (200, content) for path, (_, content) in FILES.items()}
        assert (stable.status, stable.headers["Cache-Control"]) == (302, "private, no-store")
        assert "processed/job_1/360p/video_360p.mp4" in stable.headers["Location"]


async def test_a_player_of_another_origin_may_follow_the_redirect(tmp_path: Path) -> None:
    async with lane(tmp_path, limits=replace(UNCOUNTED, playback_origins=("https://player.example",))) as way:
        await finished(way.server)
        told = await link(way.server)
        segment, origin = beside(told["url"], "cmaf/360p/segment_000.m4s"), {"Origin": "https://player.example"}

        answer = await opened(way.server, segment, headers=origin)

        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (302, "https://player.example")


async def test_whoever_asks_for_it_gets_the_bytes_from_the_server(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        job_id = await finished(way.server)
        path = f"/api/v1/jobs/{job_id}/files/360p/video_360p.mp4"

        streamed = await way.server.call("GET", f"{path}?streamed=1", headers={"Range": "bytes=3-5"})
        head = await way.server.call("HEAD", path)

        assert (streamed.status, streamed.body) == (206, b"the")
        assert (head.status, head.headers["Content-Length"]) == (200, "12")


async def test_the_client_fetches_outputs_from_where_they_lie(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        job_id = await finished(way.server)

        fetched = await way.client.output_file(job_id, "360p/video_360p.mp4", tmp_path / "fetched.mp4")

        assert fetched.read_bytes() == b"in the clear"
        assert way.bucket.gets == ["default/processed/job_1/360p/video_360p.mp4"]
