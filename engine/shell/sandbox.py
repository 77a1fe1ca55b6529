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
        leads_to = os.path.realpath(tool)
        return {
            "tier": self.tier,
            "directory": directory,
            "tool": tuple(dict.fromkeys((leads_to, tool))),
            "readable": (*invocation.readable, *_libraries_beside(leads_to)),
            "devices": () if device is None else tuple(sorted(node for form in GPU_NODES for node in glob.glob(form))),
            "bubblewrap": self.bubblewrap,
        }


def _libraries_beside(tool: str) -> tuple[str, ...]:
    """Those of a tool that came with its own, below `<prefix>/lib` beside `<prefix>/bin`."""
    folder, prefix = os.path.dirname(tool), os.path.dirname(os.path.dirname(tool))
    if os.path.basename(folder) != "bin":
        return ()
    return tuple(path for path in (f"{prefix}/lib", f"{prefix}/lib64") if os.path.isdir(path))


def at_tier(tier: int) -> Sandboxing:
    return Sandboxing(tier, shutil.which("bwrap") or "")
