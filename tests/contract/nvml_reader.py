"""A process that reads the NVIDIA monitor once for each line on its standard input, as the engine would."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from importlib.metadata import EntryPoint

from engine.app.commands import log_to_stderr
from engine.shell.monitors import MONITORS, load_monitors
from plugins.monitors.nvidia import NvidiaMonitor
from protocol.plugins import Surroundings


def main(how: str) -> None:
    log_to_stderr()
    surroundings = Surroundings("/", lambda: (os.getpid(),))
    if how == "load":
        monitors = load_monitors([EntryPoint("nvidia", "plugins.monitors.nvidia:NvidiaMonitor", MONITORS)], surroundings)
        say("ready")
        for _ in sys.stdin:
            say(asyncio.run(monitors.read()).model_dump(mode="json"))
        return
    try:
        monitor = NvidiaMonitor(surroundings)
    except LookupError as absent:
        say({"absent": str(absent)})
        return
    say("ready")
    for _ in sys.stdin:
        try:
            say({f"{reading.resource} {reading.device}": asdict(reading) for reading in monitor.read()})
        except OSError as fault:
            say({"fault": str(fault)})


def say(told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
