"""What the service manager is told, by a real socket, and what it may read in the units."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.supervision import Supervision

UNITS = Path(__file__).parents[2] / "systemd"
ENGINE, DISPATCH = UNITS / "reelyard-engine@.service", UNITS / "reelyard-dispatch.service"
MOST_EXPOSED = 30
"""Tenths: 3.0 of 10."""


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service manager's end of the socket that NOTIFY_SOCKET names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield end


def test_start_and_stop_are_told(manager: socket.socket) -> None:
    supervision = Supervision(os.environ, os.getpid())

    supervision.started("taking work")
    supervision.stopping("draining")

    assert manager.recv(1000) == b"READY=1\nSTATUS=taking work"
    assert manager.recv(1000) == b"STOPPING=1\nSTATUS=draining"


async def test_the_watchdog_hears_that_the_loop_turns(manager: socket.socket) -> None:
    supervision = Supervision({**os.environ, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}, os.getpid())

    async with supervision.watched():
        heard = [await asyncio.to_thread(manager.recv, 1000) for _ in range(3)]

    assert heard == [b"WATCHDOG=1"] * 3


async def test_a_watchdog_of_another_process_is_left_alone(manager: socket.socket) -> None:
    supervision = Supervision({**os.environ, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, os.getpid())

    async with supervision.watched():
        await asyncio.to_thread(supervision.started, "taking work")

    assert manager.recv(1000) == b"READY=1\nSTATUS=taking work"
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(1000)


def test_without_a_service_manager_nothing_is_told() -> None:
    Supervision({}, os.getpid()).started("taking work")


def _settings(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_only_the_engine_is_signalled_and_only_faults_start_it_anew() -> None:
    settings = _settings(ENGINE)

    told = {name: settings[name] for name in ("Type", "KillMode", "Restart", "RestartPreventExitStatus", "Delegate")}
    assert told == {
        "Type": ["notify"],
        "KillMode": ["process"],
        "Restart": ["always"],
        "RestartPreventExitStatus": ["0 2 3"],
        "Delegate": ["cpu memory pids"],
    }


@pytest.mark.parametrize("unit", [ENGINE, DISPATCH], ids=lambda unit: unit.name)
def test_the_units_are_hardened(unit: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    argv = [tool, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", str(unit)]

    judged = subprocess.run(argv, capture_output=True, text=True, check=False)

    if "Unknown" in judged.stderr or "unrecognized" in judged.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit offline")
    assert judged.returncode == 0, judged.stdout[-300:] + judged.stderr
