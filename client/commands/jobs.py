"""Commands about jobs that exist."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from client import options as o
from client import rows
from client.errors import ExitCode
from client.progress import Display, display, ending
from client.shell import Shell
from protocol.jobs import JobView
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
    asked = {"limit": str(options.limit), "status": options.status, "cursor": options.cursor}
    page = await shell.client.list(**{name: value for name, value in asked.items() if value is not None})
    shell.screen.document(page)
    shell.screen.table(rows.job_table(page))
    if page.next_cursor:
        shell.screen.line(f"{len(page.jobs)} of {page.total_count}; go on with --cursor {page.next_cursor}")
    return ExitCode.DONE


async def job(shell: Shell, options: o.JobOptions) -> int:
    if options.watch:
        with display(shell.screen, jobs=1) as view:
            found = await follow(shell, options.job_id, view)
    else:
        found = await shell.client.get(options.job_id)
    shell.screen.document(found)
    shell.screen.table(rows.job_facts(found))
    shell.screen.table(rows.step_table(found.tasks))
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
        for line in attempt.log.splitlines():
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


async def outputs(shell: Shell, options: o.OutputsOptions) -> int:
    reply = await shell.client.outputs(options.job_id)
    if options.download is not None:
        for link in reply.files:
            shell.screen.progress(f"{await shell.client.download(link, options.download)}  {rows.size(link.size_bytes)}")
    else:
        shell.screen.table(rows.link_table(reply))
        shell.screen.line(f"the links expire at {reply.expires_at}")
    shell.screen.document(reply)
    return ExitCode.DONE
