"""Commands about profiles."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from pydantic import ValidationError

from client import operator_rows as rows
from client import options as o
from client.commands.pages import ALL, show_all
from client.errors import ClientCode, ClientError, ExitCode
from client.screen import as_json
from client.shell import Shell
from protocol.errors import ErrorCode, ReelyardError
from protocol.misfits import first_misfit
from protocol.profiles import Profile


async def profiles(shell: Shell, options: o.ProfilesOptions) -> int:
    page = await shell.client.profiles(**ALL)
    return show_all(shell, page, rows.profile_table(page))


async def get_profile(shell: Shell, options: o.ProfileGetOptions) -> int:
    """One document with and without `--json`: it is what `profiles put` takes."""
    profile = await shell.client.profile(options.name)
    shell.screen.document(profile)
    for line in json.dumps(json.loads(as_json(profile)), indent=2).splitlines():
        shell.screen.verbatim(line)
    return ExitCode.DONE


async def put_profile(shell: Shell, options: o.ProfilePutOptions) -> int:
    profile = read_profile(options.file)
    put = await shell.client.put_profile(profile, tag=await _tag(shell, profile.name))
    shell.screen.document(put)
    shell.screen.line(f"profile {put.name} is put in")
    return ExitCode.DONE


async def _tag(shell: Shell, name: str) -> str | None:
    """Of the profile that is to be replaced, None when there is none."""
    try:
        return (await shell.client.tagged_profile(name))[1]
    except ReelyardError as error:
        if error.code is ErrorCode.NO_SUCH_PROFILE:
            return None
        raise


def read_profile(path: Path) -> Profile:
    """Raises ClientError LOCAL_FILE, or ReelyardError VALIDATION_FAILED as the server would."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ClientError(ClientCode.LOCAL_FILE, f"cannot read {path}: {reason}") from error
    if path.suffix == ".toml":
        text = _as_json(path, text)
    try:
        return Profile.model_validate_json(text)
    except ValidationError as error:
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, f"{path}: {first_misfit(error)}") from error


def _as_json(path: Path, toml: str) -> str:
    """Raises ReelyardError VALIDATION_FAILED with the line where it breaks off."""
    try:
        return json.dumps(tomllib.loads(toml), default=str)  # dates, which no field takes, are refused as text
    except tomllib.TOMLDecodeError as error:
        reason = str(error).replace("at end of document", f"at line {toml.count(chr(10)) + 1}, the end of the file")
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, f"{path} is no TOML: {reason}") from error


async def delete_profile(shell: Shell, options: o.ProfileDeleteOptions) -> int:
    shell.screen.document(await shell.client.delete_profile(options.name))
    shell.screen.line(f"profile {options.name} is taken out")
    return ExitCode.DONE
