"""The S3 storage against boto3 alone: the same bytes to the same server, with as many calls at once, in turns in one run."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from bench.rows import Row
from plugins.storage_s3.connecting import connect
from plugins.storage_s3.provider import S3Storage
from protocol.storage import Promoted
from tests.servers import seaweed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGE, SMALL, MANY = 256 << 20, 64 << 10, 200
AT_ONCE, ROUNDS = 16, 5
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Bench:
    """`other` is the storage of another server, which has not hashed what `storage` wrote."""

    storage: S3Storage
    other: S3Storage
    client: S3Client
    large: bytes
    small: bytes


async def blocks(value: bytes) -> AsyncIterator[bytes]:
    for first in range(0, len(value), BLOCK):
        yield value[first : first + BLOCK]


async def read(storage: S3Storage, path: str) -> None:
    async for _ in await storage.read(path):
        pass


async def each(act: Callable[[int], Awaitable[object]]) -> None:
    """`act` for every number below MANY, AT_ONCE side by side."""
    numbers = iter(range(MANY))

    async def work() -> None:
        for number in numbers:
            await act(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())


def each_in_threads(act: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(act, range(MANY)))


async def timed(act: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await act()
    return time.perf_counter() - began


async def both(ours: Callable[[], Awaitable[object]], theirs: Callable[[], Awaitable[object]], turn: int) -> tuple[float, float]:
    """Who goes first changes with each turn."""
    if turn % 2:
        return await timed(ours), await timed(theirs)
    after = await timed(theirs)
    return await timed(ours), after


def source(key: str) -> dict[str, str]:
    return {"Bucket": seaweed.BUCKET, "Key": key}


async def large(bench: Bench, turn: int) -> dict[str, tuple[float, float]]:
    """One file of 256 MiB: seconds of ours and of boto3's, for each thing that is done with it."""
    storage, client, bucket, to_thread = bench.storage, bench.client, seaweed.BUCKET, asyncio.to_thread
    path, copy = f"staging/{turn}/film", f"processed/{turn}"

    async def upload() -> None:
        await to_thread(client.upload_fileobj, io.BytesIO(bench.large), bucket, f"bare/{path}")

    async def download() -> None:
        await to_thread(client.download_fileobj, bucket, f"bare/{path}", io.BytesIO())

    async def copied() -> None:
        await to_thread(client.copy, source(f"bare/{path}"), bucket, f"bare/{copy}")  # type: ignore[arg-type]  # a CopySource

    wrote = await both(lambda: storage.write(path, blocks(bench.large)), upload, turn)
    got = await both(lambda: read(storage, path), download, turn)
    digest = await digest_of(bench.large)
    file = Promoted(path, "film", len(bench.large), digest)
    known, bare = await both(lambda: storage.promote(copy, f"work/{turn}", [file], {}), copied, turn)
    unknown = await timed(lambda: bench.other.promote(f"{copy}-2", f"work/{turn}", [file], {}))
    for one in (path, copy, f"{copy}-2"):
        await storage.delete(one)
        client.delete_object(Bucket=bucket, Key=f"bare/{one}")
    return {"write": wrote, "read": got, "promote": (known, bare), "promote, read first,": (unknown, bare)}


async def digest_of(value: bytes) -> str:
    return await asyncio.to_thread(lambda: hashlib.sha256(value).hexdigest())


async def small(bench: Bench, turn: int) -> dict[str, tuple[float, float]]:
    """200 files of 64 KiB, 16 at once."""
    storage, client, bucket = bench.storage, bench.client, seaweed.BUCKET
    staged, target, config = f"staging/{turn}/small", f"processed/{turn}/small", TransferConfig(use_threads=False)

    def upload(number: int) -> None:
        client.upload_fileobj(io.BytesIO(bench.small), bucket, f"bare/{staged}/{number}", Config=config)

    def download(number: int) -> None:
        client.download_fileobj(bucket, f"bare/{staged}/{number}", io.BytesIO(), Config=config)

    def copied(number: int) -> None:
        origin = source(f"bare/{staged}/{number}")
        client.copy(origin, bucket, f"bare/{target}/{number}", Config=config)  # type: ignore[arg-type]  # a CopySource

    async def bare(act: Callable[[int], object]) -> None:
        await asyncio.to_thread(each_in_threads, act)

    digest = await digest_of(bench.small)
    files = [Promoted(f"{staged}/{number}", f"{number}", len(bench.small), digest) for number in range(MANY)]
    write = partial(each, lambda number: storage.write(f"{staged}/{number}", blocks(bench.small)))
    wrote = await both(write, lambda: bare(upload), turn)
    got = await both(partial(each, lambda number: read(storage, f"{staged}/{number}")), lambda: bare(download), turn)
    promoted = await both(lambda: storage.promote(target, f"work/{turn}", files, {}), lambda: bare(copied), turn)
    await storage.delete(staged)
    await storage.delete(target)
    return {"write": wrote, "read": got, "promote": promoted}


def rows_of(kind: str, size: int, turns: list[dict[str, tuple[float, float]]]) -> Iterator[Row]:
    """The median of the turns, each of which compares the two under the same load."""
    for act in turns[0]:
        ours, theirs = (statistics.median(turn[act][side] for turn in turns) for side in (0, 1))
        ratio = statistics.median(turn[act][1] / turn[act][0] for turn in turns)
        note = f"{size / ours / 1e6:.0f} MB/s, boto3 alone {size / theirs / 1e6:.0f} MB/s"
        target = "" if "read first" in act else ">= 0.9"
        yield Row(f"{act} {kind}: throughput, of boto3's alone", ratio, "x", target, note)


async def measure(bench: Bench) -> list[Row]:
    bench.storage.try_out()
    bench.other.try_out()
    await large(bench, 0)
    whole = [await large(bench, turn) for turn in range(1, ROUNDS + 1)]
    await small(bench, 0)
    many = [await small(bench, turn) for turn in range(1, ROUNDS + 1)]
    return [*rows_of("256 MiB", LARGE, whole), *rows_of(f"{MANY} files of 64 KiB", MANY * SMALL, many)]


def run() -> list[Row]:
    with seaweed.running() as server:
        client, signer = connect(server.settings("ours"))
        bare = boto3.Session().client(
            "s3",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id=seaweed.ACCESS_KEY,
            aws_secret_access_key=seaweed.SECRET_KEY,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, max_pool_connections=2 * AT_ONCE),
        )
        storage, other = (S3Storage(client, signer, server.settings("ours")) for _ in range(2))
        rows = asyncio.run(measure(Bench(storage, other, bare, os.urandom(LARGE), os.urandom(SMALL))))
        for one in (storage, other):
            one.close()
    return rows


if __name__ == "__main__":
    for row in run():
        print(f"{row.name:60} {row.value or 0:8.3f} {row.unit:4} {row.target:8} {row.note}")
