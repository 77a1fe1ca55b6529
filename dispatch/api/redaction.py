"""Paths as they may stand in a log: a signed link is a key to the files below it."""

from __future__ import annotations

import re

_SIGNATURE = re.compile(r"(/files/(?:s|live)/)[^/?\s]+")


def redacted(path: str) -> str:
    """The path without its query and without a signature."""
    return _SIGNATURE.sub(r"\1***", path.partition("?")[0])
