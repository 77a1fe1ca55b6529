"""Real processes: films on their way up through kills of either side, and what was made on its way down; webhooks tried."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import struct
import sys
import zipfile
import zlib
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from client import tus
from tests.farm import Farm, fact, farm
from tests.media import make_clip

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

HEAD = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
SIZE, KILL_AT = 96 << 20, 20 << 20


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Farm]:
    async with farm(tmp_path / "farm", REELYARD_DISPATCH_WEBHOOKS__ALLOW_PRIVATE_ADDRESSES="true") as running:
        await running.start_dispatch()
        yield running


def film(tmp_path: Path) -> Path:
    """Bytes that no other place of the file has, and a head that passes for a film."""
    path = tmp_path / "film.mp4"
    path.write_bytes(HEAD + random.Random(1).randbytes(SIZE))
    return path


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def start(made: Farm, *words: str) -> Process:
    """`reelyard` with a cache of the test's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REELYARD_")}
    environment = kept | {"XDG_CACHE_HOME": str(made.root / "cache"), "REELYARD_SERVER": made.url, "REELYARD_API_KEY": made.key}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "client", *words, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE
    )


async def run(made: Farm, *words: str) -> Ran:
    return await ended(await start(made, *words))


async def ended(child: Process) -> Ran:
    out, err = await child.communicate()
    return Ran(child.returncode or 0, out.decode(), err.decode())


def uploaded(made: Farm) -> int:
    """Bytes of the one upload there is."""
    return sum(path.stat().st_size for path in (made.storage / "uploads").glob("upl_*"))


async def is_under_way(made: Farm) -> None:
    await fact(lambda: uploaded(made) > KILL_AT, "the upload is under way")
    assert uploaded(made) < SIZE


async def test_an_upload_goes_on_when_dispatch_is_killed_in_the_middle(tmp_path: Path) -> None:
    path = film(tmp_path)
    async with farm(tmp_path / "farm") as made:
        dispatch = await made.start_dispatch()
        child = await start(made, "submit", str(path), "--json")
        await is_under_way(made)

        await dispatch.kill()
        again = await made.start_dispatch()
        ran = await ended(child)

        job = json.loads(ran.out)
        assert (ran.code, job["state"]) == (0, "pending"), ran
        assert digest(made.storage / "default/raw" / f"{job['job_id']}_original.mp4") == digest(path)
        assert (dispatch.log.has("upload_begun"), again.log.has("upload_begun")) == (True, False)
        assert uploaded(made) == 0


async def test_the_next_run_goes_on_where_a_killed_one_stopped(made: Farm, tmp_path: Path) -> None:
    path = film(tmp_path)
    child = await start(made, "submit", str(path))
    await is_under_way(made)
    child.kill()
    await child.communicate()
    have = uploaded(made)

    ran = await run(made, "submit", str(path), "--json")

    job = json.loads(ran.out)
    first = ran.err.splitlines()[0]
    assert ran.code == 0, ran
    assert have >= tus.PIECE
    assert first.startswith("upload film.mp4 ")
    assert first.split()[2] != "0", "it began anew"
    assert digest(made.storage / "default/raw" / f"{job['job_id']}_original.mp4") == digest(path)
    assert list((made.root / "cache/reelyard/uploads").iterdir()) == []


async def test_a_film_comes_back_as_files_and_as_an_archive(made: Farm, tmp_path: Path) -> None:
    await (await made.start_engine("one")).said("engine_registered")
    clip, out = make_clip(tmp_path / "my film.mp4", seconds=1.5), tmp_path / "out"
    picture = tmp_path / "mine.png"
    picture.write_bytes(_png())

    looked = await run(made, "validate", str(clip), "--json")
    ran = await run(made, "submit", str(clip), "--wait", "--download", str(out), "--thumbnail", str(picture), "--json")
    job = json.loads(ran.out)
    zipped = await run(made, "outputs", job["job_id"], "--zip", str(tmp_path / "all.zip"))

    assert (looked.code, json.loads(looked.out)["valid"]) == (0, True), looked
    assert (ran.code, job["state"], zipped.code) == (0, "completed", 0), (ran, zipped)
    root = out / job["job_id"]
    fetched = {str(path.relative_to(out)): digest(path) for path in root.rglob("*") if path.is_file()}
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()} == fetched
    assert f"{job['job_id']}/360p/video_360p.mp4" in fetched
    assert job["outputs"]["thumbnails"]["custom"] is not None
    assert uploaded(made) == 0


def _png() -> bytes:
    """A picture of 64 x 64 grey pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + b"\x80" * 64 for _ in range(64))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def test_a_webhook_is_added_tried_and_told(tmp_path: Path) -> None:
    got: list[str] = []

    async def told(request: web.Request) -> web.StreamResponse:
        got.append((await request.json())["type"])
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", told)
    clip = tmp_path / "film.mp4"
    clip.write_bytes(HEAD + bytes(5000))
    async with TestServer(app) as receiver:
        settings = {
            "REELYARD_DISPATCH_WEBHOOKS__ALLOW_PRIVATE_ADDRESSES": "true",
            "REELYARD_DISPATCH_WEBHOOKS__PORTS": f"[{receiver.port}]",
        }
        async with farm(tmp_path / "farm", **settings) as made:
            await made.start_dispatch()
            url = f"http://127.0.0.1:{receiver.port}/hook"
            added = json.loads((await run(made, "webhooks", "endpoints", "add", url, "--event", "job.cancelled", "--json")).out)
            tried = await run(made, "webhooks", "endpoints", "test", added["endpoint_id"])
            job = json.loads((await run(made, "submit", str(clip), "--json")).out)
            await run(made, "cancel", job["job_id"])
            await fact(lambda: len(got) == 2, "the receiver is told of the job")
            sent = json.loads((await run(made, "webhooks", "deliveries", "list", "--job", job["job_id"], "--json")).out)
            again = await run(made, "webhooks", "deliveries", "redeliver", sent["deliveries"][0]["delivery_id"])
            await fact(lambda: len(got) == 3, "the receiver is told again")

    assert (tried.code, tried.out.startswith("delivered in "), again.code) == (0, True, 0), (tried, again)
    assert got == ["webhook.test", "job.cancelled", "job.cancelled"]
