"""Children of the command line: none outlives it, and the address of an earlier run is not taken for this one's."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
from pathlib import Path

import psutil
import pytest

from client.processes import UrlFile

pytestmark = pytest.mark.integration

_PARENT = """
import asyncio, sys
from client.processes import spawn

async def main():
    child = await spawn([sys.executable, "-c", "import signal; signal.pause()"], output=2)
    print(child.pid, flush=True)
    await child.wait()

asyncio.run(main())
"""


async def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = os.pidfd_open(int(await parent.stdout.readline()))

    parent.send_signal(signal.SIGKILL)
    await parent.wait()

    try:
        ended, _, _ = select.select([child], [], [], 10.0)
        assert ended == [child]
    finally:
        if not ended:
            signal.pidfd_send_signal(child, signal.SIGKILL)
        os.close(child)


async def test_a_stale_address_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "dispatch.url"
    path.write_text("http://127.0.0.1:1\n")
    url_file = UrlFile(path)

    async with asyncio.TaskGroup() as tasks:
        told = tasks.create_task(url_file.written())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.shield(told)
        fresh = tmp_path / "fresh"
        fresh.write_text("http://127.0.0.1:2\n")
        fresh.replace(path)

    assert told.result() == "http://127.0.0.1:2"


async def start_up(data: Path) -> tuple[asyncio.subprocess.Process, list[psutil.Process]]:
    """`reelyard up` once it has told the next command and its engine has registered, and the processes below it."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "client", "up", "--data", str(data), "--listen", "127.0.0.1:0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stderr is not None
    assert (await child.stdout.readline()).startswith(b"Reelyard listens on http://127.0.0.1:")
    assert b" submit my.mp4 --wait" in await child.stdout.readline()
    async for line in child.stderr:
        if b"engine_registered" in line:
            break
    return child, psutil.Process(child.pid).children(recursive=True)


async def test_up_stops_the_engine_first_and_leaves_nothing(tmp_path: Path) -> None:
    child, below = await start_up(tmp_path / "data")

    child.send_signal(signal.SIGTERM)
    _, err = await child.communicate()

    assert (child.returncode, len(below) >= 2) == (0, True)
    assert psutil.wait_procs(below, timeout=10)[1] == []
    events = [json.loads(line)["event"] for line in err.decode().splitlines() if line.startswith("{")]
    assert events.index("engine_left") < events.index("stopping") < events.index("stopped")


async def test_up_that_is_killed_takes_its_children_along(tmp_path: Path) -> None:
    child, below = await start_up(tmp_path / "data")

    child.send_signal(signal.SIGKILL)
    await child.communicate()

    assert len(below) >= 2
    assert (await asyncio.to_thread(psutil.wait_procs, below, 30))[1] == []


async def test_up_stops_when_its_engine_dies_and_says_so(tmp_path: Path) -> None:
    child, below = await start_up(tmp_path / "data")

    next(process for process in below if "engine" in process.cmdline()).kill()
    _, err = await child.communicate()

    assert child.returncode == 3
    assert (
        err.decode().splitlines()[-1] == "error: PROCESS_DIED: engine ended by itself with exit code -9; its messages stand above"
    )
    assert psutil.wait_procs(below, timeout=10)[1] == []


async def test_up_that_cannot_listen_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "client", "up", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:99999",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await child.communicate()

    assert (child.returncode, out) == (3, b"")
    assert err.decode().splitlines()[-1].startswith("error: PROCESS_DIED: dispatch ended by itself with exit code ")


@pytest.mark.parametrize(("command", "module"), [("dispatch", "dispatch"), ("engine", "engine"), ("doctor", "engine")])
async def test_a_replaced_command_keeps_its_process_id(tmp_path: Path, command: str, module: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if sys.orig_argv[1:3] == ['-P', '-m']:\n"
        "    print(os.getpid(), *sys.orig_argv[3:], flush=True)\n"
        "    os._exit(7)\n"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "client", command, "--help", "--slots", "2", "x",
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await child.communicate()

    before = ["doctor"] if command == "doctor" else []
    assert (child.returncode, out.decode().split()) == (7, [str(child.pid), module, *before, "--help", "--slots", "2", "x"])
