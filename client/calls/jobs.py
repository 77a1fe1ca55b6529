"""Jobs: submit, look, change, purge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

from client.calls.base import Calls, if_match
from client.transport import Call
from client.upload import Progress, ignore_progress, upload_body
from protocol import care, jobs
from protocol.live import LiveLink


class JobCalls(Calls):
    async def submit(self, submission: jobs.JobSubmission, *, key: str | None = None) -> jobs.JobView:
        """Submit what the server has or reads by itself: an upload, a path, a URL. `key` is the Idempotency-Key."""
        return await self._ask("submit_job", jobs.JobView, body=submission, headers=self._once(key))

    async def submit_batch(self, submissions: Iterable[jobs.JobSubmission], *, key: str | None = None) -> jobs.BatchReply:
        """Up to 1,000 at once, each answered for itself, in order."""
        told = tuple(submission.model_dump(mode="json", exclude_unset=True) for submission in submissions)
        return await self._ask("submit_batch", jobs.BatchReply, body=jobs.BatchSubmission(jobs=told), headers=self._once(key))

    async def submit_filesystem(self, submission: jobs.FilesystemSubmission, *, key: str | None = None) -> jobs.JobView:
        """The short form for a file the server can read."""
        return await self._ask("submit_filesystem", jobs.JobView, body=submission, headers=self._once(key))

    async def submit_s3(self, submission: jobs.S3Submission, *, key: str | None = None) -> jobs.JobView:
        """An object of a bucket that the server may read."""
        return await self._ask("submit_s3", jobs.JobView, body=submission, headers=self._once(key))

    async def upload(
        self, path: Path, submission: jobs.JobSubmission, *, key: str | None = None, progress: Progress = ignore_progress
    ) -> jobs.JobView:
        """Stream a file and submit it in one call; the submission's `input` plays no part. It starts over when it breaks:
        for large files `send_file` and `submit` are better.
        """
        size = (await asyncio.to_thread(path.stat)).st_size
        call = Call(
            "upload_job",
            headers=self._once(key),
            make_body=lambda: upload_body(path, submission, size=size, progress=progress),
        )
        return await self._transport.ask(call, jobs.JobView)

    async def validate(self, submission: jobs.JobSubmission) -> care.ValidationReply:
        """Have an engine look at the input before it is submitted. Raises NO_ENGINE when none answers within 10 s."""
        return await self._ask("validate_job", care.ValidationReply, body=submission)

    async def get(self, job_id: str) -> jobs.JobView:
        return await self._ask("get_job", jobs.JobView, ids={"job_id": job_id})

    async def list(self, **query: str) -> jobs.JobPage:
        """One page of jobs; the keywords are the query parameters of the call, such as `status`, `limit`, `cursor`."""
        return await self._ask("list_jobs", jobs.JobPage, query=query)

    async def all_jobs(self, **query: str) -> AsyncGenerator[jobs.JobView, None]:
        """Every job that fits, page by page; new ones that come meanwhile put none out of place."""
        page = await self.list(**query)
        while True:
            for job in page.jobs:
                yield job
            if page.next_cursor is None:
                return
            page = await self.list(**{**query, "cursor": page.next_cursor})

    async def patch_job(self, seen: jobs.JobView, change: jobs.JobPatch) -> jobs.JobView:
        """Change a job that waits, as it was `seen`. Raises PRECONDITION_FAILED when it has changed since."""
        return await self._ask(
            "patch_job", jobs.JobView, ids={"job_id": seen.job_id}, body=change, headers=if_match(seen.version)
        )

    async def cancel(self, job_id: str) -> jobs.JobView:
        return await self._ask("cancel_job", jobs.JobView, ids={"job_id": job_id})

    async def stop(self, job_id: str) -> jobs.JobView:
        """End a live stream; what has come in becomes its recording."""
        return await self._ask("stop_job", jobs.JobView, ids={"job_id": job_id})

    async def live(self, job_id: str) -> LiveLink:
        """A link to watch a live stream. Raises LIVE_NOT_STREAMING while there is nothing to watch."""
        return await self._ask("live_link", LiveLink, ids={"job_id": job_id})

    async def retry(self, job_id: str, *, priority: int = 10, key: str | None = None) -> jobs.JobView:
        body = jobs.RetryRequest(priority=priority)
        return await self._ask("retry_job", jobs.JobView, ids={"job_id": job_id}, body=body, headers=self._once(key))

    async def purge(self, job_id: str) -> jobs.JobView:
        """Remove a job that has ended, its history and all its files; the answer is the job as it was."""
        return await self._ask("delete_job", jobs.JobView, ids={"job_id": job_id}, query={"purge": "true"})

    async def purge_outputs(self, job_id: str) -> jobs.JobView:
        """Remove what a completed job published; the job and its original stay."""
        return await self._ask("purge_outputs", jobs.JobView, ids={"job_id": job_id})

    async def why(self, job_id: str) -> jobs.WhyReply:
        return await self._ask("why_job", jobs.WhyReply, ids={"job_id": job_id})

    async def log(self, job_id: str) -> jobs.JobLog:
        return await self._ask("job_log", jobs.JobLog, ids={"job_id": job_id})
