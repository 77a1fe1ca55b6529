"""Each limit on a task, broken by a real tool at each tier, and the code that the job gets for it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.core.verdicts import over_limit
from engine.shell.process import Tools
from engine.shell.sandbox import at_tier
from engine.shell.sandbox_check import SandboxCheck, python_files
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Invocation, Limits, Outcome
from protocol.results import Failure

MIB = 1 << 20


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str | None]:
    check = SandboxCheck(lambda tried: Tools(SystemClock(), confinement=tried.of), tmp_path_factory.mktemp("trials"))

    async def tried() -> dict[int, str | None]:
        return {tier: (await check.run_once(tier)).problem for tier in (1, 2, 3)}

    return asyncio.run(tried())


@pytest.fixture(params=(1, 2, 3))
def tier(request: pytest.FixtureRequest, problems: dict[int, str | None]) -> int:
    chosen: int = request.param
    if problems[chosen] is not None:
        pytest.skip(f"tier {chosen}: {problems[chosen]}")
    return chosen


async def ended(script: str, limits: Limits, tier: int, directory: Path) -> Outcome:
    work = directory / "work"
    work.mkdir()
    argv = (sys.executable, "-I", "-S", "-B", "-c", script)
    invocation = Invocation(name="breaker", argv=argv, readable=tuple(python_files()), limits=limits)
    return await Tools(SystemClock(), confinement=at_tier(tier).of).run(invocation, str(work), lambda line: None)


def told(failure: Failure | None) -> tuple[ErrorCode, FailureClass, bool] | None:
    return None if failure is None else (failure.code, failure.failure_class, failure.is_engine_death)


async def test_running_too_long(tier: int, tmp_path: Path) -> None:
    outcome = await ended("import signal; signal.pause()", Limits(wall_s=0.5), tier, tmp_path)

    assert told(over_limit(outcome)) == (ErrorCode.TASK_TIMEOUT, FailureClass.ENGINE, False)


async def test_too_much_processor_time(tier: int, tmp_path: Path) -> None:
    outcome = await ended("while True: pass", Limits(wall_s=60.0, cpu_s=1), tier, tmp_path)

    assert told(over_limit(outcome)) == (ErrorCode.TASK_TIMEOUT, FailureClass.ENGINE, False)


async def test_too_much_memory_is_evidence_against_the_task(tier: int, tmp_path: Path) -> None:
    script = "kept = []\nwhile True: kept.append(bytes(4 << 20).replace(b'\\0', b'1'))"

    outcome = await ended(script, Limits(wall_s=60.0, memory_bytes=128 * MIB), tier, tmp_path)

    assert told(over_limit(outcome)) == (ErrorCode.TASK_MEMORY, FailureClass.ENGINE, True)
    assert outcome.peak_memory_bytes < 192 * MIB


WRITES = """
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
number = os.open("big", os.O_WRONLY | os.O_CREAT)
while True: os.write(number, bytes(1 << 18))
"""


SHARED = """
import mmap, signal
kept = mmap.mmap(-1, 256 << 20)
for at in range(0, len(kept), 4096): kept[at] = 1
signal.pause()
"""
TOGETHER = """
import os, signal
for _ in range(4):
    if os.fork() == 0:
        kept = b"1" * (64 << 20)
        signal.pause()
signal.pause()
"""


@pytest.mark.parametrize("script", [SHARED, TOGETHER], ids=["shared", "together"])
async def test_too_much_memory_that_no_single_limit_of_the_kernel_sees(script: str, tier: int, tmp_path: Path) -> None:
    outcome = await ended(script, Limits(wall_s=60.0, memory_bytes=128 * MIB), tier, tmp_path)

    assert told(over_limit(outcome)) == (ErrorCode.TASK_MEMORY, FailureClass.ENGINE, True)


FORKED = """
import os
kept = b"1" * (80 << 20)
for _ in range(3):
    if os.fork() == 0:
        import time; time.sleep(1.5); os._exit(0)
for _ in range(3): os.wait()
"""


async def test_what_processes_share_counts_once(tmp_path: Path) -> None:
    outcome = await ended(FORKED, Limits(wall_s=60.0, memory_bytes=128 * MIB), 1, tmp_path)

    assert (outcome.exit_code, over_limit(outcome)) == (0, None)


async def test_too_large_a_file(tier: int, tmp_path: Path) -> None:
    outcome = await ended(WRITES, Limits(wall_s=60.0, file_bytes=MIB), tier, tmp_path)

    assert told(over_limit(outcome)) == (ErrorCode.TASK_DISK, FailureClass.ENGINE, False)
    assert (tmp_path / "work" / "big").stat().st_size == MIB


async def test_too_much_scratch_in_many_files(tier: int, tmp_path: Path) -> None:
    script = "import signal\nfor n in range(8): open(f'part{n}', 'wb').write(bytes(1 << 20))\nsignal.pause()"

    outcome = await ended(script, Limits(wall_s=60.0, scratch_bytes=4 * MIB), tier, tmp_path)

    assert told(over_limit(outcome)) == (ErrorCode.TASK_DISK, FailureClass.ENGINE, False)


REMOVED = """
import os, signal
number = os.open("big", os.O_RDWR | os.O_CREAT)
os.unlink("big")
for _ in range(8): os.write(number, bytes(1 << 20))
"""
MAPPED = """
import mmap
os.ftruncate(number, 8 << 20)
kept = mmap.mmap(number, 8 << 20)
os.close(number)
"""
DEEP = """
import os, signal
for _ in range(180): os.mkdir("deep" * 6); os.chdir("deep" * 6)
for n in range(8): open(f"part{n}", "wb").write(bytes(1 << 20))
"""
WAITS = "signal.pause()"


async def test_too_much_scratch_that_has_no_name(tier: int, tmp_path: Path) -> None:
    outcome = await ended(REMOVED + WAITS, Limits(wall_s=20.0, scratch_bytes=4 * MIB), tier, tmp_path)

    assert told(over_limit(outcome)) == (ErrorCode.TASK_DISK, FailureClass.ENGINE, False)


@pytest.mark.parametrize("script", [REMOVED + MAPPED, DEEP], ids=["mapped", "deep"])
async def test_too_much_scratch_that_is_hard_to_find(script: str, tmp_path: Path) -> None:
    outcome = await ended(script + WAITS, Limits(wall_s=20.0, scratch_bytes=4 * MIB), 1, tmp_path)

    assert told(over_limit(outcome)) == (ErrorCode.TASK_DISK, FailureClass.ENGINE, False)


OPENED = """
import os, signal
number = os.memfd_create("x")
for _ in range(64): os.write(number, bytes(1 << 20))
signal.pause()
"""


async def test_too_much_memory_that_is_open_and_not_mapped(tier: int, tmp_path: Path) -> None:
    outcome = await ended(OPENED, Limits(wall_s=20.0, memory_bytes=48 * MIB, file_bytes=128 * MIB), tier, tmp_path)

    assert told(over_limit(outcome)) == (ErrorCode.TASK_MEMORY, FailureClass.ENGINE, True)


FORKS = "import os, signal\nfor _ in range(40):\n    if os.fork() == 0: signal.pause()\nsignal.pause()"
ORPHANS = """
import os, signal
for _ in range(40):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: signal.pause()
        os._exit(0)
    os.wait()
signal.pause()
"""


@pytest.mark.parametrize("script", [FORKS, ORPHANS], ids=["children", "orphans"])
async def test_too_many_processes(script: str, tier: int, tmp_path: Path) -> None:
    outcome = await ended(script, Limits(wall_s=60.0, pids=16), tier, tmp_path)

    assert told(over_limit(outcome)) == (ErrorCode.TOOL_FAILED, FailureClass.ENGINE, False)


async def test_too_many_open_files(tier: int, tmp_path: Path) -> None:
    script = "import os\ntry:\n    while True: os.dup(0)\nexcept OSError as fault: print(fault.errno)"

    outcome = await ended(script, Limits(wall_s=60.0, open_files=64), tier, tmp_path)

    assert outcome.stdout == b"24\n"
