"""Many uploads at once: dispatch holds a block of each, never more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.farm import farm

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.timeout(120)]

UPLOADS, SIZE, BLOCK = 20, 50_000_000, 1 << 18
MOST_MORE = UPLOADS * (4 << 20)
"""Bytes of memory that all of them together may cost: what a connection holds, and the blocks on their way to the disk."""

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream", "Content-Length": str(SIZE)}


async def blocks() -> AsyncIterator[bytes]:
    for block in _blocks():
        yield block


def _blocks() -> Iterator[bytes]:
    zeros, left = bytes(BLOCK), SIZE
    while left > 0:
        yield zeros[:left]
        left -= BLOCK


async def send(session: aiohttp.ClientSession, *, is_form: bool) -> int:
    if is_form:
        form = aiohttp.MultipartWriter("form-data")
        form.append(blocks()).set_content_disposition("form-data", name="file", filename="a.mp4")
        async with session.post("/api/v1/jobs/upload", data=form) as answer:
            return answer.status
    async with session.post("/api/v1/uploads", headers={**TUS, "Upload-Length": str(SIZE)}) as made:
        place = made.headers["Location"]
    async with session.patch(place, data=blocks(), headers={**BYTES, "Upload-Offset": "0"}) as answer:
        return answer.status


@pytest.mark.parametrize(("is_form", "expected"), [(False, 204), (True, 422)], ids=["tus", "form"])
async def test_memory_stays_flat_under_many_uploads(tmp_path: Path, is_form: bool, expected: int) -> None:
    """A form of zeros is no film: it is stored to its end, then refused."""
    async with farm(tmp_path) as made:
        dispatch = psutil.Process((await made.start_dispatch()).pid)
        peak = before = dispatch.memory_info().rss
        async with aiohttp.ClientSession(made.url, headers={"X-API-Key": made.key}) as session, asyncio.TaskGroup() as group:
            sending = [group.create_task(send(session, is_form=is_form)) for _ in range(UPLOADS)]
            while not all(task.done() for task in sending):
                peak = max(peak, dispatch.memory_info().rss)
                await asyncio.sleep(0.02)  # memory tells nobody when it grows

    print(f"{UPLOADS} x {SIZE / 1e6:.0f} MB: {(peak - before) / 1e6:.1f} MB more")  # noqa: T201  # a figure for whoever asks
    assert [task.result() for task in sending] == [expected] * UPLOADS
    assert peak - before <= MOST_MORE
