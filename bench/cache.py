"""Where benches keep what they fetched or made once, outside the tree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def root(environ: Mapping[str, str]) -> Path:
    """`$XDG_CACHE_HOME/reelyard`. A relative value counts as none, as the XDG base directory rules say."""
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "reelyard"


def cache(name: str) -> Path:
    """The directory of that name in the cache, made when it is missing."""
    directory = root(os.environ) / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory
