"""Tables and measures as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from client.errors import one_line

NONE = "-"
UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Table:
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def size(count: int | None) -> str:
    """Bytes for people, by thousands: 1.5 MB."""
    if count is None:
        return NONE
    value, unit = float(count), 0
    while value >= 999.95 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} B" if unit == 0 else f"{value:.1f} {UNITS[unit]}"


def span(seconds: float | None) -> str:
    """Seconds for people: 4.2 s, 3 min 05 s, 2 h 01 min."""
    if seconds is None:
        return NONE
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02} min"


def lines(table: Table) -> list[str]:
    """Aligned columns, two blanks apart, nothing cut."""
    widths = [max(map(len, column)) for column in zip(table.headers, *table.rows, strict=True)]
    return [
        "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in (table.headers, *table.rows)
    ]


def table_of(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    return Table(tuple(headers), tuple(tuple(NONE if c is None else one_line(str(c)) for c in row) for row in rows))
