"""What an engine shows of a stream, and what players and clients may do with it: fenced by the attempt that streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.services.live import LINGER_S
from protocol import signing
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput
from protocol.leases import Complete, Grant, Order, RunningTask, Start
from protocol.live import LiveState, LiveTold
from protocol.media import LiveInput, MediaFacts
from protocol.recipes import LiveRecipe
from protocol.results import AttemptResult, StepReport
from protocol.states import StepState
from protocol.steps import STREAM_LIVE
from tests.contract.services_world import CLIENT, World, blocks_of, world

RTMP = JobInput(live=LiveInput(protocol="rtmp"))
URL = "rtmp://127.0.0.1:1935/live/secret"
FIRST = b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n"


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def streaming(farm: World, state: LiveState = LiveState.STREAMING) -> tuple[str, Grant]:
    """A stream on its engine, and what that has told of it."""
    engine_id = (await farm.register()).engine_id
    job_id = await farm.submit(input=RTMP, profile="live")
    grant = await farm.grant(engine_id, job_id)
    await farm.settle(engine_id, Start(task_id=grant.task_id, token=grant.token))
    await told(farm, engine_id, grant, state)
    return engine_id, grant


async def told(farm: World, engine_id: str, grant: Grant, state: LiveState) -> tuple[Order, ...]:
    live = LiveTold(state=state, ingest_url=URL if state is LiveState.WAITING else None, seconds=4.0)
    step = StepReport(name=STREAM_LIVE, state=StepState.RUNNING, duration_seconds=4.0, live=live)
    reply = await farm.beat(engine_id, RunningTask(task_id=grant.task_id, token=grant.token, started=True, steps=(step,)))
    return reply.orders


async def put(farm: World, grant: Grant, path: str, content: bytes) -> None:
    assert grant.live is not None
    signature, _, prefix = grant.live.publish_url.removeprefix("/files/live/").partition("/")
    await farm.core.services.live.put(signature, f"{prefix}/{path}", blocks_of(content))


async def refused(farm: World, grant: Grant, path: str) -> ErrorCode:
    with pytest.raises(ReelyardError) as no:
        await put(farm, grant, path, b"late")
    return no.value.code


async def test_a_live_job_is_one_task_whose_recipe_is_known_at_once(farm: World) -> None:
    _, grant = await streaming(farm)

    assert isinstance(grant.recipe, LiveRecipe)
    assert [(one.height, one.path) for one in grant.recipe.renditions] == [
        (360, "360p/video_360p.mp4"),
        (720, "720p/video_720p.mp4"),
    ]
    assert grant.steps == (STREAM_LIVE,)
    assert grant.input is None


@pytest.mark.parametrize(
    ("wanted", "profile", "code"),
    [
        (LiveInput(protocol="rtmp"), "web", ErrorCode.VALIDATION_FAILED),
        (LiveInput(protocol="rtmp", url="https://example.com/a.m3u8"), "live", ErrorCode.VALIDATION_FAILED),
        (LiveInput(protocol="hls"), "live", ErrorCode.VALIDATION_FAILED),
        (LiveInput(protocol="hls", url="http://127.0.0.1/a.m3u8"), "live", ErrorCode.INPUT_URL_REFUSED),
        (LiveInput(protocol="hls", url="file:///etc/passwd"), "live", ErrorCode.INPUT_URL_REFUSED),
        (LiveInput(protocol="srt"), "live", ErrorCode.INPUT_KIND_UNSUPPORTED),
    ],
)
async def test_what_cannot_be_streamed_is_refused_at_once(farm: World, wanted: LiveInput, profile: str, code: ErrorCode) -> None:
    with pytest.raises(ReelyardError) as no:
        await farm.submit(input=JobInput(live=wanted), profile=profile)

    assert no.value.code is code


async def test_the_job_tells_where_to_publish_and_then_where_to_watch(farm: World) -> None:
    engine_id, grant = await streaming(farm, LiveState.WAITING)
    waiting = await farm.core.services.jobs.get(CLIENT, grant.job_id)
    with pytest.raises(ReelyardError) as early:
        await farm.core.services.live.link(CLIENT, grant.job_id)
    await told(farm, engine_id, grant, LiveState.STREAMING)
    shown = await farm.core.services.jobs.get(CLIENT, grant.job_id)

    assert waiting.live is not None
    assert (waiting.live.ingest_url, waiting.live.playback) == (URL, None)
    assert early.value.code is ErrorCode.LIVE_NOT_STREAMING
    assert shown.live is not None
    assert (shown.live.ingest_url, shown.live.playback) == (None, f"/api/v1/jobs/{grant.job_id}/live")


async def test_segments_are_written_once_and_playlists_replaced(farm: World) -> None:
    _, grant = await streaming(farm)
    await put(farm, grant, "360p/segment_000.ts", b"first")
    await put(farm, grant, "360p/segment_000.ts", b"other")
    await put(farm, grant, "360p/playlist.m3u8", FIRST)
    await put(farm, grant, "360p/playlist.m3u8", FIRST + b"more\n")
    link = (await farm.core.services.live.link(CLIENT, grant.job_id)).url

    signature, _, master = link.removeprefix("/files/live/").partition("/")
    base, live = master.rpartition("/")[0], farm.core.services.live
    assert await live.playlist(signature, "GET", f"{base}/360p/playlist.m3u8") == FIRST + b"more\n"
    found = await live.segment(signature, "GET", f"{base}/360p/segment_000.ts")
    assert b"".join([block async for block in farm.core.services.files.blocks(found, 0, 100)]) == b"first"


@pytest.mark.parametrize("path", ["360p/../../x.ts", "360p/x.mp4", "a/b/c.ts", "360p/x.ts~", "metadata.json"])
async def test_nothing_else_can_be_shown(farm: World, path: str) -> None:
    _, grant = await streaming(farm)

    assert await refused(farm, grant, path) in (ErrorCode.FILE_NOT_FOUND, ErrorCode.LINK_INVALID)
    assert farm.files() == []


async def test_a_link_to_watch_is_none_to_show_and_only_for_its_attempt(farm: World) -> None:
    _, grant = await streaming(farm)
    link = (await farm.core.services.live.link(CLIENT, grant.job_id)).url
    signature, _, master = link.removeprefix("/files/live/").partition("/")

    for path in (master, master.replace(f"/{grant.token}/", "/99/")):
        with pytest.raises(ReelyardError) as no:
            await farm.core.services.live.put(signature, path, blocks_of(b"x"))
        assert no.value.code is ErrorCode.LINK_INVALID


async def test_an_attempt_that_lost_its_lease_shows_nothing_more(farm: World) -> None:
    _, grant = await streaming(farm)
    await put(farm, grant, "360p/segment_000.ts", b"first")
    farm.clock.advance(10_000)
    await farm.duty("leases")
    again = await farm.grant((await farm.register("other")).engine_id, grant.job_id)

    assert await refused(farm, grant, "360p/playlist.m3u8") is ErrorCode.STALE_LEASE
    assert again.live is not None
    assert grant.live is not None
    assert again.live.publish_url.rpartition("/")[2] != grant.live.publish_url.rpartition("/")[2]


@pytest.mark.parametrize("call", ["stop", "cancel"])
async def test_a_stream_is_stopped_by_an_order_that_comes_until_it_has_ended(farm: World, call: str) -> None:
    engine_id, grant = await streaming(farm)
    if call == "stop":
        view = await farm.core.services.live.stop(CLIENT, grant.job_id)
    else:
        view = await farm.core.services.jobs.cancel(CLIENT, grant.job_id)
    order = Order(order="stop", task_id=grant.task_id, token=grant.token)

    assert view.live is not None
    assert view.live.stop_asked_at is not None
    assert view.state == "transcoding"
    assert await told(farm, engine_id, grant, LiveState.STREAMING) == (order,)
    assert await told(farm, engine_id, grant, LiveState.ENDED) == (order,)


async def test_a_stream_that_nobody_publishes_to_is_cancelled(farm: World) -> None:
    _, grant = await streaming(farm, LiveState.WAITING)

    view = await farm.core.services.live.stop(CLIENT, grant.job_id)

    assert (view.state, view.live) == ("cancelled", None)


async def test_a_stream_that_does_not_end_is_cancelled_by_the_next_call(farm: World) -> None:
    engine_id, grant = await streaming(farm)
    await farm.core.services.live.stop(CLIENT, grant.job_id)
    farm.clock.advance(61)
    await told(farm, engine_id, grant, LiveState.STREAMING)

    assert (await farm.core.services.live.stop(CLIENT, grant.job_id)).state == "cancelled"


async def test_another_job_cannot_be_stopped(farm: World) -> None:
    job_id = await farm.submit()

    with pytest.raises(ReelyardError) as no:
        await farm.core.services.live.stop(CLIENT, job_id)

    assert no.value.code is ErrorCode.INVALID_TRANSITION


async def test_what_was_shown_goes_a_while_after_the_end(farm: World) -> None:
    engine_id, grant = await streaming(farm)
    await put(farm, grant, "360p/segment_000.ts", b"first")
    await put(farm, grant, "360p/playlist.m3u8", FIRST)
    facts = MediaFacts(container="flv", duration="4", size_bytes=900, bitrate=None, video=None, streams=1)
    result = AttemptResult(analysis=facts)
    await farm.settle(engine_id, Complete(task_id=grant.task_id, token=grant.token, result=result))
    await farm.duty("promotion")
    await farm.duty("streams")
    kept = [path for path in farm.files() if path.startswith("live/")]
    farm.clock.advance(LINGER_S + 1)
    await farm.duty("streams")

    assert (await farm.states(grant.job_id))[0] == "completed"
    assert len(kept) == 2
    assert [path for path in farm.files() if path.startswith("live/")] == []
    assert (await farm.graph(grant.job_id)).job.source.size == 900


async def test_segments_far_behind_the_window_go_while_it_runs(farm: World) -> None:
    _, grant = await streaming(farm)
    for number in range(3):
        await put(farm, grant, f"360p/segment_{number:03d}.ts", b"x")
    await put(farm, grant, "360p/playlist.m3u8", b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:32\n")

    assert [path for path in farm.files() if path.endswith(".ts")] == [f"live/{grant.job_id}/{grant.token}/360p/segment_002.ts"]


async def test_a_playlist_that_tells_of_any_number_of_segments_keeps_nobody_waiting(farm: World) -> None:
    _, grant = await streaming(farm)
    await put(farm, grant, "360p/segment_599.ts", b"x")
    await put(farm, grant, "360p/segment_600.ts", b"x")

    async with asyncio.timeout(10):
        await put(farm, grant, "360p/playlist.m3u8", b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:999999999999999\n")

    assert [path.rpartition("/")[2] for path in farm.files() if path.endswith(".ts")] == ["segment_600.ts"]


async def test_an_expired_link_shows_nothing(farm: World) -> None:
    _, grant = await streaming(farm)
    prefix = f"live/{grant.job_id}/{grant.token}"
    signature = signing.sign(b"signing", method="GET", prefix=prefix, expiry=int(farm.clock.now()) - 1)

    with pytest.raises(ReelyardError) as no:
        await farm.core.services.live.playlist(signature, "GET", f"{prefix}/master.m3u8")

    assert no.value.code is ErrorCode.LINK_EXPIRED
