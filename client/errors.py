"""What can go wrong on this side of the wire, beside the errors a server tells in its envelope (`ReelyardError`)."""

from __future__ import annotations

from enum import StrEnum

from protocol.errors import ReelyardError


class ClientCode(StrEnum):
    """Stable codes of faults that no server told us. They stand where a server's code would stand."""

    USAGE = "USAGE"
    SERVER_UNKNOWN = "SERVER_UNKNOWN"
    SERVER_UNREACHABLE = "SERVER_UNREACHABLE"
    ANSWER_UNREADABLE = "ANSWER_UNREADABLE"
    LOCAL_FILE = "LOCAL_FILE"
    PROCESS_DIED = "PROCESS_DIED"


class ClientError(Exception):
    """A fault on this side, with a code and one clear sentence."""

    def __init__(self, code: ClientCode, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(f"{code}: {message}")


class Unreachable(ClientError):
    """No answer came. `is_unsent` is True when the server certainly never saw the call."""

    def __init__(self, message: str, *, is_unsent: bool = False) -> None:
        super().__init__(ClientCode.SERVER_UNREACHABLE, message)
        self.is_unsent = is_unsent


class Unreadable(ClientError):
    """Something answered, but not in the words of this contract: a proxy, another program, a newer server."""

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(ClientCode.ANSWER_UNREADABLE, message)
        self.status, self.retry_after = status, retry_after


class ExitCode:
    """What the command line ends with, told in `reelyard --help`."""

    DONE = 0
    JOB_FAILED = 1
    USAGE = 2
    UNREACHABLE = 3


_NOT_ALLOWED = frozenset({401, 403, 429})
_CLIENT_EXITS = {
    ClientCode.USAGE: ExitCode.USAGE,
    ClientCode.SERVER_UNKNOWN: ExitCode.UNREACHABLE,
    ClientCode.SERVER_UNREACHABLE: ExitCode.UNREACHABLE,
    ClientCode.ANSWER_UNREADABLE: ExitCode.UNREACHABLE,
    ClientCode.LOCAL_FILE: ExitCode.USAGE,
    ClientCode.PROCESS_DIED: ExitCode.UNREACHABLE,
}


def exit_code(error: ReelyardError | ClientError) -> int:
    """3 when the server cannot be reached, cannot serve or does not allow it; 2 when the call itself is wrong."""
    if isinstance(error, ClientError):
        return _CLIENT_EXITS[error.code]
    return ExitCode.UNREACHABLE if error.status in _NOT_ALLOWED or error.status >= 500 else ExitCode.USAGE


def one_line(text: str) -> str:
    """Whatever a message holds, one line of it without control characters: a terminal obeys some of them."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
