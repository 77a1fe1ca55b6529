"""Python environments for other people's programs, in the cache, never in `.venv`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cache import cache

INSTALL_S = 600


class Unavailable(Exception):
    """A program cannot be had here; the text says why."""


def environment(name: str, packages: Sequence[str]) -> Path:
    """The Python of the environment of that name, made and filled the first time. Raises Unavailable."""
    home = cache(name)
    python, done = home / "venv/bin/python", home / "installed"
    wanted = f"{sys.version} {' '.join(packages)}"
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return python
    _call([sys.executable, "-m", "venv", "--clear", "--without-pip", str(home / "venv")])  # Debian's may have no ensurepip
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    _call([*pip, "install", "-q", *packages])
    done.write_text(wanted, encoding="utf-8")
    return python


def _call(argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Unavailable(f"{argv[0]}: {fault}") from fault
    if done.returncode:
        raise Unavailable((done.stderr or done.stdout).strip()[-250:])
