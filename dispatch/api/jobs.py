"""Jobs: submit, look, list, cancel, retry, and what is known of one."""

from __future__ import annotations

from aiohttp import web

from dispatch.api import answers, paging
from dispatch.api.call import Call, Handler
from dispatch.api.keyed import answered
from dispatch.api.tags import wanted_versions
from dispatch.core import job_list
from protocol.jobs import (
    BatchSubmission,
    FilesystemSubmission,
    JobInput,
    JobPatch,
    JobSubmission,
    RetryRequest,
    S3Object,
    S3Submission,
)


async def submit_job(call: Call) -> web.StreamResponse:
    submission, key = await call.keyed_message(JobSubmission)
    return answered(await call.services.submissions.submit(call.who, submission, key))


async def submit_batch(call: Call) -> web.StreamResponse:
    batch, key = await call.keyed_message(BatchSubmission)
    return answered(await call.services.submissions.submit_batch(call.who, batch, key))


async def submit_filesystem(call: Call) -> web.StreamResponse:
    told, key = await call.keyed_message(FilesystemSubmission)
    submission = JobSubmission(
        input=JobInput(path=told.file_path),
        profile=told.profile,
        priority=told.priority,
        webhook_url=told.webhook_url,
        metadata=told.metadata,
    )
    return answered(await call.services.submissions.submit(call.who, submission, key))


async def submit_s3(call: Call) -> web.StreamResponse:
    told, key = await call.keyed_message(S3Submission)
    submission = JobSubmission(
        input=JobInput(s3=S3Object(bucket=told.bucket, key=told.object_key)),
        profile=told.profile,
        priority=told.priority,
        webhook_url=told.webhook_url,
        metadata=told.metadata,
    )
    return answered(await call.services.submissions.submit(call.who, submission, key))


async def list_jobs(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.jobs.list(call.who, job_list.parse(call.query(), call.who)))


async def get_job(call: Call) -> web.StreamResponse:
    return answers.unless_held(call, answers.job(await call.services.jobs.get(call.who, call.path("job_id"))))


async def patch_job(call: Call) -> web.StreamResponse:
    if "If-Match" not in call.request.headers:
        await call.services.jobs.get(call.who, call.path("job_id"))  # one that is not there is told first
    versions = wanted_versions(call.request.headers, is_needed=True)
    change = await call.message(JobPatch)
    return answers.job(await call.services.jobs.patch(call.who, call.path("job_id"), change, versions))


async def cancel_job(call: Call) -> web.StreamResponse:
    versions = wanted_versions(call.request.headers)
    return answers.job(await call.services.jobs.cancel(call.who, call.path("job_id"), versions))


async def retry_job(call: Call) -> web.StreamResponse:
    versions = wanted_versions(call.request.headers)
    request, key = await call.keyed_message(RetryRequest)
    return answered(await call.services.jobs.retry(call.who, call.path("job_id"), request, versions, key))


async def why_job(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.jobs.why(call.who, call.path("job_id")))


async def job_log(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.jobs.log(call.who, call.path("job_id")))


HANDLERS: dict[str, Handler] = {
    "submit_job": submit_job,
    "submit_batch": submit_batch,
    "submit_filesystem": submit_filesystem,
    "submit_s3": submit_s3,
    "submit_minio": submit_s3,
    "list_jobs": list_jobs,
    "get_job": get_job,
    "patch_job": patch_job,
    "cancel_job": cancel_job,
    "retry_job": retry_job,
    "why_job": why_job,
    "job_log": job_log,
}
