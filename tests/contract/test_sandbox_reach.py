"""Whom a minder kills when it kills everybody: what comes of its tool, and nobody else."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from engine.minder import landlock

MINDER = """
import os, signal
from engine.minder import confine, usage
sandbox = {"tier": 2, "directory": ".", "tool": (), "readable": (), "devices": (), "bubblewrap": ""}
if not confine.reach_only_own(sandbox):
    raise SystemExit("it reaches others")
fled = []
for _ in range(20):
    fled.append(os.fork())
    if fled[-1] == 0:
        os.setsid()
        signal.pause()
usage.kill_everybody()
print({os.WTERMSIG(os.waitpid(pid, 0)[1]) for pid in fled})
"""


def test_killing_everybody_ends_what_fled_and_leaves_a_bystander_alone() -> None:
    if landlock.abi() < landlock.SCOPES_FROM_ABI:
        pytest.skip("the kernel's Landlock does not confine signals (ABI 6, Linux 6.12)")
    with subprocess.Popen(["/bin/sleep", "30"]) as bystander:
        minder = subprocess.run([sys.executable, "-c", MINDER], capture_output=True, text=True, timeout=20, check=False)
        bystander.terminate()

    assert (minder.stdout, minder.stderr, bystander.returncode) == ("{9}\n", "", -signal.SIGTERM)
