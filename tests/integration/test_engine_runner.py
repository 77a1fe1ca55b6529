"""Whole attempts: fetch over HTTP, real tools, staging, and every way this can fail."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from engine.clock import SystemClock
from engine.core.attempts import Key
from engine.core.servers import Servers
from engine.core.slots import Slot, SlotKind
from engine.shell.fetch import Fetcher
from engine.shell.process import Tools
from engine.shell.remote import RemoteInputs
from engine.shell.runner import Runner
from engine.shell.scratch import Scratch
from engine.shell.transfer import Transfer
from protocol.capabilities import PluginDescription
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Complete, Fail, Grant, InputAccess
from protocol.plugins import Conclusion, Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import NoopRecipe
from protocol.results import AttemptResult, Failure, FileRole, OutputFacts, StagedFile, StepReport
from protocol.states import StepState, TaskKind
from tests.integration.engine_dispatch import Dispatch, serving

pytestmark = pytest.mark.integration

FACTS = OutputFacts(role=FileRole.RENDITION)
COPY = "import sys, os; data = os.read(int(sys.argv[1]), 1 << 24); open('out/made.bin', 'wb').write(data); print('half')"


@dataclass
class Copying:
    """A plugin that copies its input to an output, and can be told to misbehave."""

    name: str = "copying"
    operations: tuple[str, ...] = ("noop",)
    code: str = COPY
    break_conclusion: bool = False
    extra: dict[str, bytes] = field(default_factory=dict)
    seen: list[Outcome] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)

    def probes(self, directory: str) -> Sequence[Invocation]:
        return ()

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        return PluginDescription(name=self.name, version="1")

    def plan(self, work: Work) -> Sequence[Invocation]:
        self.works.append(work)
        argv = (sys.executable, "-I", "-S", "-c", self.code, "{fd0}")
        reads = (work.input_path or "/dev/null",)
        return (Invocation(name="copy", argv=argv, reads=reads, makes=("out",), streams=True, limits=Limits(wall_s=30.0)),)

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        return (StepReport(name="noop", state=StepState.RUNNING, progress=0.5),) if line == "half" else ()

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        self.seen.append(outcome)
        if outcome.exit_code == 0:
            return None
        return Failure(failure_class=FailureClass.ENGINE, code=ErrorCode.TOOL_FAILED, message="no", log_tail=outcome.stderr_tail)

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation]:
        return (Invocation(name="check", argv=("/bin/cat", "out/made.bin"), limits=Limits(wall_s=30.0)),)

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion:
        if self.break_conclusion:
            raise KeyError("a fault of the plugin")
        facts = dict.fromkeys([*(file.path for file in files), *self.extra], FACTS)
        return Conclusion(facts=facts, result=AttemptResult(), extra=self.extra)


@pytest.fixture
async def dispatch() -> AsyncIterator[Dispatch]:
    async with serving(Dispatch(files={"inputs/a": os.urandom(3 << 20)})) as running:
        yield running


Made = Callable[..., Runner]


@pytest.fixture
async def runner_of(dispatch: Dispatch, tmp_path: Path) -> AsyncIterator[Made]:
    async with aiohttp.ClientSession() as session:

        def make(plugin: Copying, root: Path = tmp_path, patience_s: float = 60.0) -> Runner:
            transfer = Transfer(session, Servers([dispatch.url]), SystemClock(), random.Random(1).random, patience_s)
            remote = RemoteInputs(Fetcher(SystemClock(), random.Random(1).random))
            return Runner({"noop": plugin}, Scratch(root / "scratch"), Tools(SystemClock()), transfer, remote)

        yield make


def task(dispatch: Dispatch, *, size: int | None = None) -> Grant:
    size = size if size is not None else len(dispatch.files["inputs/a"])
    return Grant(
        task_id="tsk_1",
        token=7,
        job_id="job_1",
        kind=TaskKind.NOOP,
        recipe=NoopRecipe(),
        steps=("noop",),
        lease_s=60.0,
        estimate_s=1.0,
        input=InputAccess(url="/files/s/sig.1/inputs/a", filename="a.bin", size=size),
        staging_url=f"{dispatch.url}/files/s/sig.1/staging/7",
    )


SLOT = Slot("cpu-0", SlotKind.CPU, threads=2)


def quiet(steps: tuple[StepReport, ...]) -> None:
    return


async def test_an_attempt_fetches_works_checks_stages_and_reports(dispatch: Dispatch, runner_of: Made) -> None:
    told: list[tuple[StepReport, ...]] = []
    plugin = Copying(extra={"out/list.txt": b"made.bin\n"})

    report = await runner_of(plugin).run(task(dispatch), SLOT, told.append)

    made, extra = "staging/7/out/made.bin", "staging/7/out/list.txt"
    files = (
        StagedFile(path="out/made.bin", size=3 << 20, sha256=dispatch.sha256(made), facts=FACTS),
        StagedFile(path="out/list.txt", size=9, sha256=dispatch.sha256(extra), facts=FACTS),
    )
    assert report == Complete(task_id="tsk_1", token=7, result=AttemptResult(files=files))
    assert dispatch.files[made] == dispatch.files["inputs/a"]
    assert [outcome.invocation.name for outcome in plugin.seen] == ["copy", "check"]
    assert told[0][0].progress == 0.45
    assert told[-1][0].progress == pytest.approx(0.55)


WHERE = "import os; open('out/made.bin', 'w').write(f'{os.sched_getaffinity(0)} {os.environ[\"CUDA_VISIBLE_DEVICES\"]}')"


async def test_an_attempt_works_in_its_slot(dispatch: Dispatch, runner_of: Made) -> None:
    last = max(os.sched_getaffinity(0))
    plugin = Copying(code=WHERE)

    await runner_of(plugin).run(task(dispatch), Slot("GPU:1", SlotKind.GPU, (last,), "1", threads=3), quiet)

    assert dispatch.files["staging/7/out/made.bin"].decode() == f"{ {last} } 1"
    assert [(work.threads, work.cpus, work.device) for work in plugin.works] == [(3, (last,), "1")]


async def test_a_broken_download_is_resumed_where_it_broke(dispatch: Dispatch, runner_of: Made) -> None:
    dispatch.cut_get_after = 1 << 20

    report = await runner_of(Copying()).run(task(dispatch), SLOT, quiet)

    assert isinstance(report, Complete)
    assert dispatch.files["staging/7/out/made.bin"] == dispatch.files["inputs/a"]


async def test_an_upload_whose_answer_was_lost_counts_as_done(dispatch: Dispatch, runner_of: Made) -> None:
    dispatch.break_put = lambda n: n == 1

    report = await runner_of(Copying()).run(task(dispatch), SLOT, quiet)

    assert isinstance(report, Complete)
    assert report.result.files[0].sha256 == dispatch.sha256("staging/7/out/made.bin")
    assert dispatch.puts == 2


async def test_an_input_that_is_gone_is_a_failed_transfer(dispatch: Dispatch, runner_of: Made) -> None:
    grant = task(dispatch)
    dispatch.files.clear()

    report = await runner_of(Copying()).run(grant, SLOT, quiet)

    assert isinstance(report, Fail)
    assert (report.failure.code, report.failure.failure_class) == (ErrorCode.TRANSFER_FAILED, FailureClass.INFRA)


async def test_an_input_of_another_size_is_refused(dispatch: Dispatch, runner_of: Made) -> None:
    report = await runner_of(Copying()).run(task(dispatch, size=1000), SLOT, quiet)

    assert isinstance(report, Fail)
    assert report.failure.code is ErrorCode.TRANSFER_FAILED


async def test_a_server_that_stays_away_is_given_up_in_the_end(dispatch: Dispatch, runner_of: Made) -> None:
    grant = task(dispatch).model_copy(update={"staging_url": "http://127.0.0.1:9/files/s/sig.1/staging/7"})

    report = await runner_of(Copying(), patience_s=0.2).run(grant, SLOT, quiet)

    assert isinstance(report, Fail)
    assert report.failure.code is ErrorCode.TRANSFER_FAILED


async def test_a_fault_of_a_plugin_fails_its_attempt_and_not_the_engine(dispatch: Dispatch, runner_of: Made) -> None:
    report = await runner_of(Copying(break_conclusion=True)).run(task(dispatch), SLOT, quiet)

    assert isinstance(report, Fail)
    assert (report.failure.code, report.failure.failure_class) == (ErrorCode.PLUGIN_FAILED, FailureClass.INTERNAL)


async def test_the_log_of_a_failed_tool_names_no_directory_of_this_machine(
    dispatch: Dispatch, runner_of: Made, tmp_path: Path
) -> None:
    plugin = Copying(code="import os, sys; sys.stderr.write('lost ' + os.getcwd() + '/x'); sys.exit(3)")

    report = await runner_of(plugin).run(task(dispatch), SLOT, quiet)

    assert isinstance(report, Fail)
    assert report.failure.log_tail == "lost ./x"


async def test_what_an_attempt_leaves_is_removed_when_it_is_forgotten(
    dispatch: Dispatch, runner_of: Made, tmp_path: Path
) -> None:
    runner = runner_of(Copying())
    await runner.run(task(dispatch), SLOT, quiet)
    before = sorted(path.name for path in (tmp_path / "scratch").iterdir())

    await runner.forget(Key("tsk_1", 7))

    assert (before, list((tmp_path / "scratch").iterdir())) == (["tsk_1-7"], [])


async def test_scratch_without_an_owner_is_swept(dispatch: Dispatch, runner_of: Made, tmp_path: Path) -> None:
    for name in ("tsk_1-7", "tsk_2-8", "probe-x"):
        (tmp_path / "scratch" / name / "work").mkdir(parents=True)

    await runner_of(Copying()).sweep([Key("tsk_1", 7)])

    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["tsk_1-7"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    where = tmp_path / "tiny"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(where)], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield where
    subprocess.run(["umount", str(where)], check=True)


async def test_a_disk_that_fills_up_while_fetching_is_nobodys_fault(dispatch: Dispatch, runner_of: Made, tiny_disk: Path) -> None:
    report = await runner_of(Copying(), tiny_disk).run(task(dispatch), SLOT, quiet)

    assert isinstance(report, Fail)
    assert (report.failure.code, report.failure.failure_class) == (ErrorCode.TASK_DISK, FailureClass.INFRA)


async def test_a_disk_that_fills_up_under_a_tool_is_nobodys_fault(dispatch: Dispatch, runner_of: Made, tiny_disk: Path) -> None:
    dispatch.files["inputs/a"] = b"small"
    plugin = Copying(code="open('out/made.bin', 'wb').write(bytes(4 << 20))")

    report = await runner_of(plugin, tiny_disk).run(task(dispatch), SLOT, quiet)

    assert isinstance(report, Fail)
    assert (report.failure.code, report.failure.failure_class) == (ErrorCode.TASK_DISK, FailureClass.INFRA)
    assert dispatch.puts == 0
