"""What a user names on the command line, turned into submissions. Pure but for `check_file`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from client.errors import ClientCode, ClientError
from client.options import SubmitOptions
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput, JobSubmission
from protocol.misfits import first_misfit
from protocol.profiles import OutputOverrides

LISTENERS = ("rtmp", "srt")
LIVE_PROFILE = "live"
"""What a stream is made with unless told: the one of the built-in profiles that takes it."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this box, to be uploaded."""

    path: Path


@dataclass(frozen=True, slots=True)
class RemoteInput:
    """What the server reads by itself."""

    told: JobInput


Source = LocalFile | RemoteInput


def read_source(text: str) -> Source:
    """`server:/path`, `live:...`, `http(s)://`, `s3://bucket/key`, else a file here. Raises ClientError for any other scheme."""
    scheme = _SCHEME.match(text)
    if text.startswith("live:"):
        return RemoteInput(_checked_input(text, live=_stream(text)))
    if text.startswith("server:"):
        return RemoteInput(_checked_input(text, path=text.removeprefix("server:")))
    if scheme is None:
        return LocalFile(Path(text))
    match scheme.group().lower():
        case "http://" | "https://":
            return RemoteInput(_checked_input(text, url=text))
        case "s3://":
            return RemoteInput(_checked_input(text, s3=_bucket_and_key(text)))
        case other:
            raise ClientError(ClientCode.USAGE, f"{text!r}: {other} is not read; give a file, server:/path or http(s)://")


def _stream(text: str) -> dict[str, str]:
    """A listener by its protocol, or the playlist of another server."""
    told = text.removeprefix("live:")
    if told in LISTENERS:
        return {"protocol": told}
    if told.lower().startswith(("http://", "https://")):
        return {"protocol": "hls", "url": told}
    raise ClientError(ClientCode.USAGE, f"{text!r}: a stream is live:rtmp, or live:https://host/live.m3u8")


def _bucket_and_key(text: str) -> dict[str, str]:
    bucket, _, key = text[len("s3://") :].partition("/")
    if not bucket or not key:
        raise ClientError(ClientCode.USAGE, f"{text!r} names no S3 object; it looks like s3://bucket/key")
    return {"bucket": bucket, "key": key}


def _checked_input(text: str, **told: object) -> JobInput:
    try:
        return JobInput.model_validate(told)
    except ValidationError as error:
        raise ClientError(ClientCode.USAGE, f"{text!r} is no input: {first_misfit(error)}") from error


def check_file(path: Path) -> None:
    """Raise INPUT_NOT_FOUND unless `path` is a file that can be read, before anything is sent."""
    if path.is_dir():
        raise ReelyardError(ErrorCode.INPUT_NOT_FOUND, f"{path} is a directory; give its files")
    if not path.exists():
        sentence = f"{path}: there is no such file here; a path on the server is written server:{path}"
        raise ReelyardError(ErrorCode.INPUT_NOT_FOUND, sentence)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ReelyardError(ErrorCode.INPUT_NOT_FOUND, f"{path} cannot be read as a file")


def read_metadata(pairs: list[str]) -> dict[str, str]:
    """`k=v` words as an object of strings. Raises ClientError for a word without `=`."""
    split = [pair.partition("=") for pair in pairs]
    for name, equals, value in split:
        if not equals or not name:
            raise ClientError(ClientCode.USAGE, f"--meta {name}{equals}{value}: it looks like --meta title=Sintel")
    return {name: value for name, _, value in split}


def read_overrides(text: str) -> OutputOverrides:
    """Parts of the profile as JSON. Raises ReelyardError VALIDATION_FAILED as the server would."""
    try:
        return OutputOverrides.model_validate_json(text)
    except ValidationError as error:
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, f"--outputs {first_misfit(error)}") from error


def is_live(source: Source) -> bool:
    return isinstance(source, RemoteInput) and source.told.live is not None


def read_submission(source: Source, options: SubmitOptions) -> JobSubmission:
    """The submission, with only what the user set. Raises ReelyardError VALIDATION_FAILED as the server would."""
    wanted: dict[str, object] = {
        "input": source.told if isinstance(source, RemoteInput) else None,
        "profile": options.profile or (LIVE_PROFILE if is_live(source) else None),
        "priority": options.priority,
        "metadata": read_metadata(options.meta) or None,
        "ttl_s": options.ttl,
        "expires_at": options.expires_at,
        "finish_by": options.finish_by,
        "integrity": "strict" if options.strict else None,
        "allow_damaged": options.allow_damaged or None,
        "outputs": None if options.outputs is None else read_overrides(options.outputs),
        "webhook_url": options.webhook,
        "required_capabilities": frozenset(options.requires) or None,
        "tags": frozenset(options.tag) or None,
    }
    try:
        return JobSubmission.model_validate({name: value for name, value in wanted.items() if value is not None})
    except ValidationError as error:
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, first_misfit(error)) from error


def key_for(options: SubmitOptions, number: int | None) -> str | None:
    """The user's Idempotency-Key for one call of a submit; several calls must not share one."""
    if options.idempotency_key is None or number is None:
        return options.idempotency_key
    return f"{options.idempotency_key}.{number}"
