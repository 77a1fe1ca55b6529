"""How figures are told: as a table in the terminal, as JSON, and as the table of docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from bench.machine import Machine
from bench.rows import Row, is_met

BEGIN, END = "<!-- figures: written by `python -m bench --write-docs` -->", "<!-- end of figures -->"
VERDICTS = {True: "yes", False: "NO", None: ""}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of `make bench`: the rows of each bench, by its name, and the seconds each took."""

    at: datetime
    machine: Machine
    rows: Mapping[str, Sequence[Row]]
    took: Mapping[str, float]


def number(value: float | None) -> str:
    """Four digits are more than a figure of a bench is good for."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The rows for a terminal."""
    for row in rows:
        text = f"  {row.name:58} {number(row.value):>10} {row.unit:8} {row.target:20} {VERDICTS[is_met(row)]:3} {row.note}"
        yield text.rstrip()


def about(run: Run) -> Iterator[str]:
    """The machine in a few lines."""
    machine = run.machine
    yield f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / 2**30:.1f} GiB, Linux {machine.kernel}"
    yield f"Python {machine.python}, SQLite {machine.sqlite}, FFmpeg {machine.ffmpeg}"
    load = " ".join(f"{part:.2f}" for part in machine.load)
    yield f"{run.at:%Y-%m-%d %H:%M} UTC, load average before: {load} ({'quiet' if machine.is_quiet else 'BUSY: not a fair run'})"


def as_json(run: Run) -> str:
    rows = [{"bench": bench, **asdict(row), "met": is_met(row)} for bench, found in run.rows.items() for row in found]
    whole = {"date": run.at.isoformat(), "machine": asdict(run.machine), "took_seconds": dict(run.took), "rows": rows}
    return json.dumps(whole, indent=1, allow_nan=False)


def as_markdown(run: Run) -> str:
    text = [*(f"{line}  " for line in about(run)), ""]
    for bench in run.rows:
        text += [f"### {bench}", "", *_table(run.rows[bench])]
    return "\n".join(text)


def _table(rows: Sequence[Row]) -> list[str]:
    head = ["| figure | value | unit | target | met | note |", "|---|--:|---|---|---|---|"]
    return [*head, *(_cells(row) for row in rows), ""]


def _cells(row: Row) -> str:
    cells = (row.name, number(row.value), row.unit, row.target, VERDICTS[is_met(row)], row.note)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def with_figures(page: str, figures: str) -> str:
    """The page with the text between its two marks replaced. Raises ValueError when it has no marks."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    return f"{head}{BEGIN}\n\n{figures.strip()}\n\n{END}{tail}"


def with_bench(page: str, run: Run, bench: str) -> str:
    """The page with the figures of one bench measured anew, or for the first time, and told with their own day and machine.

    Raises ValueError when the page has no marks.
    """
    _, begin, rest = page.partition(BEGIN)
    figures, end, _ = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    heading = f"### {bench}\n"
    before, found, after = figures.partition(heading)
    others = after[after.index("### ") :] if found and "### " in after else ""
    section = "\n".join((heading, *(f"{line}  " for line in about(run)), "", *_table(run.rows[bench])))
    return with_figures(page, f"{before.rstrip()}\n\n{section}\n{others}")


def add_to_docs(run: Run, page: Path) -> None:
    """What was run is put into the page; the figures of the other benches stay."""
    text = page.read_text(encoding="utf-8")
    for bench in run.rows:
        text = with_bench(text, run, bench)
    page.write_text(text, encoding="utf-8")


def write_docs(run: Run, page: Path) -> None:
    page.write_text(with_figures(page.read_text(encoding="utf-8"), as_markdown(run)), encoding="utf-8")
