"""A live playlist fetched as a stream: every segment once, in order, from near the live edge, by the one guarded fetcher."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.core.fetching import InputFailed
from engine.shell.hls_pull import HlsPull
from engine.shell.intake import Intake
from protocol.addresses import FetchPolicy
from protocol.errors import ErrorCode
from tests.contract.fetch_outside import Asked, Moments, fetcher, http, outside, policy

MASTER = (
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=320x180\nlow.m3u8\n"
    "#EXT-X-STREAM-INF:BANDWIDTH=2,RESOLUTION=640x360\nhigh/list.m3u8\n"
)


def playlist(first: int, last: int, *, is_over: bool = False) -> bytes:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    for number in range(first, last + 1):
        lines += [*(["#EXT-X-DISCONTINUITY"] if number == 6 else []), "#EXTINF:0.5,", f"{number}.ts"]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if is_over else []), ""]).encode()


class Origin:
    """Each look at the playlist finds the next of `looks`."""

    def __init__(self, *looks: bytes) -> None:
        self._looks, self.segments = list(looks), list[str]()

    def answer(self, asked: Asked) -> bytes:
        if asked.path.endswith("master.m3u8"):
            return http("200 OK", MASTER.encode())
        if asked.path.endswith("list.m3u8"):
            return http("200 OK", self._looks.pop(0) if len(self._looks) > 1 else self._looks[0])
        if asked.path.endswith("/9.ts"):
            return http("404 Not Found")
        self.segments.append(asked.path)
        return http("200 OK", f"<{asked.path}>".encode())


async def pulled(origin: Origin, tmp_path: Path, path: str = "/master.m3u8") -> tuple[Intake, list[bytes]]:
    intake = Intake(tmp_path / "head")
    async with outside(origin.answer) as server, asyncio.timeout(20):
        await HlsPull(fetcher(Moments()), policy(server.port), server.url + path, tmp_path).run(intake)
    pieces = [intake.pieces.get_nowait() for _ in range(intake.pieces.qsize())]
    return intake, [piece for piece in pieces if piece is not None]


async def test_every_segment_comes_once_in_order_over_a_cut_until_the_playlist_ends(tmp_path: Path) -> None:
    origin = Origin(playlist(0, 4), playlist(0, 4), playlist(2, 5), playlist(3, 6), playlist(3, 7, is_over=True))

    intake, pieces = await pulled(origin, tmp_path)

    assert pieces == [f"</high/{number}.ts>".encode() for number in range(2, 8)]
    assert (tmp_path / "head").read_bytes() == pieces[0]
    assert (intake.seconds, intake.size) == (3.0, sum(map(len, pieces)))


async def test_large_pieces_wait_in_parts_so_that_few_bytes_do(tmp_path: Path) -> None:
    intake, large = Intake(tmp_path / "head"), bytes(range(256)) * 4096

    await intake.take(large)
    waiting = [intake.pieces.get_nowait() or b"" for _ in range(intake.pieces.qsize())]

    assert (b"".join(waiting), max(map(len, waiting)), intake.size) == (large, 262_144, 1_048_576)


async def test_what_left_the_playlist_unseen_is_passed_over(tmp_path: Path) -> None:
    _, pieces = await pulled(Origin(playlist(0, 2), playlist(4, 5, is_over=True)), tmp_path)

    assert pieces == [f"</high/{number}.ts>".encode() for number in (0, 1, 2, 4, 5)]


async def test_a_source_that_fails_later_ends_the_stream_and_keeps_what_came(tmp_path: Path) -> None:
    _, pieces = await pulled(Origin(playlist(6, 8), playlist(7, 9)), tmp_path)

    assert pieces == [f"</high/{number}.ts>".encode() for number in (6, 7, 8)]


async def test_a_stop_ends_it_between_two_looks(tmp_path: Path) -> None:
    intake, origin = Intake(tmp_path / "head"), Origin(playlist(0, 2))
    async with outside(origin.answer) as server, asyncio.timeout(20), asyncio.TaskGroup() as group:
        pull = HlsPull(fetcher(Moments()), policy(server.port), server.url + "/high/list.m3u8", tmp_path)
        running = group.create_task(pull.run(intake))
        await intake.opened.wait()
        intake.over.set()
        await running

    assert origin.segments[:1] == ["/high/0.ts"]


@pytest.mark.parametrize(
    ("look", "code"),
    [
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://169.254.169.254/latest\n", ErrorCode.INPUT_URL_REFUSED),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n", ErrorCode.INPUT_URL_REFUSED),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n9.ts\n", ErrorCode.INPUT_NOT_FOUND),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n", ErrorCode.INPUT_PLAYLIST),
        (b"\xff\xfe", ErrorCode.INPUT_PLAYLIST),
    ],
)
async def test_what_may_not_be_fetched_fails_the_job(tmp_path: Path, look: bytes, code: ErrorCode) -> None:
    with pytest.raises(InputFailed) as failed:
        await pulled(Origin(look), tmp_path, "/high/list.m3u8")

    assert failed.value.code is code


async def test_a_private_address_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    origin = Origin(playlist(0, 1))
    async with outside(origin.answer) as server:
        strict = FetchPolicy(ports=(server.port,))
        with pytest.raises(InputFailed) as failed:
            await HlsPull(fetcher(Moments()), strict, server.url + "/high/list.m3u8", tmp_path).run(Intake(tmp_path / "head"))

    assert (failed.value.code, server.connections) == (ErrorCode.INPUT_URL_REFUSED, 0)
