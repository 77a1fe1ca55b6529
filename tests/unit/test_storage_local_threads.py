"""A cancelled caller never leaves its thread behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest

from plugins.storage_local.threads import BATCH, in_thread, pump

BLOCK = bytes(BATCH // 4)


async def blocks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield BLOCK


class Gate:
    """A call that a thread cannot leave before `release` is set."""

    def __init__(self) -> None:
        self.release, self.ended = threading.Event(), False

    def take(self, _batch: object = None) -> None:
        self.release.wait(20)
        self.ended = True


async def endless() -> AsyncIterator[bytes]:
    yield bytes(BATCH)
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "call", [lambda gate: in_thread(gate.take), lambda gate: pump(endless(), gate.take), lambda gate: pump(blocks(9), gate.take)]
)
async def test_a_cancelled_caller_leaves_after_its_thread(call: Callable[[Gate], Coroutine[None, None, None]]) -> None:
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(call(gate))
        for _ in range(5):
            await asyncio.sleep(0)
            calling.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        was_done = calling.done()
        gate.release.set()

    assert (was_done, gate.ended, calling.cancelled()) == (False, True, True)


async def test_every_taker_gets_all_blocks_in_their_order() -> None:
    given = [bytes([n]) * (BATCH // 3) for n in range(10)]
    first: list[bytes] = []
    second: list[bytes] = []

    async def source() -> AsyncIterator[bytes]:
        for block in given:
            yield block

    await pump(source(), first.extend, second.extend)
    assert first == second == given


async def test_a_failing_taker_ends_the_pump_and_the_others_are_waited_for() -> None:
    gate = Gate()

    def fail(_batch: list[bytes]) -> None:
        gate.release.set()
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await pump(blocks(40), fail, gate.take)
    assert gate.ended
