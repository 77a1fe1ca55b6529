"""How tools are confined on this machine: the tier in force, and what it means for one invocation."""

from __future__ import annotations

import glob
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.plugins import Invocation

if TYPE_CHECKING:  # the minder has no types at run time: importing them would cost each tool's start
    from engine.minder.confine import Sandbox

TIERS = {0: "none", 1: "resource limits", 2: "Landlock and seccomp", 3: "bubblewrap's namespaces and seccomp"}
GPU_NODES = ("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/dri/renderD*")
"""All of them: which one is the tool's is said by its environment; the numbers of nodes and of drivers may differ."""


@dataclass(frozen=True, slots=True)
class Sandboxing:
    """`tier` is one of TIERS; `bubblewrap` the path of `bwrap`, empty where there is none."""

    tier: int = 1
    bubblewrap: str = ""

    def of(self, invocation: Invocation, directory: str, device: str | None = None) -> Sandbox:
        """What the minder's child makes of itself before it becomes this tool. `device` is the GPU of the slot."""
        tool = invocation.argv[0]
        return {
            "tier": self.tier,
            "directory": directory,
            "tool": tuple(dict.fromkeys((os.path.realpath(tool), tool))),
            "readable": invocation.readable,
            "devices": () if device is None else tuple(sorted(node for form in GPU_NODES for node in glob.glob(form))),
            "bubblewrap": self.bubblewrap,
        }


def at_tier(tier: int) -> Sandboxing:
    return Sandboxing(tier, shutil.which("bwrap") or "")
