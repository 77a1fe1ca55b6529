"""Readers of events across kills of dispatch: nothing missed, nothing twice, over streams and WebSockets."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from protocol.events import EventType, EventView
from protocol.jobs import JobSubmission
from tests.farm import Farm, Member, farm

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.timeout(120)]

JOBS, KILL_AFTER = 40, (8, 24)
"""Dispatch is killed once so many jobs have finished, as the stream tells."""


class Count:
    """What the readers have seen so far."""

    def __init__(self) -> None:
        self.finished = 0
        self.seqs: list[int] = []
        self._news = asyncio.Event()

    def see(self, seq: int, type_: str) -> None:
        self.seqs.append(seq)
        self.finished += type_ == EventType.JOB_FINISHED
        self._news.set()

    async def until(self, finished: int) -> None:
        while self.finished < finished:
            self._news.clear()
            await self._news.wait()


async def test_no_event_is_missed_or_told_twice_across_kills_of_dispatch(tmp_path: Path) -> None:
    stream, socket = Count(), Count()
    async with farm(tmp_path) as made:
        dispatch = await made.start_dispatch()
        await made.start_engine("one", "--slots", "1")
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(_read_stream(made, stream)), tasks.create_task(_read_socket(made, socket))]
            tasks.create_task(_submit(made))
            for finished in KILL_AFTER:
                await stream.until(finished)
                dispatch = await _restarted(made, dispatch)
            await asyncio.gather(stream.until(JOBS), socket.until(JOBS))
            for reader in readers:
                reader.cancel()
        with closing(sqlite3.connect(made.data / "dispatch.db")) as database:
            stored = [row[0] for row in database.execute("SELECT seq FROM events ORDER BY seq")]

    assert stream.finished == socket.finished == JOBS
    assert stream.seqs == stored[: len(stream.seqs)]
    assert socket.seqs == stored[: len(socket.seqs)]


async def _restarted(made: Farm, dispatch: Member) -> Member:
    await dispatch.kill()
    return await made.start_dispatch()


async def _submit(made: Farm) -> None:
    async with made.client() as client:
        for _ in range(JOBS):
            await client.submit(JobSubmission(profile="noop"))


async def _read_stream(made: Farm, count: Count) -> None:
    """The client reconnects by itself, with Last-Event-ID."""
    async with made.client() as client:
        async for event in client.events(after=0):
            if isinstance(event, EventView):
                count.see(event.seq, event.type)


async def _read_socket(made: Farm, count: Count) -> None:
    """As a program in a browser would: connect again from the last event seen."""
    last = 0
    async with aiohttp.ClientSession(headers={"X-API-Key": made.key}) as session:
        while True:
            try:
                async with session.ws_connect(f"{made.url}/api/v1/events/ws?last_event_id={last}") as socket:
                    async for message in socket:
                        told = json.loads(message.data)
                        if told["id"] is not None:
                            last = told["id"]
                            count.see(last, told["event"])
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)  # dispatch is away: nothing tells when it is back
