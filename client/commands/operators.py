"""Commands of operators: engines, figures, what is kept, what is in force."""

from __future__ import annotations

from client import operator_rows as rows
from client import options as o
from client.commands.pages import ALL, query, show_all, show_page
from client.errors import ClientCode, ClientError, ExitCode
from client.shell import Shell
from protocol.admin import EngineView

ENGINE_ID = "eng_"


async def engines(shell: Shell, options: o.EnginesOptions) -> int:
    page = await shell.client.engines(**ALL)
    return show_all(shell, page, rows.engine_table(page))


async def engine_info(shell: Shell, options: o.EngineInfoOptions) -> int:
    return _show(shell, await shell.client.engine(await _id_of(shell, options.engine)))


async def approve(shell: Shell, options: o.ApproveOptions) -> int:
    return _show(shell, await shell.client.approve(await _id_of(shell, options.engine)))


async def drain(shell: Shell, options: o.DrainOptions) -> int:
    return _show(shell, await shell.client.drain(await _id_of(shell, options.engine)))


async def undrain(shell: Shell, options: o.UndrainOptions) -> int:
    return _show(shell, await shell.client.undrain(await _id_of(shell, options.engine)))


async def _id_of(shell: Shell, told: str) -> str:
    """Engines have names people know them by; one that several bear says nothing."""
    if told.startswith(ENGINE_ID):
        return told
    named = [engine.engine_id for engine in (await shell.client.engines(**ALL)).engines if engine.name == told]
    if not named:
        raise ClientError(ClientCode.USAGE, f"there is no engine {told}; `reelyard engines` lists them")
    if len(named) > 1:
        raise ClientError(ClientCode.USAGE, f"{len(named)} engines are called {told}; give the id: {', '.join(named)}")
    return named[0]


def _show(shell: Shell, engine: EngineView) -> int:
    shell.screen.document(engine)
    shell.screen.table(rows.engine_facts(engine))
    return ExitCode.DONE


async def stats(shell: Shell, options: o.StatsOptions) -> int:
    told = await shell.client.stats()
    shell.screen.document(told)
    shell.screen.table(rows.stats_table(told))
    return ExitCode.DONE


async def usage(shell: Shell, options: o.UsageOptions) -> int:
    asked = query(tenant=options.tenant, key_id=options.key_id, to=options.until, limit=options.limit, cursor=options.cursor)
    page = await shell.client.usage(**asked, **({"from": options.since} if options.since else {}))
    return show_page(shell, page, rows.usage_table(page))


async def audit(shell: Shell, options: o.AuditOptions) -> int:
    asked = query(actor=options.actor, action=options.action, since=options.since, limit=options.limit, cursor=options.cursor)
    page = await shell.client.audit(**asked)
    return show_page(shell, page, rows.audit_table(page))


async def retention(shell: Shell, options: o.RetentionOptions) -> int:
    page = await shell.client.retention(**query(limit=options.limit, cursor=options.cursor))
    show_page(shell, page, rows.retention_table(page))
    if page.dry_run:
        shell.screen.line("dry_run is set: nothing goes by age")
    return ExitCode.DONE


async def dead_letters(shell: Shell, options: o.DeadLetterListOptions) -> int:
    page = await shell.client.dead_letters(**query(limit=options.limit, cursor=options.cursor))
    return show_page(shell, page, rows.dead_letter_table(page))


async def retry_dead_letter(shell: Shell, options: o.DeadLetterRetryOptions) -> int:
    job = await shell.client.retry_dead_letter(options.job_id, priority=options.priority)
    shell.screen.document(job)
    shell.screen.line(f"{job.job_id} is {job.state}, at priority {job.priority}")
    return ExitCode.DONE


async def discard_dead_letter(shell: Shell, options: o.DeadLetterDiscardOptions) -> int:
    was = await shell.client.discard_dead_letter(options.job_id)
    shell.screen.document(was)
    shell.screen.line(f"{was.job_id} is purged")
    return ExitCode.DONE


async def show_config(shell: Shell, options: o.ConfigShowOptions) -> int:
    reply = await shell.client.config()
    shell.screen.document(reply)
    shell.screen.table(rows.settings_table(reply.settings))
    return ExitCode.DONE
