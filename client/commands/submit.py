"""`reelyard submit`: check what is here, send it, and on wish stay until it is done."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.commands.jobs import exit_for, fetch_outputs, follow
from client.errors import ClientCode, ClientError, ExitCode, exit_code
from client.options import SubmitOptions
from client.progress import Display, display
from client.screen import as_json
from client.shell import Shell
from client.sources import LocalFile, RemoteInput, Source, key_for, read_source, read_submission
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import BatchItem, JobView

WATCHED_AT_ONCE = 16  # each takes a connection; aiohttp holds 100 per session


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one input: a job, or the reason why none was made."""

    text: str
    job_id: str | None
    job: JobView | None = None
    error: ReelyardError | None = None


async def submit(shell: Shell, options: SubmitOptions) -> int:
    sources = [read_source(text) for text in options.inputs]
    for source in sources:
        if isinstance(source, LocalFile):
            await asyncio.to_thread(check_file, source.path)
    if len(sources) == 1:
        with display(shell.screen, jobs=1) as view:
            return await _submit_one(shell, options, sources[0], view)
    with display(shell.screen, jobs=len(sources)) as view:
        return await _submit_many(shell, options, sources, view)


def check_file(path: Path) -> None:
    """Raise INPUT_NOT_FOUND unless `path` is a file that can be read, before anything is sent."""
    if path.is_dir():
        raise ReelyardError(ErrorCode.INPUT_NOT_FOUND, f"{path} is a directory; give its files")
    if not path.exists():
        raise ReelyardError(ErrorCode.INPUT_NOT_FOUND, f"{path}: there is no such file here; a path of the server is server:{path}")
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ReelyardError(ErrorCode.INPUT_NOT_FOUND, f"{path} cannot be read as a file")
