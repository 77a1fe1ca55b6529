"""Evidence of the engine's own fatal signals: what faulthandler wrote in the run before this one."""

from __future__ import annotations

import faulthandler
from pathlib import Path

MAX_NOTE = 16 << 10


def fatal_note_of_last_run(path: Path) -> str | None:
    """What the last run wrote when a fatal signal ended it; None after any other end, kill -9 included."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:MAX_NOTE]
    except FileNotFoundError:
        return None
    return text if text.strip() else None


def note_fatal_signals(path: Path) -> None:
    """Empty the file, and let faulthandler write there should a fatal signal end this run."""
    file = path.open("w", encoding="utf-8")
    faulthandler.enable(file=file)  # keeps the file open for the rest of the process
