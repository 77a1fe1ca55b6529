"""The fetcher against servers of every kind: slow, endless, lying, redirecting, cut off, and names that change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from engine.core.fetching import InputFailed, Span
from engine.shell.tries import TransferFailed
from protocol.errors import ErrorCode
from tests.contract.fetch_outside import Answer, Asked, Moments, cut, failed, fetched, fetcher, http, outside, policy, ranged

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def clock() -> Moments:
    return Moments()


# --- the file itself


async def test_a_file_is_fetched_whole_and_asked_for_plainly(tmp_path: Path, clock: Moments) -> None:
    async with outside(lambda asked: ranged(CONTENT, asked)) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT

    assert server.paths == ["/a.mp4"]
    sent = server.asked[0].headers
    assert (sent["accept-encoding"], sent["user-agent"], sent["host"]) == ("identity", "reelyard", f"127.0.0.1:{server.port}")
    assert not {"range", "cookie", "referer", "authorization"} & set(sent)


async def test_the_path_goes_out_as_it_was_given(tmp_path: Path, clock: Moments) -> None:
    path = "/%7Ea/b%2Fc;d/../x?sig=a%2Fb+c%3D&e=%C3%BC"
    async with outside(lambda asked: ranged(CONTENT, asked)) as server:
        await fetched(server, tmp_path, clock, path)

    assert server.paths == [path]


async def test_a_span_is_asked_for_as_a_range(tmp_path: Path, clock: Moments) -> None:
    async with (
        outside(lambda asked: ranged(CONTENT, asked)) as server,
        fetcher(clock).within(policy(server.port)) as fetching,
    ):
        found = await fetching.get(f"{server.url}/a", tmp_path / "span", Span(300, 500))

    assert ((tmp_path / "span").read_bytes(), found.size) == (CONTENT[300:800], 500)
    assert server.ranges == ["bytes=300-799"]


async def test_a_server_without_ranges_cannot_give_a_span(tmp_path: Path, clock: Moments) -> None:
    async with (
        outside(lambda _: http("200 OK", CONTENT)) as server,
        fetcher(clock).within(policy(server.port)) as fetching,
    ):
        with pytest.raises(InputFailed, match="does not serve the parts"):
            await fetching.get(f"{server.url}/a", tmp_path / "span", Span(300, 500))


# --- resumed


def cut_at(sizes: dict[int, int], *tags: str) -> Answer:
    """A file server that breaks off the nth answer after so many bytes. The nth tag is that of the nth answer.

    Few bytes come in one packet: of many, the client may drop what it has not read when the connection ends.
    """

    def answer(asked: Asked) -> bytes:
        tag = tags[min(asked.number, len(tags) - 1)]
        whole = ranged(CONTENT, asked, etag=tag)
        return cut(whole, sizes[asked.number]) if asked.number in sizes else whole

    return answer


async def test_a_cut_connection_is_resumed_where_it_broke_off(tmp_path: Path, clock: Moments) -> None:
    async with outside(cut_at({0: 1000, 1: 500}, '"v1"')) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT

    assert server.ranges == [None, "bytes=1000-", "bytes=1500-"]
    assert [asked.headers.get("if-range") for asked in server.asked] == [None, '"v1"', '"v1"']


async def test_a_date_is_a_validator_where_there_is_no_tag(tmp_path: Path, clock: Moments) -> None:
    date = "Fri, 20 Nov 2026 08:00:00 GMT"

    def answer(asked: Asked) -> bytes:
        whole = ranged(CONTENT, asked, last_modified=date)
        return whole if asked.number else cut(whole, 1000)

    async with outside(answer) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT
    assert [asked.headers.get("if-range") for asked in server.asked] == [None, date]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"etag": 'W/"weak"', "last_modified": "Fri, 20 Nov 2026 08:00:00 GMT"},
        {"etag": '"ü"'},
        {"etag": f'"{"a" * 2000}"'},
        {"etag": "bare"},
    ],
)
async def test_without_a_strong_validator_it_starts_over(tmp_path: Path, clock: Moments, headers: dict[str, str]) -> None:
    def answer(asked: Asked) -> bytes:
        whole = ranged(CONTENT, asked, **headers)
        return whole if asked.number else cut(whole, 1000)

    async with outside(answer) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT
    assert server.ranges == [None, None]


async def test_a_file_that_changed_between_ranges_starts_over(tmp_path: Path, clock: Moments) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.number == 0:
            return cut(http("200 OK", bytes(len(CONTENT)), etag='"old"'), 100_000)
        return http("200 OK", CONTENT, etag='"new"')

    async with outside(answer) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT
    assert [asked.headers.get("if-range") for asked in server.asked] == [None, '"old"']


async def test_parts_of_two_files_are_never_put_together(tmp_path: Path, clock: Moments) -> None:
    """A server that ignores If-Range and answers 206 of the new file."""
    async with outside(cut_at({0: 1000}, '"old"', '"new"')) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT

    assert server.ranges == [None, "bytes=1000-", None]


async def test_a_file_that_never_stops_changing_is_given_up(tmp_path: Path, clock: Moments) -> None:
    def answer(asked: Asked) -> bytes:
        return cut(http("200 OK", CONTENT, etag=f'"{asked.number}"'), 70_000)

    async with outside(answer) as server:
        with pytest.raises(TransferFailed):
            await fetched(server, tmp_path, clock)
    assert 60 < clock.elapsed < 120


async def test_a_length_that_is_told_only_with_the_second_part_is_fine(tmp_path: Path, clock: Moments) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.number:
            return ranged(CONTENT, asked, etag='"v1"')
        return b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nTransfer-Encoding: chunked\r\n\r\n3E8\r\n' + CONTENT[:1000] + b"\r\n"

    async with outside(answer) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


async def test_a_part_that_names_no_validator_is_of_the_file_that_was_asked_for(tmp_path: Path, clock: Moments) -> None:
    """The condition was met, or the answer would not be 206."""

    def answer(asked: Asked) -> bytes:
        return ranged(CONTENT, asked) if asked.number else cut(ranged(CONTENT, asked, etag='"v1"'), 1000)

    async with outside(answer) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


@pytest.mark.parametrize(
    "second",
    [
        lambda: http("206 Partial Content", CONTENT[5:], content_range=f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}", etag='"v1"'),
        lambda: http("206 Partial Content", CONTENT[1000:], etag='"v1"'),
        lambda: http("206 Partial Content", CONTENT, content_range="bytes 1000-999/5", etag='"v1"'),
        lambda: http("416 Range Not Satisfiable", etag='"v1"'),
    ],
)
async def test_a_wrong_part_is_not_appended(tmp_path: Path, clock: Moments, second: Callable[[], bytes]) -> None:
    def answer(asked: Asked) -> bytes:
        if asked.number == 1:
            return second()
        whole = ranged(CONTENT, asked, etag='"v1"')
        return whole if asked.number else cut(whole, 1000)

    async with outside(answer) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT
    assert server.ranges == [None, "bytes=1000-", None]


async def test_the_connection_may_break_before_any_answer(tmp_path: Path, clock: Moments) -> None:
    async with outside(lambda asked: ranged(CONTENT, asked) if asked.number > 2 else b"") as server:
        assert await fetched(server, tmp_path, clock) == CONTENT
    assert server.ranges == [None] * 4


# --- what is given up at once, what is tried again


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("404 Not Found", "HOST has no such file (answered 404)"),
        ("410 Gone", "HOST has no such file (answered 410)"),
        ("403 Forbidden", "HOST does not give the file (answered 403)"),
        ("401 Unauthorized", "HOST does not give the file (answered 401)"),
        ("204 No Content", "HOST does not give the file (answered 204)"),
        ("416 Range Not Satisfiable", "HOST does not give the file (answered 416)"),
        ("300 Multiple Choices", "HOST does not give the file (answered 300)"),
        ("302 Found", "HOST redirects to nowhere"),
    ],
)
async def test_a_refusal_is_the_inputs_fault(tmp_path: Path, clock: Moments, status: str, told: str) -> None:
    assert await failed(lambda _: http(status), tmp_path, clock) == (ErrorCode.INPUT_NOT_FOUND, told)
    assert clock.waits == []


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "503 Busy", "429 Too Many Requests", "408 Timeout"])
async def test_trouble_of_the_server_is_tried_again(tmp_path: Path, clock: Moments, status: str) -> None:
    async with outside(lambda asked: ranged(CONTENT, asked) if asked.number == 2 else http(status)) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT


async def test_lasting_trouble_is_a_failed_transfer_that_tells_no_secret(tmp_path: Path, clock: Moments) -> None:
    with structlog.testing.capture_logs() as logs:
        async with outside(lambda asked: http("503 Busy") if asked.number % 2 else b"garbage\r\n\r\n") as server:
            with pytest.raises(TransferFailed) as broken:
                await fetched(server, tmp_path, clock, "/a?signature=s3cret")

    assert str(broken.value).startswith("input from 127.0.0.1: ")
    assert 60 < clock.elapsed < 120
    assert logs
    assert "s3cret" not in f"{logs}{broken.value}"


async def test_a_refused_connection_is_tried_again_and_told_by_its_reason(tmp_path: Path, clock: Moments) -> None:
    async with outside(lambda _: b"") as server:
        port = server.port
    async with fetcher(clock).within(policy(port)) as fetching:
        with pytest.raises(TransferFailed, match=r"^input from 127\.0\.0\.1: ClientConnectorError: ECONNREFUSED$"):
            await fetching.get(f"http://127.0.0.1:{port}/a", tmp_path / "input")


async def test_compressed_files_are_not_taken(tmp_path: Path, clock: Moments) -> None:
    code, _ = await failed(lambda _: http("200 OK", CONTENT, content_encoding="gzip"), tmp_path, clock)

    assert code == ErrorCode.INPUT_FORMAT


# --- limits


async def test_a_file_announced_too_large_is_not_fetched_at_all(tmp_path: Path, clock: Moments) -> None:
    told = (ErrorCode.INPUT_TOO_LARGE, "the input is larger than the 1000 bytes allowed")

    assert await failed(lambda asked: ranged(CONTENT, asked), tmp_path, clock, max_bytes=1000) == told
    assert (tmp_path / "input").stat().st_size == 0


def endless(_: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    while True:
        yield bytes(100_000)


async def test_an_endless_body_ends_at_the_limit(tmp_path: Path, clock: Moments) -> None:
    code, _ = await failed(endless, tmp_path, clock, max_bytes=5_000_000)  # type: ignore[arg-type]  # an iterator is enough

    assert code == ErrorCode.INPUT_TOO_LARGE
    assert (tmp_path / "input").stat().st_size <= 5_000_000


async def test_an_input_that_takes_too_long_is_given_up(tmp_path: Path, clock: Moments) -> None:
    code, message = await failed(endless, tmp_path, clock, seconds=0.2)  # type: ignore[arg-type]  # an iterator is enough

    assert (code, message) == (ErrorCode.INPUT_TOO_SLOW, "the input did not arrive within 0.2 s")


async def test_a_dripping_body_is_a_failed_transfer(tmp_path: Path, clock: Moments) -> None:
    def drip(_: Asked) -> Iterator[bytes]:
        yield b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nETag: "v1"\r\nConnection: close\r\n\r\n'
        for _second in range(10):
            clock.elapsed += 10.0
            yield b"x"

    async with outside(drip) as server:  # type: ignore[arg-type]  # an iterator is enough
        with pytest.raises(TransferFailed, match=r"slower than the least rate|ClientPayloadError"):
            await fetched(server, tmp_path, clock)


@pytest.mark.parametrize("announced", [len(CONTENT) + 1, 10_000_000])
async def test_a_body_shorter_than_announced_is_never_taken_for_whole(tmp_path: Path, clock: Moments, announced: int) -> None:
    def lie(asked: Asked) -> bytes:
        return http("200 OK", CONTENT[:60_000], content_length=str(announced))

    async with outside(lie) as server:
        with pytest.raises(TransferFailed):
            await fetched(server, tmp_path, clock)


async def test_what_comes_after_the_announced_length_is_not_read(tmp_path: Path, clock: Moments) -> None:
    async with outside(lambda _: http("200 OK", CONTENT + b"more", content_length=str(len(CONTENT)))) as server:
        assert await fetched(server, tmp_path, clock) == CONTENT
