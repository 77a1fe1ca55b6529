"""Small files that one tool may read while it runs: nobody else reads them, and they are gone when it is."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Secrets = Iterable[tuple[str, bytes]]
"""Paths below a work directory, with what stands there."""

FOR_THE_OWNER = 0o600


def write(directory: str, secrets: Secrets) -> None:
    """A file that is there, from a run that was cut short, is written anew. Raises OSError."""
    for name, content in secrets:
        path = Path(directory) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FOR_THE_OWNER)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def forget(directory: str, secrets: Secrets) -> None:
    for name, _ in secrets:
        (Path(directory) / name).unlink(missing_ok=True)
