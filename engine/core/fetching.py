"""What a foreign server's answer means for a fetch: take the bytes, ask elsewhere, try again, or give up. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import urljoin

from protocol.addresses import AddressPolicy, Target, UrlRefused, check_url
from protocol.errors import ErrorCode

REDIRECTS = frozenset({301, 302, 303, 307, 308})
LATER = frozenset({408, 425, 429})
MISSING = frozenset({404, 410})
OK, PARTIAL, NOT_SATISFIABLE = 200, 206, 416
LONGEST_VALIDATOR = 512

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:([0-9]{1,18})|\*)")
_LENGTH = re.compile(r"[0-9]{1,18}")


class InputFailed(Exception):
    """The input cannot be had, and trying again does not help. The message names a host, never a query."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a remote file: `length` bytes from `start`."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class State:
    """What is known after the tries so far: bytes kept, and the validator and the length of the file they are from."""

    kept: int = 0
    validator: str | None = None
    total: int | None = None


class Step(Enum):
    APPEND = auto()
    START_OVER = auto()
    RETRY = auto()


@dataclass(frozen=True, slots=True)
class Reading:
    """What to do with an answer's body, and what is known then."""

    step: Step
    state: State
    reason: str = ""


def checked(url: str, policy: AddressPolicy) -> Target:
    """Raises InputFailed for a URL that is not fetched."""
    try:
        return check_url(url, policy)
    except UrlRefused as refused:
        raise InputFailed(ErrorCode.INPUT_URL_REFUSED, f"{refused}") from None


def redirected(target: Target, location: str | None, policy: AddressPolicy) -> Target:
    """Where a redirect leads, checked like the first URL."""
    if not location:
        raise InputFailed(ErrorCode.INPUT_NOT_FOUND, f"{target.host} redirects to nowhere")
    try:
        url = urljoin(target.url, location)
    except ValueError:
        raise InputFailed(ErrorCode.INPUT_URL_REFUSED, f"{target.host} redirects to a malformed URL") from None
    return checked(url, policy)


def request_headers(state: State, span: Span | None) -> dict[str, str]:
    """Bytes that are kept are only added to if the file is still the same."""
    headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
    begin = (span.start if span else 0) + state.kept
    if span is not None:
        headers["Range"] = f"bytes={begin}-{span.start + span.length - 1}"
    elif state.kept:
        headers["Range"] = f"bytes={begin}-"
    if state.kept and state.validator is not None:
        headers["If-Range"] = state.validator
    return headers


def read_answer(status: int, headers: Mapping[str, str], host: str, state: State, span: Span | None) -> Reading:
    """Raises InputFailed where nothing will change by trying again."""
    if status >= 500 or status in LATER:
        return Reading(Step.RETRY, state, f"answered {status}")
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise InputFailed(ErrorCode.INPUT_FORMAT, f"{host} sends the file compressed, which it was asked not to")
    if status == OK and span is None:
        return _whole(headers)
    if status == PARTIAL and ("Range" in request_headers(state, span)):
        return _part(headers, host, state, span)
    if status == NOT_SATISFIABLE and state.kept:
        return Reading(Step.RETRY, State(), "the file is shorter now")
    raise InputFailed(ErrorCode.INPUT_NOT_FOUND, _why_not(status, host, span))


def _why_not(status: int, host: str, span: Span | None) -> str:
    if status in MISSING:
        return f"{host} has no such file (answered {status})"
    if status == OK and span is not None:
        return f"{host} does not serve the parts of a file that the playlist names"
    return f"{host} does not give the file (answered {status})"


def _whole(headers: Mapping[str, str]) -> Reading:
    length = headers.get("Content-Length", "")
    total = int(length) if _LENGTH.fullmatch(length) else None
    return Reading(Step.START_OVER, State(0, _validator(headers), total))


def _part(headers: Mapping[str, str], host: str, state: State, span: Span | None) -> Reading:
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    wanted = (span.start if span else 0) + state.kept
    if found is None or int(found[1]) != wanted or int(found[2]) < wanted:
        if state.kept:
            return Reading(Step.RETRY, State(), "the answer holds another part than was asked for")
        raise InputFailed(ErrorCode.INPUT_NOT_FOUND, f"{host} answers with another part of the file than was asked for")
    total = int(found[3]) if found[3] is not None else None
    validator = _validator(headers)
    is_same = validator in (None, state.validator) and (total is None or state.total in (None, total))
    if state.kept and not is_same:
        return Reading(Step.RETRY, State(), "the file has changed")
    return Reading(Step.APPEND, State(state.kept, validator or state.validator, total if total is not None else state.total))


def _validator(headers: Mapping[str, str]) -> str | None:
    """What `If-Range` may carry: a strong entity tag, else the date of the last change (RFC 9110, 13.1.5)."""
    tag, changed = headers.get("ETag", "").strip(), headers.get("Last-Modified", "").strip()
    told = tag if tag.startswith('"') else "" if tag else changed
    return told if 0 < len(told) <= LONGEST_VALIDATOR and told.isascii() and told.isprintable() else None


def after_cut(state: State, kept: int) -> State:
    """The body broke off: what came stays only if the next answer can be told to be of the same file."""
    return State() if state.validator is None else State(kept, state.validator, state.total)


def wanted_length(state: State, span: Span | None) -> int | None:
    """How many bytes the whole will have; None where the server does not tell."""
    return span.length if span is not None else state.total


def ending_of(filename: str) -> str:
    """The ending of a name when it is plain, else `bin`; it names a file, it decides nothing."""
    found = re.search(r"\.([A-Za-z0-9]{1,8})$", filename)
    return found.group(1).lower() if found else "bin"
