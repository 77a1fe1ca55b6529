"""What jobs made, played to its end by a real browser that has nothing but the link of `/playback`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from protocol.jobs import JobSubmission
from protocol.packaging import ContentKey, ContentKeys
from protocol.playback import PlaybackReply
from protocol.states import JobState
from tests.farm import NEVER_BUSY, Farm, farm
from tests.integration.browser import BROWSER
from tests.integration.players import Json, screen
from tests.media import make_clip
from tests.rules import dash_rules, hls_rules

pytestmark = [
    pytest.mark.integration,
    pytest.mark.asyncio,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine (apt chromium)"),
]

SECONDS, SIZE = 3, (320, 180)
RENDITION = """
[[renditions]]
name = "180p"
height = 180
crf = 30
preset = "ultrafast"
profile = "main"
level = "3.0"
audio = { bitrate = 96000, sample_rate = 48000 }
"""
TYPES = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
    ".ts": "video/mp2t",
}
OTHERS = {
    "REELYARD_DISPATCH_API__PLAYBACK_ORIGINS": json.dumps(["*"]),
    **NEVER_BUSY,
}


def profile(name: str, packaging: str = "", rest: str = RENDITION) -> str:
    return f'name = "{name}"\n{rest}\n{packaging}'


@asynccontextmanager
async def works(root: Path, profiles: Mapping[str, str]) -> AsyncIterator[Farm]:
    async with farm(root, **OTHERS) as made:
        (made.data / "profiles").mkdir(parents=True)
        for name, text in profiles.items():
            (made.data / f"profiles/{name}.toml").write_text(text)
        await made.start_dispatch()
        engine = await made.start_engine("box")
        await engine.said("engine_registered")
        yield made


async def link_of(made: Farm, clip: Path, **fields: object) -> PlaybackReply:
    async with made.client() as client:
        job = await client.wait((await client.upload(clip, JobSubmission.model_validate(fields))).job_id)
        assert job.state is JobState.COMPLETED, job.error
        return await client.playback(job.job_id)


async def fetched(link: PlaybackReply, made: Farm, player: aiohttp.ClientSession) -> dict[str, bytes]:
    """All files of the job that the link opens, each with its type, and each by ranges too."""
    async with made.client() as client:
        paths = [file.path for file in (await client.outputs(link.job_id)).files]
    prefix = link.url.partition(f"/{link.job_id}/")[0] + f"/{link.job_id}/"
    found = {}
    for path in paths:
        async with player.get(prefix + path) as answer:
            if answer.status == 404 and path == "metadata.json":
                continue
            body = found[path] = await answer.read()
            assert (answer.status, answer.headers["Content-Type"]) == (200, TYPES[Path(path).suffix]), path
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        async with player.get(prefix + path, headers={"Range": "bytes=1-9"}) as answer:
            assert (answer.status, await answer.read()) == (206, body[1:10]), path
        async with player.head(prefix + path) as answer:
            assert (answer.status, int(answer.headers["Content-Length"])) == (200, len(body)), path
    return found


def as_whole(told: Json) -> tuple[object, ...]:
    """What the page told, as far as it is the same each time."""
    assert abs(told["seconds"] - SECONDS) < 0.3, told
    assert told["moment"] == pytest.approx(told["seconds"], abs=0.1), told
    assert told["frames"] > 50, told
    return told["error"], told["ended"], told["size"], told["sound"]


KEY_ID, KEY = "0123456789abcdef0123456789abcdef", "00112233445566778899aabbccddeeff"
CONTENT_KEYS = ContentKeys(keys=(ContentKey(key_id=KEY_ID, key=KEY),))
PLAYED_WHOLE = (None, True, list(SIZE), True)


async def test_hls_and_dash_play_to_their_end_in_a_browser_with_the_link_alone(tmp_path: Path) -> None:
    packaging = "[packaging]\nsegment_seconds = 1\nhls = true\ndash = true\n"
    clip = make_clip(tmp_path / "clip.mp4", seconds=SECONDS, size=SIZE)
    async with screen(tmp_path / "browser") as shown, works(tmp_path / "farm", {"both": profile("both", packaging)}) as made:
        link = await link_of(made, clip, profile="both")
        asked = link.model_dump(mode="json")
        by_hls, by_dash = [as_whole(await shown.play(player, asked)) for player in ("hls.js", "shaka")]
        async with aiohttp.ClientSession(headers={"Origin": "https://films.example"}) as player:
            files = await fetched(link, made, player)

    assert (by_hls, by_dash) == (PLAYED_WHOLE, PLAYED_WHOLE)
    assert (hls_rules.broken(files), dash_rules.broken(files)) == ([], [])
    assert {path for path in files if path.endswith((".m3u8", ".mpd"))} > {"hls/master.m3u8", "dash/manifest.mpd"}


OTHER_WAYS = {
    "ts": profile("ts", '[hls]\nsegment_seconds = 1\nformat = "ts"\n'),
    "sound": profile("sound", rest="[audio]\nbitrate = 128000\n"),
    "film": profile("film"),
    "aes": profile("aes", '[packaging]\nsegment_seconds = 1\ndash = false\nformat = "ts"\nencryption = { scheme = "aes-128" }\n'),
    "cenc": profile(
        "cenc", '[packaging]\nsegment_seconds = 1\nhls = false\nencryption = { scheme = "cenc", systems = ["common"] }\n'
    ),
    "cbcs": profile("cbcs", '[packaging]\nsegment_seconds = 1\nencryption = { scheme = "cbcs", systems = ["common"] }\n'),
}
PLAYERS = {"ts": "hls.js", "sound": "plain", "film": "plain", "aes": "hls.js", "cenc": "shaka", "cbcs": "shaka"}


@pytest.mark.trust
async def test_every_other_way_plays_too_also_encrypted_with_no_key_but_by_the_link(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=SECONDS, size=SIZE)
    shown, told, links = {}, {}, {}
    async with screen(tmp_path / "browser") as page, works(tmp_path / "farm", OTHER_WAYS) as made:
        for name in OTHER_WAYS:
            keys = {"content_keys": CONTENT_KEYS} if name in ("aes", "cenc", "cbcs") else {}
            links[name] = await link_of(made, clip, profile=name, **keys)
            told[name] = await page.play(PLAYERS[name], links[name].model_dump(mode="json"))
            shown[name] = (told[name]["error"], told[name]["ended"], told[name]["size"], told[name]["sealed"])
        async with aiohttp.ClientSession() as player:
            clear = [await _status(player, links[name], "180p/video_180p.mp4") for name in ("ts", "aes", "cenc", "cbcs")]
        logs = made.logs()

    assert shown == {
        "ts": (None, True, list(SIZE), False),
        "sound": (None, True, [0, 0], False),
        "film": (None, True, list(SIZE), False),
        "aes": (None, True, list(SIZE), False),
        "cenc": (None, True, list(SIZE), True),
        "cbcs": (None, True, list(SIZE), True),
    }
    assert clear == [200, 404, 404, 404]
    assert KEY not in logs


async def _status(player: aiohttp.ClientSession, link: PlaybackReply, path: str) -> int:
    async with player.get(link.url.partition(f"/{link.job_id}/")[0] + f"/{link.job_id}/{path}") as answer:
        return answer.status
