"""Following jobs: events as they happen, a job until it has ended, over restarts of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from client.calls.jobs import JobCalls
from client.errors import Unreachable, Unreadable
from client.sse import SseParser
from client.stream import Event, LiveProgress, read_event, with_progress
from client.transport import Call
from protocol import jobs
from protocol.errors import ReelyardError
from protocol.states import TERMINAL_JOB_STATES

RECONNECT_S = 1.0  # a server says otherwise with `retry:`
RECONNECTS = 20  # failed reconnects in a row before a stream counts as lost: time for a server to restart
NO_CONTENT = 204  # a stream that has told everything, as a browser understands it too


@dataclass(slots=True)
class _Cursor:
    """Where a stream stands between two connections."""

    last_id: str
    reconnect_s: float = RECONNECT_S
    failures: int = 0
    is_over: bool = False


class FollowingCalls(JobCalls):
    async def events(self, job_id: str | None = None, *, after: int | None = None) -> AsyncGenerator[Event, None]:
        """Every event of a job until it has ended, or what happens from now on to all one may see, with live progress.

        Reconnects where it broke off. `after` is the `seq` of the last event known.
        """
        cursor = _Cursor(last_id="" if after is None else str(after))
        while not cursor.is_over:
            cursor.failures += 1
            try:
                async with aclosing(self._stream(job_id, cursor)) as stream:
                    async for event in stream:
                        yield event
            except Unreachable:
                if cursor.failures > RECONNECTS:
                    raise
            except (ReelyardError, Unreadable) as error:
                if error.status not in (502, 503) or cursor.failures > RECONNECTS:
                    raise
            if not cursor.is_over:
                await asyncio.sleep(cursor.reconnect_s)

    async def _stream(self, job_id: str | None, cursor: _Cursor) -> AsyncGenerator[Event, None]:
        """One connection, from where the last one broke off."""
        call = Call(
            "all_events" if job_id is None else "job_events",
            ids={} if job_id is None else {"job_id": job_id},
            headers={"Accept": "text/event-stream"} | ({"Last-Event-ID": cursor.last_id} if cursor.last_id else {}),
        )
        parser = SseParser(last_id=cursor.last_id)
        async with self._transport.open(call) as response:
            cursor.failures, cursor.is_over = 0, response.status == NO_CONTENT
            async for chunk in response.content.iter_any():
                for message in parser.feed(chunk):
                    cursor.last_id = message.last_id
                    if (event := read_event(message)) is not None:
                        yield event
                cursor.reconnect_s = RECONNECT_S if parser.retry_s is None else parser.retry_s

    async def watch(self, job_id: str) -> AsyncGenerator[jobs.JobView, None]:
        """The job now, and again after everything that happens to it, until it has ended."""
        job = await self.get(job_id)
        yield job
        if job.state in TERMINAL_JOB_STATES:
            return
        async with aclosing(self.events(job_id)) as events:
            async for event in events:
                job = with_progress(job, event) if isinstance(event, LiveProgress) else await self._look(job_id)
                yield job
                if job.state in TERMINAL_JOB_STATES:
                    return
        yield await self._look(job_id)

    async def _look(self, job_id: str) -> jobs.JobView:
        """The job, as patiently as its stream is followed: the server may be restarting between two events."""
        for _ in range(RECONNECTS):
            try:
                return await self.get(job_id)
            except Unreachable:
                await asyncio.sleep(RECONNECT_S)
        return await self.get(job_id)

    async def wait(self, job_id: str) -> jobs.JobView:
        """The job once it has completed, failed or been cancelled."""
        async with aclosing(self.watch(job_id)) as views:
            async for job in views:
                if job.state in TERMINAL_JOB_STATES:
                    return job
        raise AssertionError("watch ends with a job that has ended")
