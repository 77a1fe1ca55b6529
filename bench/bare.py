"""FFmpeg run bare: an engine's own command, with its descriptor, directory, environment and nice level, and nothing around."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.engine import EngineSettings

NICE = int(EngineSettings.model_fields["nice"].default)
PATH = "/usr/local/bin:/usr/bin:/bin"


class EncodeFailed(Exception):
    """FFmpeg did not end well; the text is the end of what it said."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of one run, on the clock and of all cores together."""

    wall: float
    cpu: float


def encode(argv: Sequence[str], source: Path, makes: Sequence[str]) -> Spent:
    """Run it once in a new directory, which goes away. `{fd0}` in `argv` becomes the descriptor of `source`."""
    with tempfile.TemporaryDirectory(prefix="reelyard-bare-") as directory, source.open("rb") as file:
        for below in makes:
            (Path(directory) / below).mkdir(parents=True, exist_ok=True)
        number = file.fileno()
        words = [word.replace("{fd0}", str(number)) for word in argv]
        complaints = Path(directory) / "stderr"
        began = time.perf_counter()
        with complaints.open("wb") as stderr:
            process = subprocess.Popen(
                ["nice", "-n", str(NICE), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=directory,
                env={"PATH": PATH, "LANG": "C.UTF-8", "HOME": directory},
                pass_fds=[number],
            )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise EncodeFailed(complaints.read_text(encoding="utf-8", errors="replace").strip()[-300:])
    return Spent(wall, usage.ru_utime + usage.ru_stime)
