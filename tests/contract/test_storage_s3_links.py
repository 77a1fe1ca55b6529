"""Links past dispatch, used as an engine or a player uses them: by plain HTTP, without any credentials."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import pytest

from plugins.storage_s3.provider import S3Storage
from protocol.storage import AlreadyExists, DirectAccess, DirectWrite, NotFound, Promoted, StagedFileLost
from tests.contract.storage_adapters import blocks, content, digest, names, s3
from tests.servers import seaweed

MIB = 1 << 20
PATH = "staging/job_1/tsk_1/4/film.mp4"
FILM = b"a film" * 100_000


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def storage() -> Iterator[S3Storage]:
    with s3(whole_bytes=MIB, link_part_bytes=5 * MIB) as made:
        yield made


@pytest.fixture
def direct(storage: S3Storage) -> DirectAccess:
    assert storage.direct is not None
    return storage.direct


def call(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    parts = urlsplit(url)
    line = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        line.request(method, f"{parts.path}?{parts.query}", body=body, headers=headers or {})
        answer = line.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        line.close()


async def put(write: DirectWrite, value: bytes, **changed: str) -> int:
    assert write.url is not None
    headers = {**write.headers, **changed}
    return (await asyncio.to_thread(call, "PUT", write.url, value, headers)).status


async def put_parts(write: DirectWrite, value: bytes) -> list[int]:
    statuses = []
    for number, url in enumerate(write.parts):
        part = value[number * write.part_bytes : (number + 1) * write.part_bytes]
        statuses.append((await asyncio.to_thread(call, "PUT", url, part, dict(write.headers))).status)
    return statuses


async def test_a_link_reads_one_file_with_ranges_and_names_it(storage: S3Storage, direct: DirectAccess) -> None:
    await storage.write("out/film.mp4", blocks(b"0123456789"))
    url = direct.read_link("out/film.mp4", seconds=60, filename='My "film" ü.mp4')
    answer = await asyncio.to_thread(call, "GET", url, b"", {"Range": "bytes=2-4"})

    assert (answer.status, answer.body) == (206, b"234")
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"My _film_ _.mp4\"; filename*=UTF-8''My%20%22film%22%20%C3%BC.mp4"
    )


async def test_a_link_opens_no_other_file_and_holds_no_secret(storage: S3Storage, direct: DirectAccess) -> None:
    for path in ("a", "b"):
        await storage.write(path, blocks(b"x"))
    url = direct.read_link("a", seconds=60)
    other = url.replace("/a?", "/b?")

    assert seaweed.SECRET_KEY not in url
    assert (await asyncio.to_thread(call, "GET", other)).status == 403
    assert (await asyncio.to_thread(call, "DELETE", url)).status == 403
    assert await names(storage) == ["a", "b"]


async def test_one_put_takes_exactly_the_bytes_it_was_made_for(storage: S3Storage, direct: DirectAccess) -> None:
    write = await direct.start_write(PATH, size=len(FILM), sha256=digest(FILM), seconds=60)
    other = FILM[:-1] + b"!"
    refused = [
        await put(write, other),
        await put(write, FILM + b"more"),
        await put(write, other, **{"x-amz-checksum-sha256": "AAAA"}),
        await put(write, FILM, **{"x-amz-meta-reelyard-sha256": digest(FILM)}),
    ]

    assert refused == [400, 403, 403, 403]
    assert await names(storage) == []
    assert await put(write, FILM) == 200
    assert await put(write, FILM) == 412
    assert await content(storage, PATH) == FILM


async def test_a_put_without_a_digest_is_create_only_too(storage: S3Storage, direct: DirectAccess) -> None:
    write = await direct.start_write("uploads/upl_1", size=4, sha256=None, seconds=60)
    del_condition = {name: value for name, value in write.headers.items() if name != "If-None-Match"}

    assert await put(write, b"film") == 200
    assert await put(write, b"FILM") == 412
    assert (await asyncio.to_thread(call, "PUT", str(write.url), b"FILM", del_condition)).status == 403
    assert await content(storage, "uploads/upl_1") == b"film"


async def test_parts_become_one_file(storage: S3Storage, direct: DirectAccess) -> None:
    film = FILM * 20
    write = await direct.start_write(PATH, size=len(film), sha256=digest(film), seconds=60)
    statuses = await put_parts(write, film)
    assert write.upload is not None
    assert await names(storage) == []
    await direct.finish_write(PATH, write.upload, size=len(film))
    await direct.finish_write(PATH, write.upload, size=len(film))

    assert (write.url, write.part_bytes, statuses) == (None, 5 * MIB, [200] * 3)
    assert await content(storage, PATH) == film
    await direct.abort_write(PATH, write.upload)
    assert await names(storage) == [PATH]


async def test_a_missing_part_is_told_and_may_come_later(storage: S3Storage, direct: DirectAccess) -> None:
    film = FILM * 20
    write = await direct.start_write(PATH, size=len(film), sha256=digest(film), seconds=60)
    assert write.upload is not None
    await put_parts(DirectWrite(None, write.parts[:2], write.part_bytes), film)
    with pytest.raises(NotFound):
        await direct.finish_write(PATH, write.upload, size=len(film))

    assert await names(storage) == []
    assert await put_parts(write, film) == [200] * 3  # the first two once more, as after a lost answer
    await direct.finish_write(PATH, write.upload, size=len(film))
    assert await content(storage, PATH) == film


async def test_parts_never_replace_a_file(storage: S3Storage, direct: DirectAccess) -> None:
    film = FILM * 20
    write = await direct.start_write(PATH, size=len(film), sha256=digest(film), seconds=60)
    assert write.upload is not None
    await put_parts(write, film)
    await storage.write(PATH, blocks(b"first"))

    with pytest.raises(AlreadyExists):
        await direct.finish_write(PATH, write.upload, size=len(film))
    assert await content(storage, PATH) == b"first"


async def test_an_aborted_write_cannot_be_finished(storage: S3Storage, direct: DirectAccess) -> None:
    write = await direct.start_write(PATH, size=20 * MIB, sha256=None, seconds=60)
    assert write.upload is not None
    await direct.abort_write(PATH, write.upload)
    await direct.abort_write(PATH, write.upload)

    with pytest.raises(NotFound):
        await direct.finish_write(PATH, write.upload, size=20 * MIB)
    with pytest.raises(NotFound):
        await direct.finish_write(PATH, "a name of nothing", size=20 * MIB)
    assert await storage.sweep_temporary(older_than_s=0, now=4e9) == 0


async def test_parts_of_other_bytes_are_found_before_they_are_published(storage: S3Storage, direct: DirectAccess) -> None:
    """No storage checks a file in parts by its SHA-256: dispatch reads it before anything is copied."""
    film = FILM * 20
    write = await direct.start_write(PATH, size=len(film), sha256=digest(film), seconds=60)
    assert write.upload is not None
    await put_parts(write, film[:-1] + b"!")
    await direct.finish_write(PATH, write.upload, size=len(film))

    with pytest.raises(StagedFileLost):
        await storage.promote("acme/processed/job_1", "work", [Promoted(PATH, "film.mp4", len(film), digest(film))], {})
    with pytest.raises(StagedFileLost):
        await storage.link(PATH, "acme/raw/job_1_original.mp4", size=len(film), sha256=digest(film))
    assert await names(storage) == [PATH]


async def test_a_huge_file_has_at_most_a_thousand_links(direct: DirectAccess) -> None:
    write = await direct.start_write(PATH, size=100 << 30, sha256=None, seconds=60)
    assert write.upload is not None
    await direct.abort_write(PATH, write.upload)

    assert (len(write.parts), write.part_bytes) == (995, 103 * MIB)


async def test_links_name_the_public_host_and_the_cdn() -> None:
    with s3(public_endpoint="https://media.example.org", cdn_url="https://cdn.example.net/films", prefix="farm") as storage:
        assert storage.direct is not None
        staged, published = (
            urlsplit(storage.direct.read_link(path, seconds=60)) for path in ("staging/a.mp4", "acme/processed/job_1/a.mp4")
        )

    assert (staged.scheme, staged.netloc, staged.path) == ("https", "media.example.org", "/films/farm/staging/a.mp4")
    assert (published.netloc, published.path) == ("cdn.example.net", "/films/films/farm/acme/processed/job_1/a.mp4")
    assert parse_qs(published.query)["X-Amz-Expires"] == ["60"]


@pytest.mark.parametrize("seconds", [0, 7 * 86_400 + 1])
async def test_a_link_holds_at_most_seven_days(direct: DirectAccess, seconds: int) -> None:
    with pytest.raises(ValueError, match="holds for"):
        direct.read_link("a", seconds=seconds)


async def test_a_storage_may_be_told_to_give_no_links() -> None:
    with s3(direct=False) as storage:
        assert storage.direct is None
