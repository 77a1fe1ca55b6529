"""Uploads as inputs and thumbnails of jobs: found, checked, given a lasting name, published."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.api_server import Answer, Server, head_of, served
from tests.contract.test_uploads_tus import TUS, UPLOADS, begun, create, send

JOBS, FORM = "/api/v1/jobs", "/api/v1/jobs/upload"
FILM = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + b"\x00\x10\x00\x00mdat" + bytes(range(256)) * 16
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 360, 640) + bytes(100)
WEBP = b"RIFF\x64\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x10\x00\x00\x00\x7f\x02\x00\x67\x01\x00" + bytes(70)


def png(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + chunk + struct.pack(">I", zlib.crc32(chunk)) + bytes(64)


PNG = png(640, 360)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with served(tmp_path) as made:
        yield made


async def uploaded(server: Server, content: bytes, key: str = "", **headers: str) -> str:
    """The id of a finished upload."""
    url = await begun(server, len(content), key, **headers)
    await send(server, url, 0, content, key)
    return url.rpartition("/")[2]


async def submit(server: Server, key: str = "", **fields: object) -> Answer:
    return await server.call("POST", JOBS, key=key, json={"profile": "web", **fields})


def raw_files(server: Server) -> list[str]:
    root = server.data / "storage"
    return sorted(str(path.relative_to(root)) for path in (root / "default").rglob("*") if path.is_file())


async def test_an_upload_becomes_the_input_of_several_jobs(server: Server) -> None:
    upload = await uploaded(server, FILM, Upload_Metadata="filename bXkgZmlsbS5NUDQ=")
    one = await submit(server, input={"upload_id": upload})
    two = await submit(server, input={"upload_id": upload})
    await server.call("DELETE", f"{UPLOADS}/{upload}", headers=TUS)
    late = await submit(server, input={"upload_id": upload})

    jobs = [answer.json["job_id"] for answer in (one, two)]
    root = server.data / "storage" / "default" / "raw"
    assert [answer.status for answer in (one, two, late)] == [202, 202, 410]
    assert raw_files(server) == [f"default/raw/{job}_original.mp4" for job in sorted(jobs)]
    assert {(root / f"{job}_original.mp4").read_bytes() for job in jobs} == {FILM}
    assert one.json["input"] == {"upload_id": upload, "filename": "my film.MP4"}


async def test_what_cannot_be_an_input_is_refused_and_leaves_nothing(server: Server) -> None:
    await server.new_tenant("acme")
    theirs = await server.new_key("files:write", tenant="acme")
    unfinished = (await begun(server, 10)).rpartition("/")[2]
    partial = await uploaded(server, FILM, Upload_Concat="partial")
    whole = await uploaded(server, FILM)
    cases: list[tuple[dict[str, Any], tuple[int, str]]]  # any field of a submission
    cases = [
        ({"input": {"upload_id": "upl_none"}}, (404, "UPLOAD_NOT_FOUND")),
        ({"input": {"upload_id": await uploaded(server, FILM, theirs)}}, (404, "UPLOAD_NOT_FOUND")),
        ({"input": {"upload_id": unfinished}}, (409, "UPLOAD_UNFINISHED")),
        ({"input": {"upload_id": partial}}, (409, "UPLOAD_UNFINISHED")),
        ({"input": {"upload_id": await uploaded(server, b"only words")}}, (422, "INPUT_FORMAT")),
        ({"input": {"upload_id": await uploaded(server, b"")}}, (422, "INPUT_FORMAT")),
        ({"input": {"upload_id": whole}, "profile": "noop"}, (422, "VALIDATION_FAILED")),
        ({"input": {"upload_id": whole}, "profile": "never"}, (422, "PROFILE_NOT_FOUND")),
        ({"input": {"upload_id": whole}, "thumbnail": {"upload_id": "upl_none"}}, (404, "UPLOAD_NOT_FOUND")),
        ({"input": {"upload_id": whole}, "thumbnail": {"upload_id": whole}}, (422, "VALIDATION_FAILED")),
        ({"profile": "noop", "thumbnail": {"upload_id": await uploaded(server, PNG)}}, (422, "VALIDATION_FAILED")),
    ]

    told = [await submit(server, **fields) for fields, _ in cases]
    listed = await server.call("GET", JOBS)

    assert [head_of(answer) for answer in told] == [expected for _, expected in cases]
    assert (raw_files(server), listed.json["total"]) == ([], 0)


async def test_a_batch_takes_uploads_each_for_itself(server: Server) -> None:
    upload = await uploaded(server, FILM)
    items = [{"profile": "web", "input": {"upload_id": name}} for name in (upload, "upl_none", upload)]
    answer = await server.call("POST", f"{JOBS}/batch", json={"jobs": items})

    assert [item["status"] for item in answer.json["jobs"]] == [202, 404, 202]
    assert len(raw_files(server)) == 2


async def test_a_call_that_comes_again_leaves_no_second_file(server: Server) -> None:
    upload, keyed = await uploaded(server, FILM), {"Idempotency-Key": "once"}
    body = {"profile": "web", "input": {"upload_id": upload}}
    first = await server.call("POST", JOBS, json=body, headers=keyed)
    again = await server.call("POST", JOBS, json=body, headers=keyed)

    assert (again.body, len(raw_files(server))) == (first.body, 1)


# --- thumbnails


async def form(server: Server, *parts: tuple[str, bytes, str | None], headers: dict[str, str] | None = None) -> Answer:
    writer = aiohttp.MultipartWriter("form-data")
    for name, content, filename in parts:
        part = writer.append(io.BytesIO(content) if filename else content.decode())
        if filename:
            part.set_content_disposition("form-data", name=name, filename=filename)
        else:
            part.set_content_disposition("form-data", name=name)
    return await server.call("POST", FORM, data=writer, headers=headers or {})


@pytest.mark.parametrize(("picture", "type_"), [(JPEG, "jpg"), (PNG, "png"), (WEBP, "webp")])
async def test_a_form_brings_a_thumbnail_before_or_after_its_file(server: Server, picture: bytes, type_: str) -> None:
    before = await form(server, ("thumbnail", picture, "t.bmp"), ("file", FILM, "a.mp4"))
    after = await form(server, ("file", FILM, "a.mp4"), ("priority", b"7", None), ("thumbnail", picture, "t"))

    jobs = sorted(answer.json["job_id"] for answer in (before, after))
    assert raw_files(server) == [f"default/raw/{job}_{what}" for job in jobs for what in ("original.mp4", f"thumbnail.{type_}")]


async def test_a_thumbnail_that_is_none_is_refused(server: Server) -> None:
    film = ("file", FILM, "a.mp4")
    cases = [
        (("thumbnail", b"GIF89a" + bytes(100), "a.png"), film),
        (film, ("thumbnail", b"", "a.png")),
        (film, ("thumbnail", png(8193, 10), "a.png")),
        (film, ("thumbnail", png(0, 10), "a.png")),
        (film, ("thumbnail", b"\xff\xd8\xff\xd9", "a.jpg")),
        (film, ("thumbnail", PNG + bytes(5_000_000), "a.png")),
        (film, ("thumbnail", PNG, "a.png"), ("thumbnail", PNG, "a.png")),
        (("thumbnail", PNG, "a.png"),),
    ]
    told = [await form(server, *parts) for parts in cases]

    assert [head_of(answer) for answer in told] == [(422, "VALIDATION_FAILED")] * len(cases)
    assert raw_files(server) == []


async def test_another_picture_under_the_same_key_is_another_call(server: Server) -> None:
    keyed = {"Idempotency-Key": "once"}
    film = ("file", FILM, "a.mp4")
    first = await form(server, film, ("thumbnail", PNG, "a.png"), headers=keyed)
    again = await form(server, ("thumbnail", PNG, "a.png"), film, headers=keyed)
    other = await form(server, film, ("thumbnail", JPEG, "a.png"), headers=keyed)
    none = await form(server, film, headers=keyed)

    assert (first.status, again.body) == (202, first.body)
    assert [head_of(answer) for answer in (other, none)] == [(422, "IDEMPOTENCY_MISMATCH")] * 2
    assert len(raw_files(server)) == 2


# --- reservations


async def test_a_tenant_takes_in_no_more_than_its_quota(server: Server) -> None:
    made = await server.call("POST", "/api/v1/admin/tenants", json={"name": "small", "max_bytes_per_month": 1000})
    key = await server.new_key("files:write", "jobs:write", tenant="small")
    fits, more = await create(server, 600, key), await create(server, 500, key)
    url = await begun(server, None, key)
    deferred = await send(server, url, 0, bytes(500), key)
    await server.call("DELETE", fits.headers["Location"], key=key, headers=TUS)
    freed = await create(server, 1000, key)

    assert (made.status, fits.status, freed.status) == (201, 201, 201)
    assert [head_of(answer) for answer in (more, deferred)] == [(429, "QUOTA_EXCEEDED")] * 2


async def test_bytes_count_once_whatever_becomes_of_them(server: Server) -> None:
    quota = 3 * len(FILM)
    await server.call("POST", "/api/v1/admin/tenants", json={"name": "small", "max_bytes_per_month": quota})
    key = await server.new_key("files:write", "jobs:write", tenant="small")
    used = await uploaded(server, FILM, key)
    job = await submit(server, key, input={"upload_id": used})
    parts = [await uploaded(server, FILM, key, Upload_Concat="partial") for _ in range(2)]
    final = f"final;{UPLOADS}/{parts[0]} {UPLOADS}/{parts[1]}"
    joined = await server.call("POST", UPLOADS, key=key, headers={**TUS, "Upload-Concat": final})
    more = await create(server, 1, key)

    assert (job.status, joined.status, head_of(more)) == (202, 201, (429, "QUOTA_EXCEEDED"))
    assert (await server.call("GET", f"{UPLOADS}/{used}", key=key)).json["state"] == "finished"
