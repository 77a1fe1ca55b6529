"""Checkers of what players read, written against RFC 8216 and ISO 23009-1: they share nothing with the code that writes it.

Each gives the rules that are broken, one line for each; `files_of` reads a directory for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, bytes]
"""By path from the top of what is published, with `/`."""


def files_of(root: Path) -> dict[str, bytes]:
    """All files below a directory."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
