"""One tool process, really run: its surroundings, its limits, its output, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine.clock import SystemClock
from engine.core.verdicts import over_limit
from engine.shell.process import Tools
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Invocation, Limits, Outcome

pytestmark = pytest.mark.integration

IGNORES_TERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
TWO_PROCESSES = (
    "import subprocess, sys; child = subprocess.Popen(['/bin/sleep', '60'], stdout=subprocess.DEVNULL,"
    " stderr=subprocess.DEVNULL); print(child.pid, flush=True); sys.exit(0)"
)


def python(code: str, *arguments: str, limits: Limits | None = None, streams: bool = False, **more: object) -> Invocation:
    argv = (sys.executable, "-I", "-S", "-c", code, *arguments)
    invocation = Invocation(name="tool", argv=argv, limits=limits or Limits(wall_s=20.0), streams=streams)
    return replace(invocation, **more)  # type: ignore[arg-type]  # fields of the record, checked by it


async def run(invocation: Invocation, directory: Path, lines: list[str] | None = None) -> Outcome:
    return await Tools(SystemClock(), nice=3).run(invocation, str(directory), (lines if lines is not None else []).append)


async def test_a_tool_sees_its_own_directory_session_and_almost_no_environment(tmp_path: Path) -> None:
    code = (
        "import os, json; mask = os.umask(0); print(json.dumps([os.getcwd(), os.getsid(0) == os.getpid(), mask,"
        " sorted(set(os.environ) - {'LC_CTYPE'}), os.nice(0), sorted(os.listdir('/proc/self/fd'))]))"
    )
    outcome = await run(python(code), tmp_path)

    cwd, is_leader, mask, names, nice, descriptors = json.loads(outcome.stdout)
    assert (cwd, is_leader, mask, names, nice) == (
        str(tmp_path),
        True,
        0o077,
        ["HOME", "LANG", "PATH"],
        psutil.Process().nice() + 3,
    )
    assert len(descriptors) <= 4


async def test_an_input_is_read_by_its_descriptor(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"secret words")
    reads = python("import os, sys; print(os.read(int(sys.argv[1]), 100).decode())", "{fd0}", reads=(str(tmp_path / "input"),))

    assert (await run(reads, tmp_path)).stdout == b"secret words\n"


async def test_lines_are_handed_on_but_for_overlong_ones_and_folders_are_made(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import os; print('one'); print('two'); print('x' * 200_000); print(os.path.isdir('a/b'), end='')"

    await run(python(code, streams=True, makes=("a/b",)), tmp_path, lines)

    assert lines == ["one", "two", "True"]


async def test_captured_output_and_the_kept_end_of_stderr_are_bounded(tmp_path: Path) -> None:
    code = "import sys; print('o' * 100_000); sys.stderr.write('e' * 300_000 + 'END')"

    outcome = await run(python(code, capture_bytes=1000), tmp_path)

    assert (len(outcome.stdout), len(outcome.stderr_tail), outcome.stderr_tail[-3:]) == (1000, 64 << 10, "END")


async def test_what_a_tool_used_is_measured(tmp_path: Path) -> None:
    outcome = await run(python("block = bytearray(80 << 20); total = sum(range(3_000_000))"), tmp_path)

    assert outcome.peak_memory_bytes > 80 << 20
    assert 0 < outcome.cpu_seconds < 20


async def test_too_much_processor_time_is_a_timeout(tmp_path: Path) -> None:
    outcome = await run(python("while True: pass", limits=Limits(cpu_s=1, wall_s=60.0)), tmp_path)

    failure = over_limit(outcome)
    assert failure is not None
    assert (failure.code, failure.failure_class) == (ErrorCode.TASK_TIMEOUT, FailureClass.ENGINE)


async def test_too_much_memory_is_named_and_counts_as_evidence(tmp_path: Path) -> None:
    code = "kept = []\nwhile True: kept.append(bytearray(1 << 20))"

    outcome = await run(python(code, limits=Limits(memory_bytes=128 << 20, wall_s=20.0)), tmp_path)

    failure = over_limit(outcome)
    assert failure is not None
    assert (failure.code, failure.is_engine_death) == (ErrorCode.TASK_MEMORY, True)
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10  # Linux counts what the child was before its exec
    assert outcome.peak_memory_bytes < max(160 << 20, ours + (1 << 20))


async def test_too_large_a_file_is_a_matter_of_disk(tmp_path: Path) -> None:
    argv = ("/bin/dd", "if=/dev/zero", "of=large", "bs=64k", "count=100")

    outcome = await run(Invocation(name="dd", argv=argv, limits=Limits(file_bytes=1 << 20, wall_s=20.0)), tmp_path)

    failure = over_limit(outcome)
    assert failure is not None
    assert failure.code is ErrorCode.TASK_DISK
    assert (tmp_path / "large").stat().st_size <= 1 << 20


async def test_a_tool_that_runs_too_long_is_stopped(tmp_path: Path) -> None:
    outcome = await run(python("import time; time.sleep(60)", limits=Limits(wall_s=0.3)), tmp_path)

    assert (outcome.timed_out, outcome.wall_seconds < 5) == (True, True)


async def test_a_tool_that_is_not_there_is_missing(tmp_path: Path) -> None:
    failure = over_limit(await run(Invocation(name="none", argv=("/nowhere/tool",)), tmp_path))

    assert failure is not None
    assert failure.code is ErrorCode.TOOL_MISSING


async def test_a_cancelled_tool_that_ignores_term_is_killed_after_five_seconds(tmp_path: Path) -> None:
    up = asyncio.Event()

    async def work() -> None:
        await Tools(SystemClock()).run(python(IGNORES_TERM, streams=True), str(tmp_path), lambda line: up.set())

    task = asyncio.get_running_loop().create_task(work())
    await up.wait()
    before = psutil.Process().children(recursive=True)
    began = SystemClock().now()
    task.cancel()
    await asyncio.wait((task,), timeout=20)

    assert task.cancelled()
    assert 4.5 < SystemClock().now() - began < 8
    assert not any(child.is_running() for child in before)


async def test_what_a_tool_leaves_behind_in_its_group_is_killed_with_it(tmp_path: Path) -> None:
    outcome = await run(python(TWO_PROCESSES), tmp_path)

    left = [process for process in psutil.process_iter() if process.pid == int(outcome.stdout)]
    _, alive = psutil.wait_procs([one for one in left if one.status() != psutil.STATUS_ZOMBIE], timeout=10)
    assert alive == []


async def test_a_fault_while_reading_a_line_ends_the_run_with_it(tmp_path: Path) -> None:
    def broken(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="one"):
        await Tools(SystemClock()).run(python("print('one')", streams=True), str(tmp_path), broken)
