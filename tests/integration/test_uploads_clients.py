"""The real clients of tus against a real server: whole, in pieces, in parallel, stopped, and killed in the middle."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from tests.farm import Farm, fact, farm
from tests.integration.tus_clients import in_node, uploader

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SIZE, LONG = 6_000_000, 96 << 20
KILL_AT = 20 << 20


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Farm]:
    async with farm(tmp_path) as running:
        await running.start_dispatch()
        yield running


def film(tmp_path: Path, size: int = SIZE) -> Path:
    """Bytes that no other place of the file has."""
    path = tmp_path / "film.mp4"
    path.write_bytes(random.Random(size).randbytes(size))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def stored(made: Farm, url: str) -> Path:
    return made.storage / "uploads" / url.rpartition("/")[2]


async def view(made: Farm, url: str) -> tuple[int, Any]:  # Any: JSON
    path = url.removeprefix(made.url)
    async with aiohttp.ClientSession(made.url, headers={"X-API-Key": made.key}) as session, session.get(path) as answer:
        return answer.status, await answer.json()


async def test_tuspy_uploads_in_pieces_with_checksums(made: Farm, tmp_path: Path) -> None:
    file = film(tmp_path)
    with file.open("rb") as opened:
        sending = uploader(made, opened, chunk_size=1_500_000, upload_checksum=True)
        await asyncio.to_thread(sending.upload)
    _, told = await view(made, sending.url)

    assert (told["state"], told["filename"], told["size_bytes"]) == ("finished", "film.mp4", SIZE)
    assert digest(stored(made, sending.url)) == digest(file)


async def test_a_server_killed_in_the_middle_is_resumed(tmp_path: Path) -> None:
    file = film(tmp_path, LONG)
    with file.open("rb") as opened:
        async with farm(tmp_path / "farm") as made:
            dispatch = await made.start_dispatch()
            sending = uploader(made, opened)
            sending.set_url(await asyncio.to_thread(sending.create_url))
            place = stored(made, sending.url)
            async with asyncio.TaskGroup() as group:
                broken = group.create_task(asyncio.to_thread(_fault, sending))
                await fact(lambda: size(place) >= KILL_AT, "the upload is under way")
                await dispatch.kill()
            on_disk = size(place)
            await made.start_dispatch()
            again = await asyncio.to_thread(partial(uploader, made, opened, url=sending.url))
            resumed_at = again.offset
            await asyncio.to_thread(again.upload)
            _, told = await view(made, again.url)

    assert isinstance(broken.result(), TusUploadFailed | TusCommunicationError)
    assert 0 < resumed_at <= on_disk < LONG
    assert (told["state"], told["received_bytes"]) == ("finished", LONG)
    assert digest(place) == digest(file)


def _fault(sending: Any) -> Exception | None:  # Any: the library has no types
    try:
        sending.upload()
    except (TusUploadFailed, TusCommunicationError) as error:
        return error
    return None


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({"chunkSize": 2_000_000}, {}),
        ({"uploadDataDuringCreation": True}, {}),
        ({"overridePatchMethod": True, "chunkSize": 2_500_000}, {}),
        ({"uploadLengthDeferred": True, "chunkSize": 2_500_000}, {"stream": True}),
        ({"parallelUploads": 3}, {}),
        ({"chunkSize": 2_000_000}, {"stopAt": 4_000_000}),
    ],
    ids=["pieces", "with-creation", "override", "deferred", "parallel", "stopped-and-resumed"],
)
async def test_tus_js_client_uploads(made: Farm, tmp_path: Path, options: dict[str, object], more: dict[str, object]) -> None:
    file = film(tmp_path)
    told = await in_node(made, file, options=options, **more)

    assert "error" not in told, told
    status, seen = await view(made, told["url"])
    assert (status, seen["state"], seen["filename"], seen["size_bytes"]) == (200, "finished", "film.mp4", SIZE)
    assert (told["stopped"] is None) == ("stopAt" not in more)
    assert digest(stored(made, told["url"])) == digest(file)


async def test_tus_js_client_ends_an_upload_and_is_told_what_is_wrong(made: Farm, tmp_path: Path) -> None:
    file = film(tmp_path)
    ended = await in_node(made, file, terminate=True)
    wrong = await in_node(made, file, key="rk_never")

    assert (await view(made, ended["url"]))[0] == 410
    assert not stored(made, ended["url"]).exists()
    assert wrong["status"] == 401
