"""Uploads and files over HTTP: streamed in, checked, served by links and ranges; nothing half-made stays."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from dispatch.api.wiring import Limits
from tests.contract.api_server import Answer, Server, head_of, served, until

UPLOAD = "/api/v1/jobs/upload"
# An `ftyp` box and an `mdat` box: what the first bytes of an MP4 look like.
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + b"\x00\x10\x00\x00mdat" + bytes(range(256)) * 4096


def form(*parts: tuple[str, str | bytes]) -> aiohttp.MultipartWriter:
    writer = aiohttp.MultipartWriter("form-data")
    for name, content in parts:
        part = writer.append(io.BytesIO(content) if isinstance(content, bytes) else content)
        if isinstance(content, bytes):
            part.set_content_disposition("form-data", name=name, filename="holiday.mp4")
        else:
            part.set_content_disposition("form-data", name=name)
    return writer


async def upload(server: Server, *parts: tuple[str, str | bytes], headers: dict[str, str] | None = None) -> Answer:
    return await server.call("POST", UPLOAD, data=form(*parts), headers=headers or {})


def files_in(data: Path) -> list[str]:
    """What the tenant has there, unfinished files too; the server's own probe of the storage lies beside it."""
    root = data / "storage"
    return sorted(str(path.relative_to(root)) for path in (root / "default").rglob("*") if path.is_file())


async def test_upload_becomes_a_job_whatever_the_order_of_its_fields(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        before = await upload(server, ("priority", "8"), ("metadata", '{"a": 1}'), ("file", MP4))
        after = await upload(server, ("file", MP4), ("priority", "8"), ("metadata", '{"a": 1}'))
        kept = [(tmp_path / "storage" / path).read_bytes() for path in files_in(tmp_path)]

    told = [(a.status, a.json["priority"], a.json["user_metadata"], a.headers["Location"]) for a in (before, after)]
    assert told == [(202, 8, {"a": 1}, f"/api/v1/jobs/{a.json['job_id']}") for a in (before, after)]
    assert kept == [MP4, MP4]


async def test_same_upload_under_one_key_is_one_job_and_one_file(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        keyed = {"Idempotency-Key": "u1"}
        first = await upload(server, ("priority", "8"), ("file", MP4), headers=keyed)
        again = await upload(server, ("file", MP4), ("priority", "8"), headers=keyed)
        other = await upload(server, ("file", MP4 + b"x"), ("priority", "8"), headers=keyed)
        kept = files_in(tmp_path)

    assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
    assert head_of(other) == (422, "IDEMPOTENCY_MISMATCH")
    assert kept == [f"default/raw/{first.json['job_id']}_original.mp4"]


async def test_whole_numbers_of_any_size_in_a_form_are_judged_and_are_no_fault(tmp_path: Path) -> None:
    rendition = {"name": "own", "height": 360, "crf": 23, "profile": "main", "level": "3.0", "min_source_width": 0}
    own = {**rendition, "min_source_height": -(10**30), "audio": {"bitrate": 64_000, "sample_rate": 44_100}}
    async with served(tmp_path) as server:
        taken = await upload(server, ("outputs", json.dumps({"renditions": [own]})), ("file", MP4))
        refused = await upload(server, ("metadata", json.dumps({"a": 2**64})), ("file", MP4))
        endless = await upload(server, ("metadata", '{"a": 1e999}'), ("file", MP4))
        kept = files_in(tmp_path)

    assert taken.status == 202, taken.body
    assert [head_of(answer) for answer in (refused, endless)] == [(422, "VALIDATION_FAILED")] * 2
    assert kept == [f"default/raw/{taken.json['job_id']}_original.mp4"]


async def test_refused_upload_leaves_nothing(tmp_path: Path) -> None:
    cases: list[tuple[tuple[tuple[str, str | bytes], ...], str]] = [
        ((("file", b""),), "INPUT_FORMAT"),
        ((("file", b"this is no film, only words"),), "INPUT_FORMAT"),
        ((("priority", "11"), ("file", MP4)), "VALIDATION_FAILED"),
        ((("file", MP4), ("priority", "11")), "VALIDATION_FAILED"),
        ((("file", MP4), ("colour", "red")), "VALIDATION_FAILED"),
        ((("file", MP4), ("profile", "never")), "PROFILE_NOT_FOUND"),
        ((("file", MP4), ("file", MP4)), "VALIDATION_FAILED"),
        ((("priority", "5"),), "VALIDATION_FAILED"),
        ((("priority", "5"), ("priority", "6"), ("file", MP4)), "VALIDATION_FAILED"),
    ]
    async with served(tmp_path) as server:
        codes = [(await upload(server, *parts)).code for parts, _ in cases]
        kept, listed = files_in(tmp_path), await server.call("GET", "/api/v1/jobs")

    assert codes == [code for _, code in cases]
    assert (kept, listed.json["total"]) == ([], 0)


async def test_upload_above_the_limit_is_refused_while_it_comes(tmp_path: Path) -> None:
    async with served(tmp_path, Limits(max_upload_bytes=1000)) as server:
        boundary = form().boundary
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'.encode()

        async def chunks() -> AsyncIterator[bytes]:
            yield head
            yield MP4
            yield f"\r\n--{boundary}--\r\n".encode()

        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        streamed = await server.call("POST", UPLOAD, data=chunks(), headers=headers)
        kept = files_in(tmp_path)

    assert ((streamed.status, streamed.code), kept) == ((413, "INPUT_TOO_LARGE"), [])


async def test_client_that_leaves_in_mid_upload_leaves_nothing_behind(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        host, port = server.web.addresses[0][:2]
        _, writer = await asyncio.open_connection(host, port)
        lines = (
            f"POST {UPLOAD} HTTP/1.1",
            "Host: x",
            f"X-API-Key: {server.key}",
            "Content-Type: multipart/form-data; boundary=b",
            "Content-Length: 10000000",
            "",
            "--b",
            'Content-Disposition: form-data; name="file"; filename="a.mp4"',
            "",
        )
        writer.write("".join(f"{line}\r\n" for line in lines).encode() + MP4)
        await writer.drain()

        async def has_begun() -> bool:
            return bool(files_in(tmp_path))

        await until(has_begun)
        writer.transport.abort()
        await server.web.cleanup()
        kept = files_in(tmp_path)

    assert kept == []


async def test_json_is_no_upload(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        answer = await server.call("POST", UPLOAD, json={})

    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_file_is_staged_once_and_read_by_ranges(tmp_path: Path) -> None:
    prefix = "staging/job_1/tsk_1/7"
    async with served(tmp_path) as server:
        put, get = server.signed("PUT", prefix), server.signed("GET", prefix)
        staged = await server.call("PUT", f"{put}/{prefix}/web/a b.mp4".replace(" ", "_"), key=None, data=b"0123456789")
        again = await server.call("PUT", f"{put}/{prefix}/web/a_b.mp4", key=None, data=b"abc", headers={"Expect": "100-continue"})
        url = f"{get}/{prefix}/web/a_b.mp4"
        whole = await server.call("GET", url, key=None)
        middle = await server.call("GET", url, key=None, headers={"Range": "bytes=2-4"})
        stale = await server.call("GET", url, key=None, headers={"Range": "bytes=2-4", "If-Range": '"old"'})
        beyond = await server.call("GET", url, key=None, headers={"Range": "bytes=10-"})
        head = await server.call("HEAD", url, key=None, headers={"Range": "bytes=2-4"})
        held = await server.call("GET", url, key=None, headers={"If-None-Match": whole.headers["ETag"]})

    assert (staged.status, staged.body, again.status, again.code) == (201, b"", 409, "FILE_EXISTS")
    assert (whole.status, whole.body, whole.headers["Accept-Ranges"]) == (200, b"0123456789", "bytes")
    assert (whole.headers["Content-Type"], whole.headers["Content-Disposition"]) == ("video/mp4", 'inline; filename="a_b.mp4"')
    assert (middle.status, middle.body, middle.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert (stale.status, stale.body) == (200, b"0123456789")
    assert (beyond.status, beyond.code, beyond.headers["Content-Range"]) == (416, "RANGE_NOT_SATISFIABLE", "bytes */10")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "10")
    assert (held.status, held.body) == (304, b"")


async def test_link_opens_only_what_it_was_signed_for(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        get, old = server.signed("GET", "default/a"), server.signed("GET", "default/a", expires_in=-5)
        answers = [
            await server.call("GET", f"{get}/default/b/x.mp4", key=None),
            await server.call("GET", f"{get}/default/a/../b/x.mp4", key=None),
            await server.call("GET", f"{get}/default/a/%2e%2e/b/x.mp4", key=None),
            await server.call("PUT", f"{get}/default/a/x.mp4", key=None, data=b"x"),
            await server.call("GET", f"{old}/default/a/x.mp4", key=None),
            await server.call("GET", f"{get}/default/a/none.mp4", key=None),
        ]

    assert [head_of(answer) for answer in answers] == [
        (403, "LINK_INVALID"),
        (403, "LINK_INVALID"),
        (403, "LINK_INVALID"),
        (403, "LINK_INVALID"),
        (403, "LINK_EXPIRED"),
        (404, "FILE_NOT_FOUND"),
    ]


async def test_engine_reads_the_upload_and_what_it_stages_is_published(tmp_path: Path) -> None:
    video = {
        "index": 0,
        "codec": "h264",
        "width": 640,
        "height": 360,
        "coded_width": 640,
        "coded_height": 360,
        "frame_rate": "25",
    }
    facts = {"container": "mov", "duration": "10", "size_bytes": len(MP4), "bitrate": None, "video": video, "streams": 1}
    output = {"path": "web/a.mp4", "size": 7, "sha256": hashlib.sha256(b"picture").hexdigest(), "facts": {"role": "rendition"}}
    async with served(tmp_path) as server:
        engine = await server.new_engine()
        job = (await upload(server, ("file", MP4))).json
        (analyze,) = (await server.lease(engine, "r1", light_slots=1))["tasks"]
        assert analyze["input"]["sha256"] == hashlib.sha256(MP4).hexdigest()
        source = await server.call("GET", analyze["input"]["url"], key=None, headers={"Range": "bytes=4-7"})
        await server.report(engine, analyze, "complete", result={"analysis": facts})
        (transcode,) = (await server.lease(engine, "r2"))["tasks"]
        staged = await server.call("PUT", f"{transcode['staging_url']}/web/a.mp4", key=None, data=b"picture")
        await server.report(engine, transcode, "complete", result={"files": [output]})
        base = f"/api/v1/jobs/{job['job_id']}"
        events = await server.call("GET", f"{base}/events")  # ends when the job has ended
        listed = await server.call("GET", f"{base}/outputs")
        linked = await server.call("GET", listed.json["files"][0]["url"], key=None)
        stable = await server.call("GET", f"{base}/files/web/a.mp4", headers={"Range": "bytes=-4"})
        missing = await server.call("GET", f"{base}/files/web/none.mp4")

    assert (source.body, staged.status, b"event: JobFinished" in events.body) == (b"ftyp", 201, True)
    roles = {file["path"]: file["role"] for file in listed.json["files"]}
    assert roles == {"web/a.mp4": "rendition", "metadata.json": "metadata"}
    assert listed.json["files"][0]["size_bytes"] == 7
    assert (linked.status, linked.body) == (200, b"picture")
    assert (stable.status, stable.body, stable.headers["Content-Type"]) == (206, b"ture", "video/mp4")
    assert head_of(missing) == (404, "FILE_NOT_FOUND")
