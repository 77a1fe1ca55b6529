"""The S3 storage when dispatch dies between any two of its calls, when the server dies, and when two servers work at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from plugins.storage_s3.connecting import connect
from plugins.storage_s3.provider import S3Storage
from protocol.storage import AlreadyExists, NotFound, Promoted, StagedFileLost, StorageUnavailable, TargetDiffers, Written
from tests.contract.storage_adapters import blocks, content, digest, names, s3
from tests.servers import seaweed

if TYPE_CHECKING:
    from botocore.model import OperationModel
    from mypy_boto3_s3 import S3Client

MIB = 1 << 20
TARGET, WORK = "acme/processed/job_1", "staging/job_1/publish-7"
FILM = bytes(range(256)) * (6 * MIB // 256)


class Dead(BaseException):
    """This dispatch makes no call any more."""


class Mortal:
    """Lets so many calls of a client go, and none after."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.made = 0
        self._lock = threading.Lock()

    def __call__(self, **_: object) -> None:
        with self._lock:
            if self.left is not None and self.made >= self.left:
                raise Dead
            self.made += 1

    def dies_after(self, calls: int | None) -> None:
        self.left, self.made = calls, 0


@pytest.fixture
def mortal() -> Mortal:
    return Mortal()


@pytest.fixture
def open_s3(mortal: Mortal) -> Iterator[Callable[[], S3Storage]]:
    """Storages over one prefix, as of several dispatches, that share one fate."""
    settings = replace(seaweed.shared().settings(seaweed.own_prefix()), part_bytes=5 * MIB, whole_bytes=MIB)
    client, signer = connect(settings)
    client.meta.events.register("before-call.s3", mortal)
    made: list[S3Storage] = []

    def another() -> S3Storage:
        made.append(S3Storage(client, signer, settings))
        made[-1].try_out()
        return made[-1]

    yield another
    for storage in made:
        storage.close()
    client.close()


async def at_every_call(mortal: Mortal, act: Callable[[], Awaitable[object]], again: Callable[[], Awaitable[object]]) -> int:
    """Do `act` so that it dies before its first call, its second, ...; `again` mends it each time. How many calls it makes."""
    for calls in range(200):
        mortal.dies_after(calls)
        try:
            await act()
        except (Dead, BaseExceptionGroup):
            mortal.dies_after(None)
            await again()
        else:
            mortal.dies_after(None)
            return calls
    raise AssertionError("it never ended")


async def staged(storage: S3Storage, at: str, **files: bytes) -> list[Promoted]:
    made = []
    for name, value in files.items():
        written = await storage.write(f"{at}/{name}", blocks(value))
        made.append(Promoted(f"{at}/{name}", name, written.size, written.sha256))
    return made


async def test_a_promotion_that_dies_anywhere_is_redone_to_the_same_end(open_s3: Callable[[], S3Storage], mortal: Mortal) -> None:
    storage, extra = open_s3(), {"metadata.json": b"{}"}
    files = await staged(storage, "staging/job_1/tsk_1/4", a=b"film", b=FILM)
    expected = [f"{TARGET}/a", f"{TARGET}/b", f"{TARGET}/metadata.json"]

    async def promote() -> None:
        await storage.promote(TARGET, WORK, files, extra)

    async def redo() -> None:
        other = open_s3()
        await other.promote(TARGET, WORK, files, extra)
        assert await names(other, TARGET) == expected
        assert await content(other, f"{TARGET}/b") == FILM
        await other.delete(TARGET)

    assert await at_every_call(mortal, promote, redo) > 10
    assert await names(storage, TARGET) == expected


async def test_what_died_unfinished_gives_way_to_other_files(open_s3: Callable[[], S3Storage], mortal: Mortal) -> None:
    """The task of a staged file that was lost ran again, and made other bytes."""
    storage = open_s3()
    before = await staged(storage, "staging/job_1/tsk_1/4", a=b"first", b=b"kept")
    after = [*await staged(storage, "staging/job_1/tsk_1/5", a=b"second"), before[1]]
    refused = 0

    async def promote() -> None:
        await storage.promote(TARGET, WORK, before, {})

    async def another() -> None:
        nonlocal refused
        try:
            await open_s3().promote(TARGET, WORK, after, {})
        except TargetDiffers:  # the first had ended but for its last cleaning: it is whole, and nothing of it is touched
            refused += 1
            assert await content(storage, f"{TARGET}/a") == b"first"
        else:
            assert await content(storage, f"{TARGET}/a") == b"second"
        assert await content(storage, f"{TARGET}/b") == b"kept"
        await storage.delete(TARGET)

    assert await at_every_call(mortal, promote, another) > 8
    assert refused == 2  # between the mark's end and the two calls that clear `work`


async def test_a_file_grows_rightly_whatever_call_died(open_s3: Callable[[], S3Storage], mortal: Mortal) -> None:
    """The row knows how far it was; whoever goes on goes on there."""
    storage, path = open_s3(), "uploads/upl_1"
    steps = [(0, b"01"), (2, b"2345"), (6, b"xyz"), (4, b"ab"), (6, FILM), (6 + len(FILM), b"end")]
    expected = b"0123ab" + FILM + b"end"
    for offset, value in steps:

        async def append(offset: int = offset, value: bytes = value) -> None:
            assert await storage.append(path, offset, blocks(value)) == offset + len(value)

        async def again(offset: int = offset) -> None:
            try:
                there = min(offset, 4)  # what no later step takes back
                assert (await content(storage, path))[:there] == expected[:there]
            except NotFound:
                assert offset == 0

        await at_every_call(mortal, append, again)

    assert await content(storage, path) == expected
    assert (await storage.stat(path)).size == len(expected)


@pytest.mark.trust
async def test_pieces_become_one_file_whatever_call_died(open_s3: Callable[[], S3Storage], mortal: Mortal) -> None:
    storage, path = open_s3(), "uploads/upl_1"
    whole = b"small" + FILM + b"tail"
    for offset, value in ((0, b"small"), (5, FILM), (5 + len(FILM), b"tail")):
        await storage.append(path, offset, blocks(value))

    async def link() -> None:
        await storage.link(path, "staging/film", size=len(whole), sha256=digest(whole))

    async def again() -> None:
        await open_s3().link(path, "staging/film", size=len(whole), sha256=digest(whole))
        assert await content(storage, "staging/film") == whole
        await storage.delete("staging/film")

    assert await at_every_call(mortal, link, again) > 6
    assert await content(storage, "staging/film") == whole


async def test_a_streamed_write_is_there_whole_or_not_at_all(open_s3: Callable[[], S3Storage], mortal: Mortal) -> None:
    storage = open_s3()

    async def write() -> None:
        assert await storage.write("film", blocks(FILM, FILM)) == Written(2 * len(FILM), digest(FILM * 2))

    async def again() -> None:
        if await names(storage):  # the last call had gone; only its answer was missing
            assert await content(storage, "film") == FILM * 2
        await storage.delete("film")

    assert await at_every_call(mortal, write, again) > 4
    assert await content(storage, "film") == FILM * 2


class Late:
    """Something stands at the storage between two calls of the one that is tested."""

    def __init__(self) -> None:
        self.act: Callable[[], object] | None = None

    def __call__(self, **_: object) -> None:
        act, self.act = self.act, None
        if act is not None:
            act()


def sent_before(twin: S3Client) -> Callable[..., None]:
    """As when the answer to a first try is lost and boto3 sends the same once more."""

    def send(params: dict[str, Any], model: OperationModel, **_: object) -> None:  # Any: keywords of boto3
        with suppress(ClientError):
            getattr(twin, xform_name(model.name))(**params)

    return send


async def test_a_try_whose_answer_was_lost_is_not_taken_for_anothers() -> None:
    settings = replace(seaweed.shared().settings(seaweed.own_prefix()), part_bytes=5 * MIB)
    client, signer = connect(settings)
    storage, twin = S3Storage(client, signer, settings), seaweed.shared().client()
    storage.try_out()
    for call in ("PutObject", "CopyObject", "CompleteMultipartUpload"):
        client.meta.events.register(f"before-parameter-build.s3.{call}", sent_before(twin))

    await storage.write("small", blocks(b"film"))
    await storage.write("large", blocks(FILM))
    await storage.link("small", "raw/small", size=4, sha256=digest(b"film"))
    assert await storage.concatenate(["large", "small"], "raw/both") == len(FILM) + 4
    assert await content(storage, "raw/both") == FILM + b"film"
    with pytest.raises(AlreadyExists):
        await storage.write("small", blocks(b"FILM"))
    storage.close()
    client.close()
    twin.close()


async def test_what_is_replaced_between_its_proof_and_its_copy_is_not_published() -> None:
    settings = replace(seaweed.shared().settings(seaweed.own_prefix()), copy_bytes=5 * MIB)
    client, signer = connect(settings)
    late = Late()
    for call in ("CopyObject", "UploadPartCopy"):
        client.meta.events.register(f"before-call.s3.{call}", late)
    storage = S3Storage(client, signer, settings)
    for name, value in (("small", b"film"), ("large", FILM)):
        files = await staged(storage, "staging/job_1", **{name: value})
        other = value[:-1] + b"!"
        with s3(prefix=settings.prefix) as foreign:
            late.act = lambda other=other, name=name, foreign=foreign: asyncio.run(
                foreign.write(f"staging/job_1/{name}", blocks(other), create_only=False)
            )
            with pytest.raises(StagedFileLost):
                await storage.promote(TARGET, WORK, files, {})

    assert await names(storage, TARGET) == []
    assert await storage.sweep_temporary(older_than_s=0, now=4e9) == 0
    storage.close()
    client.close()


async def test_a_write_that_fails_leaves_no_part_behind() -> None:
    with s3(part_bytes=5 * MIB) as storage:

        async def broken() -> AsyncIterator[bytes]:
            yield FILM
            yield FILM
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await storage.write("film", broken())

        assert await storage.sweep_temporary(older_than_s=0, now=4e9) == 0


async def test_a_call_that_comes_late_changes_nothing_of_a_file_that_grew_on() -> None:
    """One server's PUT is still on its way when the client, at another server, goes on from the same place."""
    settings = replace(seaweed.shared().settings(), prefix=seaweed.own_prefix())
    client, signer = connect(settings)
    late = Late()
    client.meta.events.register("before-call.s3.PutObject", late)
    slow = S3Storage(client, signer, settings)
    with s3(prefix=settings.prefix) as other:

        async def arms() -> AsyncIterator[bytes]:
            yield b"of the line that "
            late.act = lambda: asyncio.run(other.append("uploads/upl_1", 0, blocks(b"of the new line")))
            yield b"was given up"

        with pytest.raises(StorageUnavailable, match="another call"):
            await slow.append("uploads/upl_1", 0, arms())

        assert await content(other, "uploads/upl_1") == b"of the new line"
    slow.close()
    client.close()


async def test_of_two_servers_that_write_one_file_exactly_one_wins() -> None:
    settings = replace(seaweed.shared().settings(), prefix=seaweed.own_prefix(), part_bytes=5 * MIB)
    with s3(prefix=settings.prefix, part_bytes=5 * MIB) as one, s3(prefix=settings.prefix, part_bytes=5 * MIB) as other:
        both = asyncio.Barrier(2)

        async def slow(value: bytes) -> AsyncIterator[bytes]:
            for _ in range(2):
                yield value * MIB
            await both.wait()

        async def attempt(storage: S3Storage, value: bytes) -> bytes | None:
            try:
                await storage.write("prize", slow(value))
            except AlreadyExists:
                return None
            return value

        results = await asyncio.gather(attempt(one, b"1"), attempt(other, b"2"))
        winners = [value for value in results if value is not None]

        assert len(winners) == 1
        assert await content(one, "prize") == winners[0] * 2 * MIB


async def test_two_servers_promote_the_same_job_to_the_same_result() -> None:
    prefix = seaweed.own_prefix()
    with s3(prefix=prefix) as one, s3(prefix=prefix) as other:
        files = await staged(one, "staging/job_1/tsk_1/4", **{f"seg_{n}": b"%d" % n for n in range(20)}, film=FILM)
        extra = {"metadata.json": b"{}"}
        await asyncio.gather(*(storage.promote(TARGET, WORK, files, extra) for storage in (one, other)))

        assert await names(one, TARGET) == sorted([f"{TARGET}/metadata.json", *(f"{TARGET}/{file.path}" for file in files)])
        await other.promote(TARGET, WORK, files, extra)


@pytest.mark.trust
async def test_a_server_killed_in_the_middle_of_a_write_and_of_a_promotion() -> None:
    """kill -9 of the storage itself: what was under way is told as unavailable, and is done again once it is back."""
    with seaweed.running() as server:
        settings = replace(server.settings("farm"), part_bytes=5 * MIB, attempts=1)
        client, signer = connect(settings)
        late = {call: Late() for call in ("UploadPart", "CopyObject")}
        for call, hook in late.items():
            client.meta.events.register(f"before-call.s3.{call}", hook)
        storage = S3Storage(client, signer, settings)
        files = await staged(storage, "staging/job_1/tsk_1/4", **{f"seg_{n}": b"%d" % n for n in range(6)})

        late["UploadPart"].act = server.kill
        with pytest.raises(StorageUnavailable):
            await storage.write("film", blocks(FILM, FILM))
        server.start()
        assert await names(storage, "film") == []
        assert await storage.write("film", blocks(FILM, FILM)) == Written(2 * len(FILM), digest(FILM * 2))

        late["CopyObject"].act = server.kill
        with pytest.raises(StorageUnavailable):
            await storage.promote(TARGET, WORK, files, {})
        server.start()
        await storage.promote(TARGET, WORK, files, {})

        assert await names(storage, TARGET) == [f"{TARGET}/{file.path}" for file in files]
        assert [await content(storage, f"{TARGET}/seg_{n}") for n in range(6)] == [b"%d" % n for n in range(6)]
        storage.close()
        client.close()
