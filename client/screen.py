"""What the user sees: results on stdout, everything else on stderr. With `--json`, one document on stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from client.errors import ClientError, one_line
from client.table import Table, lines
from protocol.errors import ErrorCode, ReelyardError

if TYPE_CHECKING:
    from pydantic import BaseModel


def program() -> str:
    """The command as the user typed it, for the next one they may copy."""
    return sys.argv[0] if Path(sys.argv[0]).name == "reelyard" else "reelyard"


def as_json(value: BaseModel | Sequence[BaseModel] | dict[str, object]) -> str:
    """JSON as the API writes it: by the names of the wire."""
    from pydantic_core import to_json  # only where a document is asked for: a start is quick without it

    return to_json(value, by_alias=True).decode()


@dataclass(frozen=True, slots=True)
class Screen:
    """`is_json`: people's words are left out of stdout. `is_live`: stdout is a terminal that can redraw lines."""

    is_json: bool
    is_live: bool

    def document(self, value: BaseModel | dict[str, object]) -> None:
        """The one document of `--json`; nothing without it."""
        if self.is_json:
            print(as_json(value), flush=True)  # noqa: T201 - a command line prints

    def line(self, text: str) -> None:
        """A line for people."""
        if not self.is_json:
            print(one_line(text), flush=True)  # noqa: T201 - a command line prints

    def verbatim(self, text: str) -> None:
        """A line of a document of our own, its blanks kept."""
        if not self.is_json:
            print(text, flush=True)  # noqa: T201 - a command line prints

    def table(self, table: Table) -> None:
        if self.is_json:
            return
        for number, line in enumerate(lines(table)):
            print(f"\033[1m{line}\033[0m" if self.is_live and number == 0 else line)  # noqa: T201 - a command line prints
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A remark beside the result."""
        print(one_line(text), file=sys.stderr, flush=True)  # noqa: T201 - a command line prints

    def progress(self, text: str) -> None:
        """Where the work stands: among the lines of a pipe, but beside the document of `--json`."""
        if self.is_json:
            self.note(text)
        else:
            self.line(text)

    def error(self, error: ReelyardError | ClientError) -> None:
        """One line with the stable code on stderr; with `--json` the same as a document on stdout."""
        details = error.details if isinstance(error, ReelyardError) else {}
        where = f" ({details['request_id']})" if error.code is ErrorCode.INTERNAL_ERROR and "request_id" in details else ""
        self.note(f"error: {error.code}: {error.message}{where}")
        self.document({"error": {"code": str(error.code), "message": error.message, "details": details}})
