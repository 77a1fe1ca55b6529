"""What jobs leave behind: outputs as links, files and one archive; purges, retention and dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from dispatch.api import answers, paging
from dispatch.api.call import Call, Handler
from dispatch.api.files import ATTACHMENT, send, shown_as
from dispatch.api.jobs import cancel_job
from dispatch.api.keyed import answered
from dispatch.api.media_types import disposition
from dispatch.api.tags import wanted_versions
from dispatch.api.wiring import LIMITS
from dispatch.core import dead_letters, retention
from dispatch.core.paging import flag, number
from protocol.jobs import JobSubmission, RetryRequest
from protocol.operations import Form

DEFAULT_LINK_S, SHORTEST_LINK_S, LONGEST_LINK_S = 3600, 60, 7 * 86_400


async def delete_job(call: Call) -> web.StreamResponse:
    if not flag(call.query(), "purge"):
        return await cancel_job(call)
    versions = wanted_versions(call.request.headers)
    return answers.job(await call.services.care.purges.purge_job(call.who, call.path("job_id"), versions))


async def purge_outputs(call: Call) -> web.StreamResponse:
    versions = wanted_versions(call.request.headers)
    return answers.job(await call.services.care.purges.purge_outputs(call.who, call.path("job_id"), versions))


async def job_outputs(call: Call) -> web.StreamResponse:
    span = number(call.query(), "expires_in", DEFAULT_LINK_S, least=SHORTEST_LINK_S, most=LONGEST_LINK_S)
    reply = await call.services.care.outputs.links(call.who, call.path("job_id"), expires_in=span)
    return answers.message(reply, headers={"Cache-Control": "private, no-store"})


async def job_file(call: Call) -> web.StreamResponse:
    kind = shown_as(call.query())
    path = await call.services.care.outputs.path(call.who, call.path("job_id"), call.path("path"))
    file = await call.services.files.open_output(path)
    if not flag(call.query(), "streamed"):
        file = call.services.files.past(file, saved_as=file.filename if kind == ATTACHMENT else None)
    return await send(call, file, kind)


async def job_archive(call: Call) -> web.StreamResponse:
    planned = await call.services.care.archives.plan(call.who, call.path("job_id"))
    headers = {
        "Content-Type": Form.ZIP.value,
        "Content-Disposition": disposition(planned.name, ATTACHMENT),
        "Cache-Control": "private, no-store",
    }
    response = web.StreamResponse(headers=headers)
    response.content_length = planned.length
    await response.prepare(call.request)
    if call.request.method != "HEAD":
        await _write(call, response, call.services.care.archives.write(planned))
    await response.write_eof()
    return response


async def _write(call: Call, response: web.StreamResponse, blocks: AsyncIterator[bytes]) -> None:
    """A reader that takes nothing for too long is given up. An error breaks the connection: the length told is not met."""
    idle_s = call.request.app[LIMITS].write_idle_s
    async for block in blocks:
        try:
            async with asyncio.timeout(idle_s):
                await response.write(block)
        except TimeoutError:
            if isinstance(transport := call.request.transport, asyncio.WriteTransport):
                transport.abort()  # a close would wait for the very reader that does not read
            raise ConnectionAbortedError("the reader stands still") from None


async def validate_job(call: Call) -> web.StreamResponse:
    submission = await call.message(JobSubmission)
    return answers.message(await call.services.care.validations.validate(call.who, submission))


async def list_retention(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.care.retention.list(paging.asked(call, retention.LISTING)))


async def list_dead_letters(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.care.dead_letters.list(paging.asked(call, dead_letters.LISTING)))


async def retry_dead_letter(call: Call) -> web.StreamResponse:
    request, key = await call.keyed_message(RetryRequest)
    return answered(await call.services.care.dead_letters.retry(call.who, call.path("job_id"), request, key))


async def discard_dead_letter(call: Call) -> web.StreamResponse:
    return answers.job(await call.services.care.dead_letters.discard(call.who, call.path("job_id")))


HANDLERS: dict[str, Handler] = {
    "delete_job": delete_job,
    "purge_outputs": purge_outputs,
    "job_outputs": job_outputs,
    "job_archive": job_archive,
    "job_file": job_file,
    "validate_job": validate_job,
    "list_retention": list_retention,
    "list_dead_letters": list_dead_letters,
    "retry_dead_letter": retry_dead_letter,
    "discard_dead_letter": discard_dead_letter,
}
