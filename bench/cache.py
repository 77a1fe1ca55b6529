"""Where benches keep what they fetched or made once, outside the tree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def cache(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CACHE_HOME/reelyard/<name>`, made when it is missing. A relative value is ignored, as the XDG rules say."""
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    directory = (base if base.is_absolute() else Path.home() / ".cache") / "reelyard" / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory
