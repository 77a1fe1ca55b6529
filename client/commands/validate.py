"""`reelyard validate`: what would become of a submission, before it is one."""

from __future__ import annotations

import asyncio

from client import beforehand, operator_rows
from client.besides import check_files
from client.errors import ExitCode
from client.options import SubmitOptions, ValidateOptions
from client.progress import display
from client.shell import Shell
from client.sources import LocalFile, check_file, read_source, read_submission
from protocol.jobs import JobInput


async def validate(shell: Shell, options: ValidateOptions) -> int:
    """A file is sent for it; `submit` of the same file then finds it there. Attachments stay here: only what they are for is
    held against the profile.
    """
    as_submitted = SubmitOptions(
        inputs=[options.input], profile=options.profile, outputs=options.outputs, attach=options.attach, strict=options.strict
    )
    source = read_source(options.input)
    asked = read_submission(source, as_submitted)
    attached = await asyncio.to_thread(check_files, as_submitted)
    if attached:
        asked = asked.model_copy(update={"attachments": beforehand.named(attached)})
    if isinstance(source, LocalFile):
        path = source.path
        await asyncio.to_thread(check_file, path)
        await beforehand.check(shell.client, [asked], attached)
        with display(shell.screen, jobs=1) as view:
            upload_id = await shell.client.send_file(path, progress=lambda count, total: view.sent(path.name, count, total))
        asked = asked.model_copy(update={"input": JobInput(upload_id=upload_id)})
    reply = await shell.client.validate(asked)
    shell.screen.document(reply)
    shell.screen.table(operator_rows.validation_table(reply))
    return ExitCode.DONE if reply.valid else ExitCode.JOB_FAILED
