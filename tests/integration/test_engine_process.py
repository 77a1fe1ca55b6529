"""The engine as a process, against HTTP: it works, drains, survives kill -9, and takes its tools with it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from protocol.leases import Complete, Grant, Order, Release
from protocol.recipes import NoopRecipe
from protocol.states import EngineState, TaskKind
from tests.farm import NEVER_BUSY
from tests.integration.engine_dispatch import Dispatch, serving

pytestmark = pytest.mark.integration


def noop(n: int, seconds: float = 0.0) -> Grant:
    return Grant(
        task_id=f"tsk_{n}",
        token=n,
        job_id=f"job_{n}",
        kind=TaskKind.NOOP,
        recipe=NoopRecipe(seconds=seconds),
        steps=("noop",),
        lease_s=60.0,
        estimate_s=seconds,
    )


@dataclass
class Engine:
    process: asyncio.subprocess.Process

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def exit_code(self) -> int:
        async with asyncio.timeout(60):
            return await self.process.wait()

    def tools(self) -> list[psutil.Process]:
        return [child for child in psutil.Process(self.process.pid).children(recursive=True) if _is_sleep(child)]


def _is_sleep(process: psutil.Process) -> bool:
    try:
        return process.name() == "sleep"
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def engine(data: Path, url: str, *more: str) -> AsyncIterator[Engine]:
    token = data.parent / "token"
    token.write_text("token")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "engine",
        "--server",
        url,
        "--data",
        str(data),
        "--name",
        "box",
        "--token-file",
        str(token),
        *more,
        env={"PATH": os.defpath, **NEVER_BUSY},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Engine(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not fact():  # noqa: ASYNC110 - a fact about another process can only be looked at
            await asyncio.sleep(0.01)


@pytest.fixture
async def dispatch() -> AsyncIterator[Dispatch]:
    async with serving(Dispatch()) as running:
        yield running


async def test_tasks_are_worked_off_and_a_signal_drains_the_engine(dispatch: Dispatch, tmp_path: Path) -> None:
    dispatch.tasks = [noop(n) for n in range(1, 31)]
    async with engine(tmp_path / "data", dispatch.url, "--slots", "4") as box:
        await dispatch.told(lambda: len(dispatch.finals) == 30)
        box.signal(signal.SIGTERM)

        assert await box.exit_code() == 0
    assert sorted(final.token for final in dispatch.finals) == list(range(1, 31))
    assert all(isinstance(final, Complete) for final in dispatch.finals)
    assert dispatch.goodbyes == 1
    assert dispatch.beats[-1].state is EngineState.DRAINING


async def test_what_an_engine_keeps_is_for_its_user_alone_whoever_made_the_directory(dispatch: Dispatch, tmp_path: Path) -> None:
    open_to_all = tmp_path / "data"
    open_to_all.mkdir(mode=0o755)
    async with engine(open_to_all, dispatch.url) as box:
        await dispatch.told(lambda: len(dispatch.beats) > 0)
        box.signal(signal.SIGTERM)
        await box.exit_code()

    modes = {found.name: found.stat().st_mode & 0o077 for found in open_to_all.iterdir()}
    assert (modes["engine.db"], set(modes.values())) == (0, {0})


async def test_a_second_signal_hands_running_work_back_at_once(dispatch: Dispatch, tmp_path: Path) -> None:
    dispatch.tasks = [noop(1, seconds=300)]
    async with engine(tmp_path / "data", dispatch.url) as box:
        await until(lambda: bool(box.tools()))
        box.signal(signal.SIGTERM)
        await dispatch.told(lambda: any(beat.state is EngineState.DRAINING for beat in dispatch.beats))
        box.signal(signal.SIGTERM)

        assert await box.exit_code() == 0
    assert [type(final) for final in dispatch.finals] == [Release]


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGSEGV], ids=lambda number: number.name)
async def test_a_tool_outlives_its_engine_and_the_next_one_reports_its_end(
    dispatch: Dispatch, tmp_path: Path, ended_by: signal.Signals
) -> None:
    dispatch.tasks = [noop(1, seconds=4)]
    async with engine(tmp_path / "data", dispatch.url) as first:
        await until(lambda: bool(first.tools()))
        tool = first.tools()[0]
        first.signal(ended_by)
        await first.exit_code()
        is_alive = tool.is_running()
    async with engine(tmp_path / "data", dispatch.url) as second:
        await dispatch.told(lambda: len(dispatch.finals) == 1)
        is_one_of_its_own = bool(second.tools())
        second.signal(signal.SIGTERM)
        await second.exit_code()

    assert (is_alive, is_one_of_its_own, [type(final) for final in dispatch.finals]) == (True, False, [Complete])
    assert dispatch.registrations[1].engine_id == "eng_1"
    assert [(held.task_id, held.token) for held in dispatch.registrations[1].held] == [("tsk_1", 1)]


async def test_a_cancelled_tool_is_gone_and_its_slot_used_again(dispatch: Dispatch, tmp_path: Path) -> None:
    dispatch.tasks = [noop(1, seconds=300)]
    async with engine(tmp_path / "data", dispatch.url, "--slots", "1") as box:
        await until(lambda: bool(box.tools()))
        [tool] = box.tools()
        await dispatch.order(Order(order="cancel", task_id="tsk_1", token=1))
        await dispatch.offer(noop(2))
        await dispatch.told(lambda: len(dispatch.finals) == 1)

        assert not tool.is_running()
    assert [final.token for final in dispatch.finals] == [2]


async def test_an_engine_without_a_valid_token_exits_with_code_3(dispatch: Dispatch, tmp_path: Path) -> None:
    dispatch.credentials = set()
    async with engine(tmp_path / "data", dispatch.url) as box:
        assert await box.exit_code() == 3


async def test_two_engines_cannot_share_a_data_directory(dispatch: Dispatch, tmp_path: Path) -> None:
    async with engine(tmp_path / "data", dispatch.url):
        await dispatch.told(lambda: len(dispatch.registrations) == 1)
        async with engine(tmp_path / "data", dispatch.url) as second:
            assert await second.exit_code() == 2


async def test_a_restart_of_dispatch_loses_no_work(tmp_path: Path) -> None:
    before, after = Dispatch(tasks=[noop(1, seconds=1.0)]), Dispatch(credentials={"engine-credential"})
    async with serving(before):
        port = int(before.url.rpartition(":")[2])
        running = engine(tmp_path / "data", before.url)
        box = await running.__aenter__()
        await until(lambda: bool(box.tools()))
    async with serving(after, port):
        await after.told(lambda: len(after.finals) == 1)
        await running.__aexit__(None, None, None)

    assert [type(final) for final in after.finals] == [Complete]
    assert after.registrations == []
