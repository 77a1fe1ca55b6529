"""Monitors as the engine uses them: those that fail, hang or find nothing, and the one that reads this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

from engine.shell.monitors import MONITORS, Monitors, Watch, load_monitors
from plugins.monitors.load import LoadMonitor
from plugins.monitors.processes import OwnTree
from protocol.capabilities import GpuLoad, Load
from protocol.plugins import Reading, Resource, Surroundings

CPU = (Reading(Resource.CPU, 40.0),)
GPU = (Reading(Resource.GPU, 10.0, device="0"),)
SPIN = "import sys\nprint(flush=True)\nwhile True: pass"


class Scripted:
    """A monitor that does what it is told, one thing after the other."""

    def __init__(self, *acts: Callable[[], Sequence[Reading]]) -> None:
        self._acts = list(acts)

    def read(self) -> Sequence[Reading]:
        return self._acts.pop(0)()


def says(*readings: Reading) -> Callable[[], Sequence[Reading]]:
    return lambda: readings


def fails(fault: Exception) -> Callable[[], Sequence[Reading]]:
    def act() -> Sequence[Reading]:
        raise fault

    return act


def telling_load(_: Surroundings) -> Scripted:
    return Scripted(says(*CPU))


def telling_gpus(_: Surroundings) -> Scripted:
    return Scripted(says(*GPU))


def absent(_: Surroundings) -> Scripted:
    raise LookupError("no driver here")


def broken(_: Surroundings) -> Scripted:
    raise ValueError("a bug")


def monitors(**scripted: Scripted) -> Monitors:
    return Monitors([Watch(name, monitor) for name, monitor in scripted.items()])


async def test_all_that_can_be_made_are_used_and_the_others_left_out() -> None:
    found = [EntryPoint(name, f"{__name__}:{name}", MONITORS) for name in ("telling_load", "telling_gpus", "absent", "broken")]
    made = load_monitors([*found, EntryPoint("gone", "plugins.nowhere:Monitor", MONITORS)], Surroundings("/", tuple))

    assert [watch.name for watch in made.watches] == ["telling_gpus", "telling_load"]
    assert await made.read() == Load(cpu_percent=40.0, gpus=(GpuLoad(index="0", percent=10.0),))


async def test_one_that_cannot_tell_now_is_asked_again_and_its_gpus_are_closed_meanwhile() -> None:
    watched = monitors(cpu=Scripted(*[says(*CPU)] * 3), gpu=Scripted(says(*GPU), fails(OSError("hiccup")), says(*GPU)))

    loads = [await watched.read() for _ in range(3)]

    assert [(load.cpu_percent, len(load.gpus), load.busy) for load in loads] == [
        (40.0, 1, ()),
        (40.0, 0, ("gpu:0",)),
        (40.0, 1, ()),
    ]


async def test_one_that_breaks_is_left_out_and_the_others_go_on() -> None:
    watched = monitors(bad=Scripted(fails(ZeroDivisionError())), cpu=Scripted(says(*CPU), says(*CPU)))

    loads = [await watched.read(), await watched.read()]

    assert [watch.name for watch in watched.watches] == ["cpu"]
    assert [load.cpu_percent for load in loads] == [40.0, 40.0]


async def test_one_that_hangs_holds_up_nothing_and_is_not_asked_twice() -> None:
    goes_on = threading.Event()

    def hangs() -> Sequence[Reading]:
        goes_on.wait(30)
        return GPU

    watched = monitors(cpu=Scripted(*[says(*CPU)] * 3), gpu=Scripted(hangs))
    watched.patience_s = 0.05
    hung = [await watched.read(), await watched.read()]
    watched.patience_s = 30.0
    goes_on.set()
    heard = await watched.read()

    assert [(load.cpu_percent, load.gpus) for load in (*hung, heard)] == [
        (40.0, ()),
        (40.0, ()),
        (40.0, (GpuLoad(index="0", percent=10.0),)),
    ]


def test_what_our_own_processes_use_is_told_apart(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE) as spinning:
        monitor = LoadMonitor(Surroundings(str(tmp_path), lambda: (spinning.pid,)))
        assert spinning.stdout is not None
        spinning.stdout.readline()
        before = OwnTree().read((spinning.pid,))[spinning.pid].cpu_s
        monitor.read()
        while OwnTree().read((spinning.pid,))[spinning.pid].cpu_s < before + 0.2:
            continue  # it has worked for at least that long
        read = {reading.resource: reading for reading in monitor.read()}
        spinning.kill()

    cpu, memory, disk = read[Resource.CPU], read[Resource.MEMORY], read[Resource.DISK]
    assert 0 < cpu.own <= 100
    assert cpu.used >= cpu.own * 0.8
    assert 0 < memory.own < memory.used
    assert disk.free_bytes is not None


def test_a_tree_is_found_from_its_roots_and_strangers_are_not_in_it() -> None:
    with subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE) as child:
        tree = OwnTree()
        first, again = tree.read((os.getpid(),)), tree.read((os.getpid(),))
        child.kill()

    assert {os.getpid(), child.pid} <= first.keys()
    assert os.getppid() not in first
    assert again.keys() == first.keys()
