"""`reelyard submit`: check what is here, send it, and on wish stay until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from client import beforehand
from client.besides import Beside, check_files, completed, read_keys, sent_besides
from client.commands.jobs import exit_for, fetch_outputs, follow
from client.errors import ExitCode, exit_code, one_line
from client.options import SubmitOptions
from client.progress import Display, display, ending
from client.screen import program
from client.shell import Shell
from client.sources import LocalFile, Source, check_file, key_for, read_source, read_submission
from protocol.errors import ReelyardError
from protocol.jobs import BatchItem, JobSubmission, JobView

WATCHED_AT_ONCE = 16  # each takes a connection; aiohttp holds 100 per session


@dataclass(frozen=True, slots=True)
class Order:
    """One input of the command line, ready to be sent."""

    text: str
    source: Source
    submission: JobSubmission
    key: str | None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one input: a job, or the reason why none was made."""

    text: str
    job_id: str | None = None
    job: JobView | None = None
    error: ReelyardError | None = None


async def submit(shell: Shell, options: SubmitOptions) -> int:
    orders = read_orders(options)
    here = [order.source.path for order in orders if isinstance(order.source, LocalFile)]
    for path in here:
        await asyncio.to_thread(check_file, path)
    attached = await asyncio.to_thread(check_files, options)
    if options.content_keys is not None:
        keys = {"content_keys": await asyncio.to_thread(read_keys, options.content_keys)}
        orders = [replace(order, submission=completed(order.submission, keys)) for order in orders]
    await check_beforehand(shell, options, orders, attached)
    is_waiting = options.wait or options.download is not None
    with display(shell.screen, jobs=len(orders)) as view:
        async with sent_besides(shell, options) as fields:
            whole = [replace(order, submission=completed(order.submission, fields)) for order in orders]
            sent = await send(shell, whole, view)
        if is_waiting:
            sent = await stay(shell, sent, view)
    if options.download is not None:
        await fetch(shell, sent, options.download)
    return report(shell, sent, is_waiting=is_waiting)


def read_orders(options: SubmitOptions) -> list[Order]:
    """Everything that can be wrong in the words of the user is found here, before anything is sent."""
    sources = [read_source(text) for text in options.inputs]
    is_single = len(sources) == 1
    return [
        Order(text, source, read_submission(source, options), key_for(options, None if is_single else number))
        for number, (text, source) in enumerate(zip(options.inputs, sources, strict=True))
    ]


async def check_beforehand(shell: Shell, options: SubmitOptions, orders: Sequence[Order], attached: Sequence[Beside]) -> None:
    """Whatever can be refused without a file is, before a large one is sent for nothing. What brings none is refused at once."""
    brings_more = bool(attached) or options.thumbnail is not None
    sending = [order.submission for order in orders if brings_more or isinstance(order.source, LocalFile)]
    if sending:
        await beforehand.check(shell.client, sending, attached)
        await beforehand.check_keys(shell.client, sending[0])


async def send(shell: Shell, orders: Sequence[Order], view: Display) -> list[Sent]:
    """Files one after the other, everything else as one batch; the answers in the order of the inputs."""
    if len(orders) == 1:
        return [_made(orders[0], await _send_one(shell, orders[0], view))]
    remote = [order for order in orders if not isinstance(order.source, LocalFile)]
    answers = {id(order): sent for order, sent in zip(remote, await _send_batch(shell, remote), strict=True)}
    for order in orders:
        if id(order) not in answers:
            answers[id(order)] = await _send_file(shell, order, view)
    return [answers[id(order)] for order in orders]


async def _send_one(shell: Shell, order: Order, view: Display) -> JobView:
    if not isinstance(order.source, LocalFile):
        return await shell.client.submit(order.submission, key=order.key)
    path = order.source.path
    try:
        return await shell.client.submit_file(
            path, order.submission, key=order.key, progress=lambda count, total: view.sent(path.name, count, total)
        )
    except asyncio.CancelledError:
        shell.screen.note(f"what has gone up of {path.name} stays for a day; the same command goes on from there")
        raise


async def _send_file(shell: Shell, order: Order, view: Display) -> Sent:
    try:
        return _made(order, await _send_one(shell, order, view))
    except ReelyardError as error:
        return Sent(order.text, error=error)


async def _send_batch(shell: Shell, orders: Sequence[Order]) -> list[Sent]:
    if not orders:
        return []
    reply = await shell.client.submit_batch([order.submission for order in orders], key=orders[0].key)
    return [_answered(order, item) for order, item in zip(orders, reply.jobs, strict=True)]


def _made(order: Order, job: JobView) -> Sent:
    return Sent(order.text, job.job_id, job)


def _answered(order: Order, item: BatchItem) -> Sent:
    error = ReelyardError(item.error.code, item.error.message, details=dict(item.error.details)) if item.error else None
    return Sent(order.text, item.job_id, error=error)


async def stay(shell: Shell, sent: Sequence[Sent], view: Display) -> list[Sent]:
    """Follow every job that was made until it has ended. Interrupted, the jobs go on."""
    places = asyncio.Semaphore(WATCHED_AT_ONCE)

    async def ended(one: Sent) -> Sent:
        if one.job_id is None:
            return one
        async with places:
            return replace(one, job=await follow(shell, one.job_id, view))

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ended(one)) for one in sent]
    except asyncio.CancelledError:
        for one in sent:
            if one.job_id is not None:
                shell.screen.note(f"{one.job_id} goes on without you; look at it with: {program()} job {one.job_id} --watch")
        raise
    return [task.result() for task in tasks]


async def fetch(shell: Shell, sent: Sequence[Sent], directory: Path) -> None:
    for one in sent:
        if one.job is not None and exit_for([one.job]) == ExitCode.DONE:
            target = directory / one.job.job_id
            paths = await fetch_outputs(shell, one.job.job_id, target)
            shell.screen.progress(f"{len(paths)} files in {target}")


def report(shell: Shell, sent: Sequence[Sent], *, is_waiting: bool) -> int:
    """Tell what became of each input; the exit code is that of the worst."""
    if len(sent) == 1 and sent[0].job is not None:
        shell.screen.document(sent[0].job)
    else:
        shell.screen.document({"jobs": [_document(one) for one in sent]})
    for one in sent:
        if one.error is not None:
            shell.screen.note(f"error: {one.error.code}: {one.text}: {one.error.message}")
        elif is_waiting and one.job is not None and shell.screen.is_live:
            shell.screen.line(ending(one.job))
        elif not is_waiting:
            shell.screen.line(f"{one.job_id} submitted: {one_line(one.text)}")
    if not is_waiting and len(sent) == 1:
        look = "live {}" if sent[0].text.startswith("live:") else "job {} --watch"
        shell.screen.line(f"look at it with: {program()} {look.format(sent[0].job_id)}")
    failed = [exit_code(one.error) for one in sent if one.error is not None]
    return max([exit_for([one.job for one in sent if one.job is not None]), *failed])


def _document(one: Sent) -> dict[str, object]:
    error = {"code": str(one.error.code), "message": one.error.message, "details": one.error.details} if one.error else None
    return {"input": one.text, "job_id": one.job_id, "job": one.job, "error": error}
