"""Uploads and downloads of the Python client against a server that breaks off, forgets and refuses on demand."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from client import tus
from client.api import ReelyardClient
from client.errors import Unreachable
from client.patience import MOST_IN_A_ROW
from protocol.errors import ErrorCode, ReelyardError
from protocol.uploads import UploadState, UploadView
from tests.farm import fact
from tests.integration.cli_farm import CONTENT, UPLOAD, Farm, client_of, cut_off, files, link, refused

pytestmark = pytest.mark.integration

Fault = Callable[[web.Request], web.StreamResponse]


@dataclass
class Tus:
    """A tus server of one upload, whose PATCHes meet these faults one after the other, then none."""

    faults: list[Fault] = field(default_factory=list)
    held: bytearray = field(default_factory=bytearray)
    size: int = 0
    offsets: list[int] = field(default_factory=list)

    async def begin(self, request: web.Request) -> web.StreamResponse:
        self.size = int(request.headers["Upload-Length"])
        return web.Response(status=201, headers={"Location": UPLOAD, "Upload-Offset": "0"})

    async def look(self, request: web.Request) -> web.StreamResponse:
        view = UploadView(
            upload_id="upl_1",
            tenant="default",
            state=UploadState.OPEN,
            filename="film.mp4",
            size_bytes=self.size,
            received_bytes=len(self.held),
            is_partial=False,
            parts=(),
            created_at="t",
            updated_at="t",
            expires_at="t",
        )
        return web.Response(text=view.model_dump_json(), content_type="application/json")

    async def take(self, request: web.Request) -> web.StreamResponse:
        offset, content = int(request.headers["Upload-Offset"]), await request.read()
        self.offsets.append(offset)
        fault = self.faults.pop(0) if self.faults else None
        if fault is lost:
            self.held += content
        if fault is not None:
            return fault(request)
        told = request.headers["Upload-Checksum"]
        assert told == f"sha256 {base64.b64encode(hashlib.sha256(content).digest()).decode()}"
        if offset != len(self.held):
            return refused(ErrorCode.UPLOAD_OFFSET, 409)
        self.held += content
        return web.Response(status=204, headers={"Upload-Offset": str(len(self.held))})


def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def lost(request: web.Request) -> web.StreamResponse:
    """The piece arrives and counts; its answer is lost."""
    return cut(request)


def answers(code: ErrorCode, status: int) -> Fault:
    return lambda request: refused(code, status)


@dataclass
class Place:
    """The server, its upload and a client."""

    farm: Farm
    tus: Tus
    client: ReelyardClient


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made, uploads = Farm(), Tus()
    made.on("POST /api/v1/uploads", uploads.begin)
    made.on(f"GET {UPLOAD}", uploads.look)
    made.on(f"PATCH {UPLOAD}", uploads.take)
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(app) as server:
        made.url = str(server.make_url("")).rstrip("/")
        async with client_of(made) as client:
            yield Place(made, uploads, client)


def film(tmp_path: Path, size: int = 2 * tus.PIECE + 5) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(random.Random(size).randbytes(size))
    return path


async def test_a_piece_goes_again_after_every_fault_that_passes(place: Place, tmp_path: Path) -> None:
    path = film(tmp_path)
    place.tus.faults = [
        cut,
        answers(ErrorCode.UPLOAD_LOCKED, 423),
        answers(ErrorCode.CHECKSUM_MISMATCH, 460),
        answers(ErrorCode.SHUTTING_DOWN, 503),
    ]

    assert await place.client.send_file(path) == "upl_1"

    assert bytes(place.tus.held) == path.read_bytes()
    assert place.tus.offsets == [0, 0, 0, 0, 0, tus.PIECE, 2 * tus.PIECE]


async def test_a_lost_answer_sends_no_byte_twice(place: Place, tmp_path: Path) -> None:
    path = film(tmp_path)
    place.tus.faults = [lost]

    await place.client.send_file(path)

    assert (bytes(place.tus.held) == path.read_bytes(), place.tus.offsets) == (True, [0, tus.PIECE, 2 * tus.PIECE])


async def test_what_does_not_pass_ends_it_at_once(place: Place, tmp_path: Path) -> None:
    place.tus.faults = [answers(ErrorCode.STORAGE_FULL, 507)]

    with pytest.raises(ReelyardError) as caught:
        await place.client.send_file(film(tmp_path))

    assert (caught.value.code, place.tus.offsets) == (ErrorCode.STORAGE_FULL, [0])


async def test_a_line_that_never_carries_a_piece_is_given_up(place: Place, tmp_path: Path) -> None:
    place.tus.faults = [cut] * 100

    with pytest.raises(Unreachable):
        await place.client.send_file(film(tmp_path, 100))

    assert len(place.tus.offsets) == MOST_IN_A_ROW + 1


async def test_a_fault_of_the_callers_own_is_the_callers(place: Place, tmp_path: Path) -> None:
    def broken(sent: int, total: int) -> None:
        if sent:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await place.client.send_file(film(tmp_path, 100), progress=broken)


async def test_a_download_goes_on_from_the_byte_where_it_broke(place: Place, tmp_path: Path) -> None:
    half = len(CONTENT) // 2

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(CONTENT))})
        await response.prepare(request)
        await response.write(CONTENT[:half])
        await fact(lambda: half in [path.stat().st_size for path in tmp_path.iterdir()], "the half is on disk")
        assert request.transport is not None
        request.transport.close()
        return response

    async def rest(request: web.Request) -> web.StreamResponse:
        told = {"Content-Range": f"bytes {half}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        return web.Response(status=206, body=CONTENT[half:], headers=told)

    place.farm.on("GET /f", broken, cut_off, rest)

    await place.client.download(link("x.mp4", "/f"), tmp_path)

    assert files(tmp_path) == {"x.mp4": CONTENT}
    assert place.farm.header("Range") == [None, f"bytes={half}-", f"bytes={half}-"]


async def test_a_server_without_ranges_sends_it_whole_again(place: Place, tmp_path: Path) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(CONTENT))})
        await response.prepare(request)
        await response.write(CONTENT[:100])
        assert request.transport is not None
        request.transport.close()
        return response

    async def whole(request: web.Request) -> web.StreamResponse:
        return web.Response(body=CONTENT)

    place.farm.on("GET /f", broken, whole)

    await place.client.download(link("x.mp4", "/f"), tmp_path)

    assert files(tmp_path) == {"x.mp4": CONTENT}


async def test_an_archive_that_breaks_off_appears_whole_or_not_at_all(place: Place, tmp_path: Path) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"PK")
        assert request.transport is not None
        request.transport.close()
        return response

    async def whole(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"PK whole")

    place.farm.on("GET /api/v1/jobs/job_1/outputs.zip", broken, whole)
    target = tmp_path / "deep/all.zip"

    await place.client.outputs_zip("job_1", target)
    place.farm.on("GET /api/v1/jobs/job_2/outputs.zip", broken)
    with pytest.raises(Unreachable):
        await place.client.outputs_zip("job_2", tmp_path / "other.zip")

    assert files(tmp_path) == {"deep/all.zip": b"PK whole"}
