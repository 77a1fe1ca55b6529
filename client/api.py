"""The Python client: one method per operation, typed by the contract. Paths come from the operations table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from client.download import fetch_file
from client.errors import Unreachable, Unreadable
from client.sse import SseParser
from client.stream import Event, LiveProgress, read_event, with_progress
from client.transport import DEFAULT_RETRY, Call, RetryPolicy, Transport, idempotency_key, json_body
from client.upload import Progress, ignore_progress, upload_body
from protocol import admin, jobs
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


class ReelyardClient:
    """Speaks to one server with one key. Use it in `async with`.

    Errors: `ReelyardError` with the code the server told; `Unreachable` when no answer came; `Unreadable` when the answer
    was none of ours. Calls that may be sent twice are tried again by themselves, POSTs that make something under one
    Idempotency-Key.
    """

    def __init__(
        self,
        server: str,
        key: str,
        *,
        retry: RetryPolicy = DEFAULT_RETRY,
        answer_timeout_s: float = 60.0,
        new_key: Callable[[], str] = idempotency_key,
    ) -> None:
        self._transport = Transport(server, key, retry=retry, answer_timeout_s=answer_timeout_s)
        self._new_key = new_key

    @property
    def server(self) -> str:
        return self._transport.server

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    # Jobs

    async def submit(self, submission: jobs.JobSubmission, *, key: str | None = None) -> jobs.JobView:
        """Submit what the server reads by itself: a path, a link, an upload. `key` is the Idempotency-Key."""
        call = Call("submit_job", headers=self._idempotent(key), make_body=json_body(submission))
        return await self._transport.ask(call, jobs.JobView)

    async def submit_batch(self, submissions: Iterable[jobs.JobSubmission], *, key: str | None = None) -> jobs.BatchReply:
        """Up to 1,000 at once, each answered for itself, in order."""
        told = tuple(submission.model_dump(mode="json", exclude_unset=True) for submission in submissions)
        call = Call("submit_batch", headers=self._idempotent(key), make_body=json_body(jobs.BatchSubmission(jobs=told)))
        return await self._transport.ask(call, jobs.BatchReply)

    async def upload(
        self, path: Path, submission: jobs.JobSubmission, *, key: str | None = None, progress: Progress = ignore_progress
    ) -> jobs.JobView:
        """Stream a file to the server and submit it as a job; the submission's `input` plays no part."""
        size = (await asyncio.to_thread(path.stat)).st_size
        call = Call(
            "upload_job",
            headers=self._idempotent(key),
            make_body=lambda: upload_body(path, submission, size=size, progress=progress),
        )
        return await self._transport.ask(call, jobs.JobView)

    async def get(self, job_id: str) -> jobs.JobView:
        return await self._transport.ask(Call("get_job", ids={"job_id": job_id}), jobs.JobView)

    async def list(self, **query: str) -> jobs.JobPage:
        """One page of jobs; the keywords are the query parameters of the call, such as `status`, `limit`, `cursor`."""
        return await self._transport.ask(Call("list_jobs", query=query), jobs.JobPage)

    async def cancel(self, job_id: str) -> jobs.JobView:
        return await self._transport.ask(Call("cancel_job", ids={"job_id": job_id}), jobs.JobView)

    async def retry(self, job_id: str, *, priority: int = 10) -> jobs.JobView:
        body = json_body(jobs.RetryRequest(priority=priority))
        return await self._transport.ask(Call("retry_job", ids={"job_id": job_id}, make_body=body), jobs.JobView)

    async def why(self, job_id: str) -> jobs.WhyReply:
        return await self._transport.ask(Call("why_job", ids={"job_id": job_id}), jobs.WhyReply)

    async def log(self, job_id: str) -> jobs.JobLog:
        return await self._transport.ask(Call("job_log", ids={"job_id": job_id}), jobs.JobLog)

    async def outputs(self, job_id: str) -> jobs.OutputsReply:
        return await self._transport.ask(Call("job_outputs", ids={"job_id": job_id}), jobs.OutputsReply)

    async def download(self, link: jobs.OutputLink, directory: Path) -> Path:
        """Fetch one output to `directory/<its path>`; it appears there whole, with the digest told, or not at all."""

        async def once() -> Path:
            return await fetch_file(self._transport, link, directory)

        return await self._transport.repeat(once, is_repeatable=True)

    # Following jobs

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

    # Engines

    async def engines(self, **query: str) -> admin.EnginePage:
        return await self._transport.ask(Call("list_engines", query=query), admin.EnginePage)

    async def engine(self, engine_id: str) -> admin.EngineView:
        return await self._transport.ask(Call("get_engine", ids={"engine_id": engine_id}), admin.EngineView)

    async def patch_engine(self, engine_id: str, change: admin.EnginePatch) -> admin.EngineView:
        call = Call("patch_engine", ids={"engine_id": engine_id}, make_body=json_body(change))
        return await self._transport.ask(call, admin.EngineView)

    async def drain(self, engine_id: str) -> admin.EngineView:
        return await self._transport.ask(Call("drain_engine", ids={"engine_id": engine_id}), admin.EngineView)

    async def undrain(self, engine_id: str) -> admin.EngineView:
        return await self._transport.ask(Call("undrain_engine", ids={"engine_id": engine_id}), admin.EngineView)

    async def delete_engine(self, engine_id: str) -> admin.Pong:
        return await self._transport.ask(Call("delete_engine", ids={"engine_id": engine_id}), admin.Pong)

    # Keys and tenants

    async def create_key(self, request: admin.KeyRequest) -> admin.KeyCreated:
        """The answer holds the key itself, this once."""
        return await self._transport.ask(Call("create_key", make_body=json_body(request)), admin.KeyCreated)

    async def keys(self, **query: str) -> admin.KeyPage:
        return await self._transport.ask(Call("list_keys", query=query), admin.KeyPage)

    async def revoke_key(self, key_id: str) -> admin.KeyView:
        return await self._transport.ask(Call("revoke_key", ids={"key_id": key_id}), admin.KeyView)

    async def create_tenant(self, request: admin.TenantRequest) -> admin.TenantView:
        return await self._transport.ask(Call("create_tenant", make_body=json_body(request)), admin.TenantView)

    async def tenants(self, **query: str) -> admin.TenantPage:
        return await self._transport.ask(Call("list_tenants", query=query), admin.TenantPage)

    # The server

    async def profiles(self) -> admin.ProfilePage:
        return await self._transport.ask(Call("list_profiles"), admin.ProfilePage)

    async def version(self) -> admin.VersionReply:
        return await self._transport.ask(Call("version"), admin.VersionReply)

    async def health(self) -> admin.Health:
        return await self._transport.ask(Call("health"), admin.Health)

    def _idempotent(self, key: str | None) -> dict[str, str]:
        return {"Idempotency-Key": key or self._new_key()}
