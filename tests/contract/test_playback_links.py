"""Links of playback over HTTP: who gets one, what it opens, how long it is kept, and what is refused."""

from __future__ import annotations

from pathlib import Path

from config.dispatch import Playback
from dispatch.api.wiring import Limits
from protocol.states import JobState
from tests.contract.api_server import head_of, served
from tests.contract.playback_world import (
    COMMON,
    FILES,
    FILM,
    KEYS,
    PLAYBACK,
    beside,
    finished,
    link,
    opened,
)
from tests.contract.services_world import blocks_of


async def test_link_is_whole_and_opens_all_that_a_playlist_names(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server)
        told = await link(server)
        answers = {path: await opened(server, beside(told["url"], path)) for path in FILES}
        ranged = await opened(server, told["dash_url"], headers={"Range": "bytes=1-3"})
        head = await opened(server, told["url"], "HEAD")
        left_s = int(told["url"].split("/")[5].rpartition(".")[2]) - server.core.outside.clock.now()

    assert told["url"] == told["hls_url"] == beside(told["url"], "hls/master.m3u8")
    assert told["url"].startswith(f"{server.url}/files/s/")
    assert (told["type"], told["dash_url"], told["drm"]) == (
        "application/vnd.apple.mpegurl",
        beside(told["url"], "dash/manifest.mpd"),
        None,
    )
    assert {path: (answer.status, answer.body) for path, answer in answers.items()} == {
        path: (200, content) for path, (_, content) in FILES.items()
    }
    assert (ranged.status, ranged.body, head.status, head.body) == (206, b"MPD", 200, b"")
    assert 21_590 < left_s <= 21_600


async def test_caches_keep_segments_and_ask_again_for_playlists(tmp_path: Path) -> None:
    async with served(tmp_path, sections={"playback": Playback(link_s=100)}) as server:
        await finished(server)
        told = await link(server)
        playlist = await opened(server, told["url"])
        segment = await opened(server, beside(told["url"], "cmaf/360p/segment_000.m4s"))
        known = {"If-None-Match": segment.headers["ETag"]}
        unchanged = await opened(server, beside(told["url"], "cmaf/360p/segment_000.m4s"), headers=known)

    assert playlist.headers["Cache-Control"] == "private, no-cache"
    kept = segment.headers["Cache-Control"].split("=")
    assert (kept[0], 90 < int(kept[1].partition(",")[0]) <= 100, kept[1].partition(", ")[2]) == (
        "public, max-age",
        True,
        "immutable",
    )
    assert (unchanged.status, unchanged.headers["Cache-Control"].partition("=")[0]) == (304, "public, max-age")


async def test_playlists_by_their_ending_lead_to_where_relative_names_work(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server)
        ways = {ending: await server.call("GET", f"{PLAYBACK}/job_1/manifest.{ending}") for ending in ("m3u8", "mpd")}
        found = {ending: await opened(server, answer.headers["Location"]) for ending, answer in ways.items()}
        head = await server.call("HEAD", f"{PLAYBACK}/job_1/manifest.m3u8")
        nobody = await server.call("GET", f"{PLAYBACK}/job_1/manifest.m3u8", key=None)

    assert {ending: answer.status for ending, answer in ways.items()} == {"m3u8": 302, "mpd": 302}
    assert {ending: answer.headers["Content-Type"] for ending, answer in found.items()} == {
        "m3u8": "application/vnd.apple.mpegurl",
        "mpd": "application/dash+xml",
    }
    assert (head.status, head_of(nobody)) == (302, (401, "UNAUTHORIZED"))


async def test_one_file_plays_where_there_is_no_playlist(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server, files=FILM)
        told = await link(server)
        missing = [await server.call("GET", f"{PLAYBACK}/job_1/manifest.{ending}") for ending in ("m3u8", "mpd")]

    assert (told["url"], told["type"]) == (beside(told["url"], "360p/video_360p.mp4"), "video/mp4")
    assert (told["hls_url"], told["dash_url"]) == (None, None)
    assert [head_of(answer) for answer in missing] == [(404, "FILE_NOT_FOUND")] * 2


async def test_what_is_not_there_to_be_played_is_told(tmp_path: Path) -> None:
    async with served(tmp_path / "nothing") as server:
        await finished(server, files={})
        nothing = await server.call("GET", f"{PLAYBACK}/job_1/manifest")
    async with served(tmp_path / "running") as server:
        await finished(server, state=JobState.TRANSCODING)
        running = await server.call("GET", f"{PLAYBACK}/job_1/manifest")
        missing = await server.call("GET", f"{PLAYBACK}/job_2/manifest")

    assert [head_of(answer) for answer in (nothing, running, missing)] == [
        (404, "FILE_NOT_FOUND"),
        (409, "OUTPUTS_NOT_READY"),
        (404, "JOB_NOT_FOUND"),
    ]


async def test_entitlement_is_checked_at_each_call(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server)
        own, writer = await server.new_key("files:read"), await server.new_key("jobs:read", "jobs:write")
        await server.new_tenant("acme")
        other = await server.new_key("files:read", tenant="acme")
        asked = {key: await server.call("GET", f"{PLAYBACK}/job_1/manifest", key=key) for key in (own, writer, other)}
        told = await link(server)
        await server.call("DELETE", "/api/v1/jobs/job_1/outputs")
        purged = await server.call("GET", f"{PLAYBACK}/job_1/manifest", key=own)

    assert [answer.status for answer in asked.values()] == [200, 403, 404]
    assert (asked[writer].code, asked[other].code) == ("FORBIDDEN", "JOB_NOT_FOUND")
    assert head_of(purged) == (410, "OUTPUTS_PURGED")
    assert told["drm"] is None


async def test_a_link_ends_with_its_prefix_and_its_time(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await finished(server)
        await server.core.outside.storage.write("default/processed/job_2/hls/master.m3u8", blocks_of(b"of another"))
        await server.core.outside.storage.write("default/processed/job_1/metadata.json", blocks_of(b"{}"))
        told = await link(server)
        signature = told["url"].split("/")[5]
        elsewhere = await opened(server, f"/files/s/{signature}/default/processed/job_2/hls/master.m3u8")
        metadata = await opened(server, beside(told["url"], "metadata.json"))
        later = await opened(server, told["url"].replace(signature, signature[:-1] + str((int(signature[-1]) + 1) % 10)))
        expired = await opened(
            server, server.signed("PLAY", "default/processed/job_1", expires_in=-1) + "/default/processed/job_1/x"
        )

    assert [head_of(answer) for answer in (elsewhere, metadata, later, expired)] == [
        (403, "LINK_INVALID"),
        (404, "FILE_NOT_FOUND"),
        (403, "LINK_INVALID"),
        (403, "LINK_EXPIRED"),
    ]


async def test_pages_of_the_origins_named_may_read_and_others_not(tmp_path: Path) -> None:
    limits = Limits(playback_origins=("https://films.example",))
    async with served(tmp_path, limits) as server:
        await finished(server, COMMON, KEYS)
        url = (await link(server))["url"]
        asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        answers = {}
        for origin in ("https://films.example", "https://elsewhere.example"):
            licence = beside(url, "licence/clearkey")
            before = await opened(server, licence, "OPTIONS", headers={"Origin": origin, **asking})
            asked = await opened(server, url, headers={"Origin": origin, "Range": "bytes=0-1"})
            answers[origin] = (before, asked)

    before, asked = answers["https://films.example"]
    assert (before.status, before.headers["Access-Control-Allow-Origin"]) == (204, "https://films.example")
    assert "POST" in before.headers["Access-Control-Allow-Methods"]
    assert "Content-Type" in before.headers["Access-Control-Allow-Headers"]
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (206, "https://films.example")
    assert "Content-Range" in asked.headers["Access-Control-Expose-Headers"]
    assert all("Access-Control-Allow-Origin" not in answer.headers for answer in answers["https://elsewhere.example"])
