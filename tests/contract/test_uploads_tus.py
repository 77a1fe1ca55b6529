"""tus 1.0 over HTTP, header by header; real services, real files."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.api_server import Answer, Server, head_of, served, until

UPLOADS = "/api/v1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}
FILM = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + b"\x00\x10\x00\x00mdat" + bytes(range(256)) * 4096


def summed(algorithm: str, content: bytes) -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


async def create(server: Server, size: int | None, key: str = "", **headers: str) -> Answer:
    length = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
    return await server.call("POST", UPLOADS, key=key, headers={**TUS, **length, **_named(headers)})


async def begun(server: Server, size: int | None, key: str = "", **headers: str) -> str:
    """The URL of a new upload."""
    return (await create(server, size, key, **headers)).headers["Location"]


async def send(server: Server, url: str, offset: int, content: bytes, key: str = "", **headers: str) -> Answer:
    return await server.call(
        "PATCH", url, key=key, data=io.BytesIO(content), headers={**BYTES, "Upload-Offset": str(offset), **_named(headers)}
    )


async def offset(server: Server, url: str) -> int:
    return int((await server.call("HEAD", url, headers=TUS)).headers["Upload-Offset"])


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def stored(data: Path, url: str) -> bytes:
    return (data / "storage" / "uploads" / url.rpartition("/")[2]).read_bytes()


async def test_options_tell_what_the_server_knows(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        answer = await server.call("OPTIONS", UPLOADS)

    told = {name: answer.headers[name] for name in answer.headers if name.startswith("Tus-")}
    assert answer.status == 204
    assert told == {
        "Tus-Resumable": "1.0.0",
        "Tus-Version": "1.0.0",
        "Tus-Extension": "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation",
        "Tus-Max-Size": "20000000000",
        "Tus-Checksum-Algorithm": "sha256,sha1,md5",
    }


async def test_a_file_comes_in_pieces(tmp_path: Path) -> None:
    metadata = f"filename {base64.b64encode(b'my film.mp4').decode()},empty"
    async with served(tmp_path) as server:
        made = await create(server, 10, Upload_Metadata=metadata)
        url = made.headers["Location"]
        first = await send(server, url, 0, b"01234")
        head = await server.call("HEAD", url, headers=TUS)
        last = await send(server, url, 5, b"56789")
        done = await server.call("GET", url)

    assert (made.status, made.headers["Upload-Offset"], made.headers["Tus-Resumable"]) == (201, "0", "1.0.0")
    assert (first.status, first.headers["Upload-Offset"], "Upload-Expires" in first.headers) == (204, "5", True)
    told = [head.headers[name] for name in ("Upload-Offset", "Upload-Length", "Upload-Metadata", "Cache-Control")]
    assert (head.status, told) == (200, ["5", "10", metadata, "no-store"])
    assert (last.status, last.headers["Upload-Offset"], stored(tmp_path, url)) == (204, "10", b"0123456789")
    view = done.json
    assert (view["state"], view["filename"], view["size_bytes"], view["received_bytes"]) == ("finished", "my film.mp4", 10, 10)


async def test_the_length_may_be_told_later(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        url = await begun(server, None)
        head = await server.call("HEAD", url, headers=TUS)
        await send(server, url, 0, b"01234")
        told = await send(server, url, 5, b"56", Upload_Length="8")
        other = await send(server, url, 7, b"7", Upload_Length="9")
        last = await send(server, url, 7, b"7")
        view = (await server.call("GET", url)).json

    assert (head.headers["Upload-Defer-Length"], "Upload-Length" in head.headers) == ("1", False)
    assert (told.status, head_of(other), last.status) == (204, (400, "UPLOAD_HEADER_INVALID"), 204)
    assert (view["state"], view["size_bytes"], stored(tmp_path, url)) == ("finished", 8, b"01234567")


async def test_first_bytes_may_come_with_the_creation(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        part = await server.call("POST", UPLOADS, data=b"0123", headers={**BYTES, "Upload-Length": "6"})
        whole = await server.call("POST", UPLOADS, data=b"012345", headers={**BYTES, "Upload-Length": "6"})
        wrong = await server.call(
            "POST", UPLOADS, data=b"012345", headers={**BYTES, "Upload-Length": "6", "Upload-Checksum": summed("md5", b"x")}
        )
        state = (await server.call("GET", whole.headers["Location"])).json["state"]
        kept = sorted(path.name for path in (tmp_path / "storage" / "uploads").iterdir())

    assert [(a.status, a.headers["Upload-Offset"]) for a in (part, whole)] == [(201, "4"), (201, "6")]
    assert (state, head_of(wrong)) == ("finished", (460, "CHECKSUM_MISMATCH"))
    assert kept == sorted(a.headers["Location"].rpartition("/")[2] for a in (part, whole))


async def test_an_empty_upload_is_finished_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        url = await begun(server, 0)
        view = (await server.call("GET", url)).json

    assert (view["state"], stored(tmp_path, url)) == ("finished", b"")


@pytest.mark.parametrize("algorithm", ["sha1", "md5", "sha256"])
async def test_bytes_that_are_not_those_announced_are_not_kept(tmp_path: Path, algorithm: str) -> None:
    async with served(tmp_path) as server:
        url = await begun(server, 6)
        good = await send(server, url, 0, b"012", Upload_Checksum=summed(algorithm, b"012"))
        bad = await send(server, url, 3, b"345", Upload_Checksum=summed(algorithm, b"543"))
        after = await offset(server, url)
        again = await send(server, url, 3, b"345", Upload_Checksum=summed(algorithm, b"345"))

    assert (good.status, head_of(bad), after, again.status) == (204, (460, "CHECKSUM_MISMATCH"), 3, 204)
    assert stored(tmp_path, url) == b"012345"


async def test_parts_become_one_upload(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        parts = [await begun(server, len(piece), Upload_Concat="partial") for piece in (b"one ", b"two")]
        early = await server.call("POST", UPLOADS, headers={**TUS, "Upload-Concat": f"final;{parts[0]} {parts[1]}"})
        for url, piece in zip(parts, (b"one ", b"two"), strict=True):
            await send(server, url, 0, piece)
        listed = f"final;{server.url}{parts[0]} {parts[1]}"
        final = await server.call(
            "POST", UPLOADS, headers={**TUS, "Upload-Concat": listed, "Upload-Metadata": "filename YS5tcDQ="}
        )
        url = final.headers["Location"]
        head = await server.call("HEAD", url, headers=TUS)
        more = await send(server, url, 7, b"x")
        partial = await server.call("HEAD", parts[0], headers=TUS)
        ended = [(await server.call("DELETE", part, headers=TUS)).status for part in parts]

    assert (head_of(early), final.status) == ((409, "UPLOAD_UNFINISHED"), 201)
    told = {name: head.headers[name] for name in ("Upload-Offset", "Upload-Length", "Upload-Concat")}
    assert told == {"Upload-Offset": "7", "Upload-Length": "7", "Upload-Concat": f"final;{parts[0]} {parts[1]}"}
    assert (head_of(more), partial.headers["Upload-Concat"], ended) == ((403, "UPLOAD_IS_FINAL"), "partial", [204, 204])
    assert stored(tmp_path, url) == b"one two"


async def test_an_ended_upload_is_gone_with_its_bytes(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        url = await begun(server, 6)
        await send(server, url, 0, b"012")
        ended = await server.call("DELETE", url, headers=TUS)
        after = [await server.call(method, url, headers=TUS) for method in ("GET", "DELETE")]
        after.append(await send(server, url, 3, b"345"))
        async with server.http.head(server.url + url, headers={**TUS, "X-API-Key": server.key}) as head:
            assert (head.status, "Upload-Offset" in head.headers) == (410, False)

    assert (ended.status, [head_of(answer) for answer in after]) == (204, [(410, "UPLOAD_GONE")] * 3)
    assert list((tmp_path / "storage" / "uploads").iterdir()) == []


async def test_what_breaks_the_protocol_is_refused_by_code(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        url, full = await begun(server, 6), await begun(server, 1)
        await send(server, full, 0, b"x")
        size = {"Upload-Length": "6"}
        at = {"Upload-Offset": "0"}
        cases: list[tuple[str, str, dict[str, str], bytes | None, int, str]] = [
            ("POST", UPLOADS, size, None, 412, "TUS_VERSION"),
            ("POST", UPLOADS, {**size, "Tus-Resumable": "0.2.2"}, None, 412, "TUS_VERSION"),
            ("POST", UPLOADS, TUS, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, "Upload-Length": "-1"}, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, "Upload-Length": "6.0"}, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, "Upload-Defer-Length": "2"}, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, **size, "Upload-Defer-Length": "1"}, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, **size, "Upload-Metadata": "a !!!"}, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, **size, "Upload-Metadata": "a YQ==,a YQ=="}, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, **size, "Upload-Concat": "all"}, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, **size, "Upload-Concat": f"final;{url}"}, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, "Upload-Concat": "final;"}, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, "Upload-Concat": f"final;{url}"}, None, 400, "UPLOAD_HEADER_INVALID"),
            ("POST", UPLOADS, {**TUS, "Upload-Concat": "final;/x/upl_none"}, None, 404, "UPLOAD_NOT_FOUND"),
            ("POST", UPLOADS, {**TUS, "Upload-Length": "20000000001"}, None, 413, "UPLOAD_TOO_LARGE"),
            ("POST", UPLOADS, {**TUS, **size, "Content-Type": "text/plain"}, b"x", 415, "UNSUPPORTED_MEDIA_TYPE"),
            ("PATCH", url, {**BYTES}, b"x", 400, "UPLOAD_HEADER_INVALID"),
            ("PATCH", url, {**BYTES, "Upload-Offset": "3"}, b"x", 409, "UPLOAD_OFFSET"),
            ("PATCH", url, {**BYTES, **at}, b"1234567", 413, "UPLOAD_TOO_LARGE"),
            ("PATCH", full, {**BYTES, "Upload-Offset": "1"}, b"x", 413, "UPLOAD_TOO_LARGE"),
            ("PATCH", url, {**TUS, **at, "Content-Type": "text/plain"}, b"x", 415, "UNSUPPORTED_MEDIA_TYPE"),
            ("PATCH", url, {**BYTES, **at, "Content-Encoding": "gzip"}, b"x", 415, "UNSUPPORTED_MEDIA_TYPE"),
            ("PATCH", url, {**at, "Content-Type": BYTES["Content-Type"]}, b"x", 412, "TUS_VERSION"),
            ("PATCH", url, {**BYTES, **at, "Upload-Checksum": "crc32 AAAA"}, b"x", 400, "UPLOAD_HEADER_INVALID"),
            ("PATCH", url, {**BYTES, **at, "Upload-Checksum": "sha1 AAAA"}, b"x", 400, "UPLOAD_HEADER_INVALID"),
            ("PATCH", url, {**BYTES, **at, "Upload-Length": "5"}, b"x", 400, "UPLOAD_HEADER_INVALID"),
            ("PATCH", f"{UPLOADS}/upl_none", {**BYTES, **at}, b"x", 404, "UPLOAD_NOT_FOUND"),
            ("DELETE", f"{UPLOADS}/upl_none", TUS, None, 404, "UPLOAD_NOT_FOUND"),
            ("DELETE", url, {}, None, 412, "TUS_VERSION"),
            ("POST", url, TUS, None, 405, "METHOD_NOT_ALLOWED"),
            ("PUT", url, TUS, None, 405, "METHOD_NOT_ALLOWED"),
        ]
        told = [
            (await server.call(method, path, headers=headers, data=body), method, path, headers)
            for method, path, headers, body, *_ in cases
        ]
        after = await offset(server, url)

    assert [(a.status, a.code) for a, *_ in told] == [(status, code) for *_, status, code in cases]
    assert {a.headers.get("Tus-Resumable") for a, *_ in told} == {"1.0.0"}
    assert {a.headers.get("Tus-Version") for a, *_ in told if a.status == 412} == {"1.0.0"}
    assert after == 0


async def test_other_methods_go_by_a_header(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        url = await begun(server, 6)
        headers = {**BYTES, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
        patched = await server.call("POST", url, data=b"012", headers=headers)
        head = await server.call("POST", url, headers={**TUS, "X-HTTP-Method-Override": "HEAD"})
        ended = await server.call("POST", url, headers={**TUS, "X-HTTP-Method-Override": "DELETE"})
        after = await server.call("GET", url)

    assert [(a.status, a.headers.get("Upload-Offset")) for a in (patched, head, ended)] == [(204, "3"), (204, "3"), (204, None)]
    assert after.status == 410


async def test_another_tenants_upload_is_as_none(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        await server.new_tenant("acme")
        theirs = await server.new_key("files:write", tenant="acme")
        own = await server.new_key("files:write")
        url = await begun(server, 6, own)
        part = await begun(server, 0, own, Upload_Concat="partial")
        answers = [
            await server.call("GET", url, key=theirs, headers=TUS),
            await send(server, url, 0, b"012", key=theirs),
            await server.call("DELETE", url, key=theirs, headers=TUS),
            await server.call("POST", UPLOADS, key=theirs, headers={**TUS, "Upload-Concat": f"final;{part}"}),
        ]
        mine = await send(server, url, 0, b"012", key=own)

    assert ([head_of(a) for a in answers], mine.status) == ([(404, "UPLOAD_NOT_FOUND")] * 4, 204)


class Line:
    """A client that sends by hand, and stops when it likes."""

    def __init__(self, server: Server, url: str, at: int, length: int, **headers: str) -> None:
        self._server, self._url = server, url
        self._headers = {**BYTES, "Host": "x", "X-API-Key": server.key, "Upload-Offset": str(at), "Content-Length": str(length)}
        self._headers |= _named(headers)

    async def __aenter__(self) -> Line:
        host, port = self._server.web.addresses[0][:2]
        self.reader, self.writer = await asyncio.open_connection(host, port)
        lines = [f"PATCH {self._url} HTTP/1.1", *(f"{name}: {value}" for name, value in self._headers.items()), "", ""]
        self.writer.write("\r\n".join(lines).encode())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()


async def arrived(tmp_path: Path, url: str) -> bool:
    """Whether the server has begun to store: the file is there as soon as the body is read."""
    return (tmp_path / "storage" / "uploads" / url.rpartition("/")[2]).exists()


async def test_what_came_of_a_broken_body_is_kept(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        url = await begun(server, len(FILM))
        async with Line(server, url, 0, len(FILM)) as line:
            line.writer.write(FILM[:700_001])
            await line.writer.drain()
            await until(lambda: arrived(tmp_path, url))
            line.writer.write_eof()
            await line.reader.read()

        at = await offset(server, url)
        rest = await send(server, url, at, FILM[at:])

    assert 1 << 18 <= at <= 700_001  # what had not left the connection's own buffer is lost with it
    assert (rest.status, stored(tmp_path, url)) == (204, FILM)


async def test_of_a_broken_body_with_a_checksum_nothing_counts(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        url = await begun(server, len(FILM))
        async with Line(server, url, 0, len(FILM), Upload_Checksum=summed("sha1", FILM)) as line:
            line.writer.write(FILM[:700_001])
            await line.writer.drain()
            await until(lambda: arrived(tmp_path, url))
            line.writer.write_eof()
            await line.reader.read()

        at = await offset(server, url)
        whole = await send(server, url, 0, FILM, Upload_Checksum=summed("sha1", FILM))

    assert (at, whole.status, stored(tmp_path, url)) == (0, 204, FILM)


async def test_a_body_without_length_stops_at_the_end_of_the_upload(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"01234"

    async with served(tmp_path) as server:
        url, exact = await begun(server, 12), await begun(server, 20)
        headers = {**BYTES, "Upload-Offset": "0"}
        over = await server.call("PATCH", url, data=chunks(), headers=headers)
        fits = await server.call("PATCH", exact, data=chunks(), headers=headers)
        state = (await server.call("GET", url)).json["state"]

    assert (head_of(over), state, fits.status) == ((413, "UPLOAD_TOO_LARGE"), "open", 204)
    assert stored(tmp_path, exact) == b"01234" * 4


async def test_a_creation_that_comes_again_is_the_same_upload(tmp_path: Path) -> None:
    keyed = {**BYTES, "Upload-Length": "6", "Idempotency-Key": "once"}
    wrong = {**keyed, "Idempotency-Key": "other", "Upload-Checksum": summed("md5", b"x")}
    async with served(tmp_path) as server:
        first = await server.call("POST", UPLOADS, data=b"012", headers=keyed)
        again = await server.call("POST", UPLOADS, data=b"012", headers=keyed)
        other = await server.call("POST", UPLOADS, headers={**keyed, "Upload-Length": "7"})
        broken = await server.call("POST", UPLOADS, data=b"012", headers=wrong)
        found = await server.call("POST", UPLOADS, data=b"012", headers=wrong)
        await server.call("DELETE", first.headers["Location"], headers=TUS)
        late = await server.call("POST", UPLOADS, headers=keyed)

    assert [(a.status, a.headers["Upload-Offset"], a.headers.get("Idempotent-Replayed")) for a in (first, again, found)] == [
        (201, "3", None),
        (201, "3", "true"),
        (201, "0", "true"),
    ]
    assert {a.headers["Location"] for a in (first, again, late)} == {first.headers["Location"]}
    assert [head_of(answer) for answer in (other, broken)] == [(422, "IDEMPOTENCY_MISMATCH"), (460, "CHECKSUM_MISMATCH")]
    assert (late.status, "Upload-Offset" in late.headers) == (201, False)
