"""An attempt that is run again by the next engine: what its tools had ended is taken as it was, what was never begun is begun."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
import pytest

from engine.clock import SystemClock
from engine.core.attempts import key_of
from engine.core.servers import Servers
from engine.core.slots import Slot, SlotKind
from engine.shell.crash import Executing, begin, death_of_last_run
from engine.shell.fetch import Fetcher
from engine.shell.process import Tools
from engine.shell.remote import RemoteInputs
from engine.shell.runner import Runner
from engine.shell.scratch import Scratch
from engine.shell.transfer import Transfer
from protocol.capabilities import PluginDescription
from protocol.leases import Complete, Fail, Grant
from protocol.plugins import Conclusion, Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import NoopRecipe
from protocol.results import AttemptResult, Failure, StepReport
from protocol.states import StepState, TaskKind

pytestmark = pytest.mark.integration

NOTES = "import sys; open('ran', 'a').write(sys.argv[1] + ' '); print(sys.argv[1], flush=True)"
WAITS = NOTES + "\nimport os, time\nwhile not os.path.exists('go'): time.sleep(0.01)"


class InTurns:
    """Runs three tools, one after the other, the second of which waits; `crash_in` has its own code end the process."""

    name = "turns"
    operations: tuple[str, ...] = (TaskKind.NOOP,)

    def __init__(self, crash_in: str = "") -> None:
        self.crash_in = crash_in

    def probes(self, directory: str) -> Sequence[Invocation]:
        return ()

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        return PluginDescription(name=self.name, version="1", operations=self.operations)

    def plan(self, work: Work) -> Sequence[Invocation]:
        return (_tool("first", NOTES), _tool("second", WAITS))

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        if self.crash_in == line:
            signal.raise_signal(signal.SIGSEGV)
        return (StepReport(name="noop", state=StepState.RUNNING, progress=0.3 if line == "first" else 0.6),)

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        return None

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation]:
        return (_tool("third", NOTES),)

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion:
        return Conclusion(facts={}, result=AttemptResult())


def _tool(name: str, code: str) -> Invocation:
    argv = (sys.executable, "-I", "-S", "-c", code, name)
    return Invocation(name=name, argv=argv, streams=True, limits=Limits(wall_s=60.0))


GRANT = Grant(
    task_id="tsk_1",
    token=7,
    job_id="job_1",
    kind=TaskKind.NOOP,
    recipe=NoopRecipe(seconds=1.0),
    steps=("noop",),
    lease_s=60.0,
    estimate_s=60.0,
)
SLOT = Slot("cpu-0", SlotKind.CPU)
ENGINE = """
import asyncio, sys
from pathlib import Path
from tests.integration.test_minder_replay import engine_until_killed
asyncio.run(engine_until_killed(Path(sys.argv[1]), sys.argv[2]))
"""

BEGINS = "import sys; from pathlib import Path; from engine.shell.crash import begin; begin(Path(sys.argv[1]))"


async def attempt(root: Path, plugin: InTurns, told: list[float], executing: Executing) -> Complete | Fail:
    clock, chance = SystemClock(), random.Random(1).random
    async with aiohttp.ClientSession() as session:
        transfer = Transfer(session, Servers(["http://localhost"]), clock, chance)
        tools, remote = Tools(clock, lease_s=30.0), RemoteInputs(Fetcher(clock, chance))
        runner = Runner({"noop": plugin}, Scratch(root / "scratch"), tools, transfer, remote, executing=executing)
        return await runner.run(GRANT, SLOT, lambda steps: told.append(steps[0].progress))


async def engine_until_killed(root: Path, crash_in: str) -> None:
    print(await attempt(root, InTurns(crash_in), [], begin(root)))  # noqa: T201 - to the test that kills it


async def engine(root: Path, crash_in: str = "") -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", ENGINE, str(root), crash_in, stderr=asyncio.subprocess.DEVNULL
    )


async def fact(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not seen():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_an_engine_killed_between_two_tools_goes_on_with_the_one_that_runs(tmp_path: Path) -> None:
    ran = tmp_path / "scratch" / "tsk_1-7" / "work" / "ran"
    killed = await engine(tmp_path)
    await fact(lambda: ran.exists() and ran.read_text() == "first second ")
    killed.kill()
    await killed.wait()
    told: list[float] = []

    (ran.parent / "go").touch()
    report = await attempt(tmp_path, InTurns(), told, Executing())

    assert isinstance(report, Complete)
    assert ran.read_text() == "first second third "
    assert told == [0.3, 0.6, 0.6]


async def test_a_plugin_that_crashes_the_engine_is_named_at_the_next_start(tmp_path: Path) -> None:
    crashed = await engine(tmp_path, crash_in="second")
    assert await crashed.wait() == -signal.SIGSEGV

    death = death_of_last_run(tmp_path)
    seen_again = death_of_last_run(tmp_path)
    begun = await asyncio.create_subprocess_exec(sys.executable, "-c", BEGINS, str(tmp_path))
    assert await begun.wait() == 0

    assert death is not None
    assert (death.culprit, death.signal) == (key_of(GRANT), "Fatal Python error: Segmentation fault")
    assert seen_again == death
    assert death_of_last_run(tmp_path) is None
    await Scratch(tmp_path / "scratch").sweep([])


async def test_a_signal_from_outside_blames_nobody(tmp_path: Path) -> None:
    ran = tmp_path / "scratch" / "tsk_1-7" / "work" / "ran"
    struck = await engine(tmp_path)
    await fact(lambda: ran.exists() and ran.read_text() == "first second ")
    struck.send_signal(signal.SIGSEGV)
    await struck.wait()

    death = death_of_last_run(tmp_path)

    assert death is not None
    assert death.culprit is None
    await Scratch(tmp_path / "scratch").sweep([])
