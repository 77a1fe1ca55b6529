"""A server that is frozen in the middle of a promotion, and goes on after another has ended it and cleared what was staged."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial

from plugins.storage_s3.connecting import connect
from plugins.storage_s3.provider import S3Storage
from protocol.storage import Promoted, StagedFileLost
from tests.contract.storage_adapters import blocks, content
from tests.servers import seaweed

EXTRA = {"metadata.json": b"{}"}
FILES = {"a": b"film", "b": b"sound"}


class Freezing:
    """Stops before the call of that number, until it is told to go on."""

    def __init__(self) -> None:
        self.at: int | None = None
        self.made = 0
        self.reached, self.thawed = threading.Event(), threading.Event()
        self._lock = threading.Lock()

    def __call__(self, **_: object) -> None:
        with self._lock:
            is_here = self.made == self.at
            self.made += 1
        if is_here:
            self.reached.set()
            self.thawed.wait()

    def freeze(self, at: int) -> None:
        self.at, self.made = at, 0
        self.reached.clear()
        self.thawed.clear()


async def test_whenever_a_server_thaws_what_its_successor_published_is_whole_and_nothing_else() -> None:
    settings = seaweed.shared().settings(seaweed.own_prefix())
    slow_client, slow_signer = connect(settings)
    client, signer = connect(replace(settings))
    freezing = Freezing()
    slow, other = S3Storage(slow_client, slow_signer, settings), S3Storage(client, signer, settings)
    slow.try_out()
    other.try_out()
    slow_client.meta.events.register("before-call.s3", freezing)

    async def published(job: str, at: int) -> list[str] | None:
        """Keys below the target at the end; None when the promotion made fewer calls."""
        target, work, staging = f"acme/processed/{job}", f"staging/{job}/publish-1", f"staging/{job}/t/4"
        files = []
        for name, value in FILES.items():
            written = await other.write(f"{staging}/{name}", blocks(value))
            files.append(Promoted(f"{staging}/{name}", name, written.size, written.sha256))
        freezing.freeze(at)
        going = asyncio.create_task(slow.promote(target, work, files, EXTRA))  # noqa: TID251  # awaited below
        while not freezing.reached.is_set() and not going.done():  # noqa: ASYNC110  # said by a thread
            await asyncio.sleep(0.001)
        if going.done():
            return None
        await other.promote(target, work, files, EXTRA)
        await other.delete(f"staging/{job}")
        freezing.thawed.set()
        with suppress(StagedFileLost):  # its commit is refused, whatever it makes of that
            await going
        assert [await content(other, f"{target}/{name}") for name in FILES] == list(FILES.values())
        prefix = f"{settings.prefix}/{target}/"
        listed = await asyncio.to_thread(partial(client.list_objects_v2, Bucket=settings.bucket, Prefix=prefix))
        return [one["Key"].removeprefix(prefix) for one in listed.get("Contents", [])]

    ends: list[list[str]] = []
    while (end := await published(f"job_{len(ends)}", len(ends))) is not None:
        ends.append(end)
    for storage, made in ((slow, slow_client), (other, client)):
        storage.close()
        made.close()

    assert len(ends) >= 10
    assert {tuple(end) for end in ends} == {("a", "b", "metadata.json")}
