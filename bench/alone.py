"""Runs one bench in a process of its own, so that none inherits another's memory, and one that falls takes none with it."""

from __future__ import annotations

import importlib
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from bench.rows import Row


def measure(name: str) -> list[Row]:
    """The rows of one bench; runs in that process."""
    rows: list[Row] = importlib.import_module(f"bench.{name}").run()
    return rows


def rows_of(name: str) -> list[Row]:
    """What the bench found, or one row that says why it cannot run here."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as process:
        try:
            return process.submit(measure, name).result()
        except (Exception, SystemExit) as fault:  # noqa: BLE001 - the others still run; what went wrong stands in the row
            why = " ".join(f"{type(fault).__name__}: {fault}".split())
            return [Row(name, None, "", note=f"did not run: {why[:300]}")]
