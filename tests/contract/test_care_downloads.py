"""Outputs over HTTP: signed links, names to save under, playlists by relative names, one archive; gone after a purge."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from dispatch.api.wiring import Limits
from tests.contract.api_server import Json, Server, head_of, served, until
from tests.contract.care_world import transcoded
from tests.contract.services_world import Moments, World

JOBS = "/api/v1/jobs"
MORE_THAN_SOCKETS_HOLD = 48 << 20
HLS = {
    "hls/master.m3u8": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000\n../360p/segments/playlist.m3u8\n",
    "360p/segments/playlist.m3u8": b"#EXTM3U\n#EXTINF:10,\nsegment_000.ts\n#EXTINF:4,\nsegment_001.ts\n#EXT-X-ENDLIST\n",
    "360p/segments/segment_000.ts": b"first" * 1000,
    "360p/segments/segment_001.ts": b"second",
    "360p/video_360p.mp4": bytes(range(256)) * 8192,
}


async def published(server: Server, files: Mapping[str, bytes] = HLS) -> str:
    """The id of a completed job with these files."""
    farm = World(server.core, Moments(), server.data / "storage")
    job_id = await transcoded(farm, files)

    async def is_completed() -> bool:
        return (await farm.states(job_id))[0] == "completed"

    await until(is_completed)
    return job_id


async def links(server: Server, job_id: str, query: str = "") -> dict[str, Json]:
    answer = await server.call("GET", f"{JOBS}/{job_id}/outputs{query}")
    assert answer.status == 200
    return {file["path"]: file for file in answer.json["files"]}


async def test_every_uri_of_a_playlist_is_fetched_without_a_key(tmp_path: Path) -> None:
    async with served(tmp_path) as server, aiohttp.ClientSession() as player:
        job_id = await published(server)
        wanted, seen = [URL(server.url + (await links(server, job_id))["hls/master.m3u8"]["url"])], {}
        while wanted:
            url = wanted.pop()
            async with player.get(url) as response:
                assert response.status == 200
                body = seen[url.name] = await response.read()
            if url.name.endswith(".m3u8"):
                lines = body.decode().splitlines()
                wanted += [url.join(URL(line)) for line in lines if line and not line.startswith("#")]

    assert seen == {path.rpartition("/")[2]: content for path, content in HLS.items() if not path.endswith(".mp4")}


async def test_links_expire_when_they_were_asked_to(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = await published(server)
        spans = {}
        for query in ("", "?expires_in=60", "?expires_in=604800"):
            url = (await links(server, job_id, query))["metadata.json"]["url"]
            spans[query] = int(url.split("/")[3].rpartition(".")[2]) - server.core.outside.clock.now()
        refused = [await server.call("GET", f"{JOBS}/{job_id}/outputs?expires_in={n}") for n in ("59", "604801", "soon")]

    assert {query: round(span / 10) * 10 for query, span in spans.items()} == {
        "": 3600,
        "?expires_in=60": 60,
        "?expires_in=604800": 604_800,
    }
    assert [head_of(answer) for answer in refused] == [(422, "VALIDATION_FAILED")] * 3


async def test_a_file_is_shown_in_place_or_saved_under_its_name(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = await published(server)
        stable = f"{JOBS}/{job_id}/files/360p/video_360p.mp4"
        signed = (await links(server, job_id))["360p/video_360p.mp4"]["url"]
        told = {}
        for path in (stable, signed):
            for query in ("", "?download=1", "?disposition=attachment", "?disposition=inline", "?download=false"):
                answer = await server.call("HEAD", path + query, key="" if path == stable else None)
                told[query] = answer.headers["Content-Disposition"]
        refused = [
            await server.call("GET", f"{stable}?disposition=attachment%0d%0aX-Evil:1"),
            await server.call("GET", f"{stable}?download=maybe"),
            await server.call("GET", f"{stable}?filename=x"),
        ]

    named = 'filename="video_360p.mp4"'
    assert told == {
        "": f"inline; {named}",
        "?download=1": f"attachment; {named}",
        "?disposition=attachment": f"attachment; {named}",
        "?disposition=inline": f"inline; {named}",
        "?download=false": f"inline; {named}",
    }
    assert [head_of(answer) for answer in refused] == [(422, "VALIDATION_FAILED")] * 3


async def test_signed_links_serve_ranges_and_heads(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = await published(server)
        url = (await links(server, job_id))["360p/video_360p.mp4"]["url"]
        head = await server.call("HEAD", url, key=None)
        part = await server.call("GET", f"{url}?download=1&cdn=7", key=None, headers={"Range": "bytes=256-511"})

    whole = HLS["360p/video_360p.mp4"]
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(whole)))
    assert (part.status, part.body) == (206, whole[256:512])


async def test_the_archive_holds_every_file_and_is_as_long_as_told(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = await published(server)
        head = await server.call("HEAD", f"{JOBS}/{job_id}/outputs.zip")
        answer = await server.call("GET", f"{JOBS}/{job_id}/outputs.zip")
        again = await server.call("GET", f"{JOBS}/{job_id}/outputs.zip")

    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(answer.body)))
    assert (answer.headers["Content-Type"], answer.headers["Content-Disposition"], again.body) == (
        "application/zip",
        f'attachment; filename="{job_id}.zip"',
        answer.body,
    )
    with zipfile.ZipFile(io.BytesIO(answer.body)) as read:
        found = {name: read.read(name) for name in read.namelist()}
        assert read.testzip() is None
    metadata = found.pop(f"{job_id}/metadata.json")
    assert (found, metadata[:1]) == ({f"{job_id}/{path}": content for path, content in HLS.items()}, b"{")


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
async def test_another_reader_finds_the_archive_whole(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = await published(server)
        answer = await server.call("GET", f"{JOBS}/{job_id}/outputs.zip")
    (tmp_path / "made.zip").write_bytes(answer.body)

    checked = await asyncio.create_subprocess_exec("unzip", "-t", str(tmp_path / "made.zip"), stdout=subprocess.PIPE)
    told, _ = await checked.communicate()

    assert (checked.returncode, b"No errors detected" in told) == (0, True), told


async def test_an_archive_whose_file_is_gone_is_broken_off(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = await published(server)
        film = next((tmp_path / "storage").rglob("video_360p.mp4"))
        film.unlink()
        with pytest.raises(aiohttp.ClientPayloadError):
            await server.call("GET", f"{JOBS}/{job_id}/outputs.zip")
        film.write_bytes(b"short")
        with pytest.raises(aiohttp.ClientPayloadError):
            await server.call("GET", f"{JOBS}/{job_id}/outputs.zip")
        alive = await server.call("GET", f"{JOBS}/{job_id}")

    assert alive.status == 200


async def test_a_reader_of_the_archive_that_goes_away_or_stands_still_holds_nothing(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(write_idle_s=0.2)) as server:
        job_id = await published(server, {"360p/video_360p.mp4": bytes(MORE_THAN_SOCKETS_HOLD)})
        url = URL(f"{server.url}{JOBS}/{job_id}/outputs.zip")
        serving = server.web.server
        assert serving is not None
        quiet = len(serving.connections)

        async def is_given_up() -> bool:
            return len(serving.connections) <= quiet

        async with aiohttp.ClientSession(headers={"X-API-Key": server.key}) as reader:
            response = await reader.get(url)
            await response.content.readany()
            await until(is_given_up)
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        alive = await server.call("GET", f"{JOBS}/{job_id}")

    assert alive.status == 200


async def test_outputs_that_were_purged_are_gone_for_every_way_to_read_them(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = await published(server)
        url = (await links(server, job_id))["360p/video_360p.mp4"]["url"]
        purged = await server.call("DELETE", f"{JOBS}/{job_id}/outputs")
        again = await server.call("DELETE", f"{JOBS}/{job_id}/outputs")
        paths = ("outputs", "outputs.zip", "files/360p/video_360p.mp4", "files/never")
        told = [head_of(await server.call("GET", f"{JOBS}/{job_id}/{path}")) for path in paths]

        async def is_gone() -> bool:
            return (await server.call("GET", url, key=None)).status == 404

        await until(is_gone)
        job = await server.call("GET", f"{JOBS}/{job_id}")

    assert (purged.status, again.status, again.body) == (200, 200, purged.body)
    assert told == [(410, "OUTPUTS_PURGED")] * 4
    assert (job.json["state"], job.json["outputs"], purged.headers["ETag"]) == ("completed", None, job.headers["ETag"])


async def test_a_download_that_runs_while_its_job_is_purged_ends_whole(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = await published(server)
        url = URL(f"{server.url}{JOBS}/{job_id}/files/360p/video_360p.mp4")
        async with server.http.get(url, headers={"X-API-Key": server.key}) as response:
            first = await response.content.readexactly(1000)
            purged = await server.call("DELETE", f"{JOBS}/{job_id}?purge=true")

            async def is_removed() -> bool:
                return not any(files for _, _, files in os.walk(tmp_path / "storage" / "default"))

            await until(is_removed)
            rest = await response.read()
        missing = await server.call("GET", f"{JOBS}/{job_id}")

    assert (first + rest == HLS["360p/video_360p.mp4"], purged.status, purged.json["job_id"]) == (True, 200, job_id)
    assert head_of(missing) == (404, "JOB_NOT_FOUND")


async def test_only_a_job_that_has_ended_is_purged(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job = await server.submit()
        path = f"{JOBS}/{job['job_id']}"
        refused = await server.call("DELETE", f"{path}?purge=true")
        outputs = await server.call("DELETE", f"{path}/outputs")
        odd = await server.call("DELETE", f"{path}?purge=perhaps")
        cancelled = await server.call("DELETE", f"{path}?purge=false")
        stale = await server.call("DELETE", f"{path}?purge=true", headers={"If-Match": '"1"'})
        purged = await server.call("DELETE", f"{path}?purge=1")

    assert [head_of(answer) for answer in (refused, outputs, odd)] == [
        (409, "INVALID_TRANSITION"),
        (409, "OUTPUTS_NOT_READY"),
        (422, "VALIDATION_FAILED"),
    ]
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled")
    assert (head_of(stale), purged.status) == ((412, "PRECONDITION_FAILED"), 200)


async def test_reading_and_purging_need_their_scopes(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        job_id = await published(server)
        reader, writer = await server.new_key("jobs:read", "files:read"), await server.new_key("jobs:write")
        await server.new_tenant("acme")
        other = await server.new_key("jobs:read", "jobs:write", "files:read", tenant="acme")
        told = [
            head_of(await server.call("DELETE", f"{JOBS}/{job_id}/outputs", key=reader)),
            head_of(await server.call("GET", f"{JOBS}/{job_id}/outputs.zip", key=writer)),
            head_of(await server.call("GET", f"{JOBS}/{job_id}/outputs.zip", key=other)),
            head_of(await server.call("DELETE", f"{JOBS}/{job_id}?purge=true", key=other)),
            head_of(await server.call("GET", "/api/v1/admin/retention", key=writer)),
        ]
        listed = await server.call("GET", "/api/v1/admin/retention?limit=1")

    assert told == [(403, "FORBIDDEN"), (403, "FORBIDDEN"), (404, "JOB_NOT_FOUND"), (404, "JOB_NOT_FOUND"), (403, "FORBIDDEN")]
    assert (listed.status, listed.json["items"], listed.json["total"], listed.json["dry_run"]) == (200, [], 0, False)
