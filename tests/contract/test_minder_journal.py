"""A tool and its minder when engines come and go: real processes, killed with kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.minder import minding, usage
from engine.minder.spec import BEGUN, SPEC, Spec
from engine.shell.journal import Begun, ToolLost
from engine.shell.scratch import Scratch
from protocol.plugins import Limit, Limits
from tests.contract.minder_tools import TICKS, fact, is_gone, journal_of, killed_while_it_ran, lives, python, run, tools, work


def unheard(line: str) -> None:
    """What it says is not of interest."""


FINISHES = (
    "import os, sys, time\nopen('begun', 'a').write('once ')\nprint('up', flush=True)\n"
    "while not os.path.exists('go'): time.sleep(0.01)\nprint('down', flush=True)\nsys.stderr.write('last words')\nsys.exit(7)"
)
FLEES = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("fled", "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
os.wait()
while not os.path.exists("fled"): time.sleep(0.01)
print("up", flush=True)
"""
STAYS = FLEES + "time.sleep(60)"


def _killing(directory: Path) -> Callable[[str], None]:
    """Kills the minder as soon as the tool says something."""

    def strike(line: str) -> None:
        begun = journal_of(directory).begun()
        if begun is not None and lives(begun.minder):
            os.kill(begun.minder, signal.SIGKILL)

    return strike


async def test_a_tool_outlives_its_engine_and_the_next_one_gets_its_end_and_what_it_says(tmp_path: Path) -> None:
    directory = work(tmp_path)
    begun = await killed_while_it_ran(directory, FINISHES, lease_s=30.0)
    lines: list[str] = []

    (directory / "go").touch()
    outcome = await run(30.0, directory, python(FINISHES), lines)

    assert (outcome.exit_code, outcome.stderr_tail, lines) == (7, "last words", ["up", "down"])
    assert (directory / "begun").read_text() == "once "
    assert await is_gone(begun)


async def test_an_end_that_no_engine_saw_is_found_in_the_journal_by_any_number_of_engines(tmp_path: Path) -> None:
    directory = work(tmp_path)
    await killed_while_it_ran(directory, FINISHES, lease_s=30.0)
    (directory / "go").touch()
    await fact(lambda: journal_of(directory).end() is not None)

    lines: list[str] = []
    found = [await run(30.0, directory, python(FINISHES), lines) for _ in range(2)]

    assert [outcome.exit_code for outcome in found] == [7, 7]
    assert (lines, (directory / "begun").read_text()) == (["up", "down"] * 2, "once ")


async def test_a_tool_that_no_engine_comes_back_to_is_gone_after_a_lease(tmp_path: Path) -> None:
    directory = work(tmp_path)
    begun = await killed_while_it_ran(directory, TICKS, lease_s=0.5)

    await fact(lambda: not lives(begun.tool) and not lives(begun.minder), within_s=3.0)

    with pytest.raises(ToolLost, match="No engine came back"):
        await run(0.5, directory, python(TICKS))


async def test_a_killed_minder_takes_its_tool_with_it_and_the_tool_is_not_begun_again(tmp_path: Path) -> None:
    directory = work(tmp_path)
    begun = await killed_while_it_ran(directory, TICKS, lease_s=30.0)

    os.kill(begun.minder, signal.SIGKILL)
    await fact(lambda: not lives(begun.tool), within_s=3.0)

    with pytest.raises(ToolLost, match="minder of the tool was killed") as lost:
        await run(30.0, directory, python(TICKS))
    assert lost.value.evidence["minder"] == str(begun.minder)


async def test_a_minder_killed_under_an_engine_ends_the_run_at_once(tmp_path: Path) -> None:
    directory = work(tmp_path)

    with pytest.raises(ToolLost):
        await tools(30.0).run(python(TICKS), str(directory), _killing(directory), None, journal_of(directory).folder)
    begun = journal_of(directory).begun()
    assert begun is not None
    await fact(lambda: not lives(begun.tool), within_s=3.0)


async def test_after_a_restart_of_the_machine_nothing_in_the_journal_is_believed(tmp_path: Path) -> None:
    directory = work(tmp_path)
    begun = await killed_while_it_ran(directory, FINISHES, lease_s=30.0)
    os.kill(begun.minder, signal.SIGKILL)
    await fact(lambda: not lives(begun.minder))

    with pytest.raises(ToolLost, match="machine restarted"):
        await tools(30.0, boot="another-boot").run(python(FINISHES), str(directory), unheard, None, journal_of(directory).folder)


async def test_a_tool_that_is_not_what_would_be_run_now_is_ended_and_reported(tmp_path: Path) -> None:
    directory = work(tmp_path)
    begun = await killed_while_it_ran(directory, TICKS, lease_s=30.0)

    with pytest.raises(ToolLost, match="not the one"):
        await run(30.0, directory, python("print('other words')"))

    assert await is_gone(begun)


async def test_scratch_without_an_owner_goes_with_the_tools_that_run_in_it(tmp_path: Path) -> None:
    base = tmp_path / "scratch" / "tsk_1-1"
    base.mkdir(parents=True)
    begun = await killed_while_it_ran(work(base), TICKS, lease_s=30.0)

    await Scratch(tmp_path / "scratch").sweep([])

    assert (await is_gone(begun), list((tmp_path / "scratch").iterdir())) == (True, [])


@pytest.mark.parametrize("ends", ["by itself", "after a lease", "with its minder", "with its minder, found by the next engine"])
async def test_what_fled_from_the_tools_session_is_gone_too(tmp_path: Path, ends: str) -> None:
    directory = work(tmp_path)
    if ends == "by itself":
        await run(0.0, directory, python(FLEES))
    elif ends == "with its minder":
        with pytest.raises(ToolLost):
            await tools(30.0).run(python(STAYS), str(directory), _killing(directory), None, journal_of(directory).folder)
    else:
        begun = await killed_while_it_ran(directory, STAYS, lease_s=0.3 if ends == "after a lease" else 30.0)
        if ends != "after a lease":
            os.kill(begun.minder, signal.SIGKILL)
        await fact(lambda: not lives(begun.minder))
        with pytest.raises(ToolLost):
            await run(30.0, directory, python(STAYS))

    await fact(lambda: not lives(int((directory / "fled").read_text())), within_s=2.0)


@pytest.mark.parametrize("boot", ["another run of the machine", usage.machine_run()])
def test_who_has_the_number_of_an_earlier_tool_now_is_left_alone(tmp_path: Path, boot: str) -> None:
    journal = journal_of(work(tmp_path))
    journal.folder.mkdir(parents=True)
    with subprocess.Popen(["/bin/sleep", "30"], start_new_session=True) as bystander:
        number, since = bystander.pid, 1 if boot == usage.machine_run() else usage.started_at(bystander.pid)
        begun = Begun(minder=number, minder_start=since, tool=number, tool_start=since, boot=boot, recipe="", at=1.0)
        (journal.folder / BEGUN).write_text(json.dumps(asdict(begun)), encoding="ascii")
        (journal.folder / SPEC).write_bytes(Spec({**dict.fromkeys(Spec.__annotations__, 0), "directory": str(tmp_path)}).dumped())

        journal.dismiss()
        bystander.terminate()

    assert bystander.returncode == -signal.SIGTERM


async def test_a_stopped_tool_that_ignores_term_is_killed_within_eight_seconds(tmp_path: Path) -> None:
    directory, began = work(tmp_path), SystemClock().now()
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await run(30.0, directory, python(deaf))

    begun = journal_of(directory).begun()
    assert begun is not None
    assert await is_gone(begun)
    assert 4.5 < SystemClock().now() - began < 9.5


async def test_an_engine_in_a_hurry_kills_what_it_had_asked_to_stop(tmp_path: Path) -> None:
    directory, up = work(tmp_path), asyncio.Event()
    deaf = python("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(tools(30.0).run(deaf, str(directory), lambda line: up.set(), None, journal_of(directory).folder))
        await up.wait()
        task.cancel()
        await asyncio.sleep(0)
        began = SystemClock().now()
        task.cancel()
        await asyncio.wait((task,))

    begun = journal_of(directory).begun()
    assert begun is not None
    assert (await is_gone(begun), SystemClock().now() - began < 4.0) == (True, True)


@pytest.mark.parametrize("steps", range(6))
async def test_a_run_cancelled_as_it_begins_leaves_nothing(tmp_path: Path, steps: int) -> None:
    directory = work(tmp_path)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run(30.0, directory, python(TICKS)))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))

    begun = journal_of(directory).begun()
    assert begun is None or await is_gone(begun)


@pytest.mark.parametrize(
    ("limits", "code", "limit"),
    [
        (Limits(wall_s=0.3), "import time; time.sleep(60)", Limit.WALL),
        (Limits(wall_s=60.0, cpu_s=1), "while True: pass", Limit.CPU),
        (
            Limits(wall_s=60.0, scratch_bytes=1 << 20),
            "import time\nfor n in range(4): open(f'part{n}', 'wb').write(bytes(1 << 19))\ntime.sleep(60)",
            Limit.DISK,
        ),
        (
            Limits(wall_s=60.0, pids=8),
            "import subprocess, time\nkept = [subprocess.Popen(['/bin/sleep', '60']) for _ in range(9)]\ntime.sleep(60)",
            Limit.PIDS,
        ),
    ],
    ids=lambda value: value.value if isinstance(value, Limit) else "",
)
async def test_limits_hold_and_are_named(tmp_path: Path, limits: Limits, code: str, limit: Limit) -> None:
    outcome = await run(30.0, work(tmp_path), python(code, limits=limits))

    assert (outcome.limit, outcome.exit_code != 0) == (limit, True)


async def test_the_wall_limit_holds_while_no_engine_is_there(tmp_path: Path) -> None:
    directory = work(tmp_path)
    begun = await killed_while_it_ran(directory, TICKS, lease_s=30.0, wall_s=1.0)

    await fact(lambda: journal_of(directory).end() is not None)
    outcome = await run(30.0, directory, python(TICKS, wall_s=1.0))

    assert (outcome.limit, outcome.timed_out, lives(begun.tool)) == (Limit.WALL, True, False)


async def test_a_journal_in_a_deep_directory_is_reached_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    directory = work(deep)
    begun = await killed_while_it_ran(directory, FINISHES, lease_s=30.0)

    (directory / "go").touch()
    outcome = await run(30.0, directory, python(FINISHES))

    assert (outcome.exit_code, len(str(journal_of(directory).folder)) > 108, lives(begun.tool)) == (7, True, False)


def test_a_minder_starts_with_little() -> None:
    """What it imports decides what each tool's start costs."""
    root = str(Path(minding.__file__).parents[2])
    code = (
        f"import sys; sys.path.append({root!r}); from engine.minder import minding; "
        "print(*sorted({'json', 'socket', 'signal', 're', 'typing', 'dataclasses', 'subprocess'} & set(sys.modules)))"
    )
    words = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )

    assert words.stdout.split() == []
