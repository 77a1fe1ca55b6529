"""Commands about jobs that exist."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from pydantic import ValidationError

from client import options as o
from client import rows
from client.commands.pages import query, show_page
from client.errors import ExitCode
from client.progress import Display, display, ending
from client.shell import Shell
from client.sources import read_metadata
from client.table import size
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobPatch, JobView
from protocol.misfits import first_misfit
from protocol.states import TERMINAL_JOB_STATES, JobState


def exit_for(jobs: Sequence[JobView]) -> int:
    """1 as soon as one job ended without completing."""
    is_bad = any(job.state in TERMINAL_JOB_STATES and job.state is not JobState.COMPLETED for job in jobs)
    return ExitCode.JOB_FAILED if is_bad else ExitCode.DONE


async def follow(shell: Shell, job_id: str, view: Display) -> JobView:
    """Show the job until it has ended."""
    async with aclosing(shell.client.watch(job_id)) as views:
        async for job in views:
            view.show(job)
    return job


async def fetch_outputs(shell: Shell, job_id: str, directory: Path) -> list[Path]:
    """Every output of the job, below `directory`."""
    links = await shell.client.outputs(job_id)
    return [await shell.client.download(link, directory) for link in links.files]


async def jobs(shell: Shell, options: o.JobsOptions) -> int:
    asked = {"status": options.status, "q": options.search, "tenant": options.tenant}
    metadata = {f"metadata.{name}": value for name, value in read_metadata(options.meta).items()}
    page = await shell.client.list(**query(limit=options.limit, cursor=options.cursor, **asked), **metadata)
    return show_page(shell, page, rows.job_table(page))


async def job(shell: Shell, options: o.JobOptions) -> int:
    if options.watch:
        with display(shell.screen, jobs=1) as view:
            found = await follow(shell, options.job_id, view)
    else:
        found = await shell.client.get(options.job_id)
    shell.screen.document(found)
    shell.screen.table(rows.job_facts(found))
    shell.screen.table(rows.step_table(found.tasks))
    faults = rows.fault_table(found)
    if faults.rows:
        shell.screen.table(faults)
    return exit_for([found]) if options.watch else ExitCode.DONE


async def why(shell: Shell, options: o.WhyOptions) -> int:
    reply = await shell.client.why(options.job_id)
    shell.screen.document(reply)
    shell.screen.line(reply.summary)
    if reply.ahead_in_queue is not None:
        shell.screen.line(f"{reply.ahead_in_queue} ahead of it in the queue")
    if reply.engines:
        shell.screen.table(rows.why_table(reply))
    return ExitCode.DONE


async def log(shell: Shell, options: o.LogOptions) -> int:
    reply = await shell.client.log(options.job_id)
    shell.screen.document(reply)
    for attempt in reply.attempts:
        shell.screen.line(f"task {attempt.task_id}, token {attempt.token}:")
        for line in attempt.log.splitlines() or ["(it said nothing)"]:
            shell.screen.line(line)
    if not reply.attempts:
        shell.screen.line("no attempt has ended yet")
    return ExitCode.DONE


async def cancel(shell: Shell, options: o.CancelOptions) -> int:
    found = await shell.client.cancel(options.job_id)
    shell.screen.document(found)
    shell.screen.line(ending(found) if found.state in TERMINAL_JOB_STATES else f"{found.job_id} is {found.state}")
    return ExitCode.DONE


async def retry(shell: Shell, options: o.RetryOptions) -> int:
    found = await shell.client.retry(options.job_id, priority=options.priority)
    shell.screen.document(found)
    shell.screen.line(f"{found.job_id} is {found.state}, at priority {found.priority}")
    return ExitCode.DONE


async def set_job(shell: Shell, options: o.SetOptions) -> int:
    seen = await shell.client.get(options.job_id)
    wanted: dict[str, object] = {}
    if options.priority is not None:
        wanted["priority"] = options.priority
    if options.webhook is not None:
        wanted["webhook_url"] = options.webhook or None
    if options.meta:
        merged = {**seen.user_metadata, **read_metadata(options.meta)}
        wanted["metadata"] = {name: value for name, value in merged.items() if value != ""}
    try:
        change = JobPatch.model_validate(wanted)
    except ValidationError as error:
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, first_misfit(error)) from error
    changed = await shell.client.patch_job(seen, change)
    shell.screen.document(changed)
    shell.screen.line(f"{changed.job_id} is {changed.state}, at priority {changed.priority}")
    return ExitCode.DONE


async def purge(shell: Shell, options: o.PurgeOptions) -> int:
    call = shell.client.purge_outputs if options.outputs else shell.client.purge
    was = await call(options.job_id)
    shell.screen.document(was)
    shell.screen.line(f"the outputs of {was.job_id} are purged" if options.outputs else f"{was.job_id} is purged")
    return ExitCode.DONE


async def outputs(shell: Shell, options: o.OutputsOptions) -> int:
    reply = await shell.client.outputs(options.job_id)
    if options.zip is not None:
        shell.screen.progress(str(await shell.client.outputs_zip(options.job_id, options.zip)))
    if options.download is not None:
        for link in reply.files:
            shell.screen.progress(f"{await shell.client.download(link, options.download)}  {size(link.size_bytes)}")
    if options.download is None and options.zip is None:
        shell.screen.table(rows.link_table(reply, shell.client.server))
        shell.screen.line(f"the links expire at {reply.expires_at}")
    shell.screen.document(reply)
    return ExitCode.DONE
