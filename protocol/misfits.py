"""Where a document does not fit its model, for who wrote it: without names of the checker's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

OTHER_KIND = frozenset({"string_type", "model_type", "model_attributes_type"})
"""Of a value that may be of several kinds, each kind complains: these say no more than that it is not the one."""

UNKNOWN = "extra_forbidden"


@dataclass(frozen=True, slots=True)
class Misfit:
    """`field` is the way to it, with dots, empty for the whole; `row` is pydantic's own."""

    field: str
    row: ErrorDetails


def misfits(rows: Iterable[ErrorDetails]) -> tuple[Misfit, ...]:
    told = tuple(rows)
    kept = (row for row in told if not _is_of_another_kind(row, told))
    return tuple(Misfit(".".join(str(part) for part in row["loc"] if not _is_kind(part)), row) for row in kept)


def first_misfit(error: ValidationError) -> str:
    """The first of them in one line, as `field: reason`, and which fields else. A misspelled key comes before the one it was
    to be.
    """
    told = misfits(error.errors(include_url=False, include_input=False))
    first, *others = sorted(told, key=lambda one: one.row["type"] != UNKNOWN)
    what = "there is no such key" if first.row["type"] == UNKNOWN else first.row["msg"].removeprefix("Value error, ")
    more = ", ".join(dict.fromkeys(one.field for one in others if one.field and one.field != first.field))
    line = f"{first.field}: {what}" if first.field else what
    return f"{line} (and see {more})" if more else line


def _is_kind(part: str | int) -> bool:
    """What pydantic puts into the way to say which kind of several it tried."""
    return isinstance(part, str) and (part == "constrained-str" or "[" in part)


def _is_of_another_kind(row: ErrorDetails, rows: tuple[ErrorDetails, ...]) -> bool:
    at = next((n for n, part in enumerate(row["loc"]) if _is_kind(part)), None)
    if at is None or row["type"] not in OTHER_KIND:
        return False
    way = row["loc"][:at]
    return any(other["loc"][:at] == way and other["type"] not in OTHER_KIND for other in rows)
