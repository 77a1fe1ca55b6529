"""From one version of the engine to the next: found, tried out as a child, then run in this process's place.

The version that runs stays in charge until the next one has registered with dispatch and been heard; one that crashes,
hangs or stays silent never replaces it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import aiohttp
import structlog

from engine.core import updates
from engine.core.agent import Agent
from engine.core.messages import Register, Saved, Started
from engine.ports import Clock, DispatchClient, Unreachable
from engine.shell.releases import NotInstalled, Releases
from engine.shell.versions import Versions
from protocol.capabilities import Load
from protocol.leases import Goodbye, Heartbeat
from protocol.states import EngineState

log = structlog.get_logger()

TRIAL = "--trial"
"""The first argument of a version that is only to introduce itself to dispatch, and to leave."""

RUNS_RELEASE = "REELYARD_RUNS_RELEASE"
"""In the environment of a version that was installed by an update: which one it is."""

TRIAL_S = 120.0
EXIT_UNHEARD = 69  # EX_UNAVAILABLE: dispatch did not answer, which is no fault of the release
TERM_S = 5.0
SOON_S = 60.0


@dataclass(frozen=True, slots=True)
class Watching:
    """Looks for a release every `every_s` seconds, spread by chance so that a farm never drains as one."""

    releases: Releases
    clock: Clock
    chance: Callable[[], float]
    every_s: float

    async def run(self) -> None:
        """Returns when a version was installed that is to be tried."""
        await self.clock.sleep(min(SOON_S, self.every_s) * self.chance())
        while await self._look() is None:
            await self.clock.sleep(self.every_s * (0.5 + self.chance()))

    async def _look(self) -> str | None:
        try:
            return await self.releases.look()
        except NotInstalled as refused:
            log.warning("release_refused", why=refused.why, version=refused.version, problem=refused.detail)
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as silence:
            log.warning("release_unknown", problem=str(silence))
        return None


def chosen(versions: Versions, own: str, environ: Mapping[str, str]) -> str | None:
    """The installed version that is to run instead of this one; None for this one. Counts the start."""
    if RUNS_RELEASE in environ:
        return None
    known = versions.state()
    state = updates.at_start(known, own)
    if state != known:
        versions.save(state)
    if state.bad.keys() - known.bad.keys():
        log.error("release_given_up", version=known.current, runs=state.current or own)
    return state.current if state.current is not None and versions.has(state.current) else None


def heard(versions: Versions) -> None:
    """Dispatch has answered this run: the version that runs is good."""
    state = versions.state()
    if state.starts:
        versions.save(updates.reported(state))


async def tried(versions: Versions, argv: Sequence[str], limit_s: float = TRIAL_S) -> None:
    """Whether the version that waits registers with dispatch and is answered within `limit_s`: remembered in the state."""
    began = versions.state()
    version = began.waiting
    if version is None or not versions.has(version):
        return
    environ = _environ(os.environ, versions, version)
    process = await asyncio.create_subprocess_exec(*_command([TRIAL, *argv]), env=environ, start_new_session=True)
    try:
        async with asyncio.timeout(limit_s):
            code = await process.wait()
        why = f"its trial ended with exit code {code}"
    except TimeoutError:
        code, why = None, f"it did not report to dispatch within {limit_s:.0f} s"
    finally:
        await _ended(process)
    if code == EXIT_UNHEARD:
        log.warning("release_not_tried", version=version, problem="dispatch did not answer")
    elif code != 0:
        log.error("release_rolled_back", version=version, problem=why)
        versions.save(updates.rejected(began, version, why))
    else:
        log.info("release_accepted", version=version)
        versions.save(updates.accepted(began, version, os.environ.get(RUNS_RELEASE, "")))


async def introduce(client: DispatchClient, agent: Agent, saved: Saved) -> None:
    """What a trial proves: this version starts, finds its tools, and is understood by dispatch. Raises Unreachable."""
    if saved.identity is None:
        raise Unreachable("this engine was never registered")
    asked = next(one for one in agent.handle(Started()) if isinstance(one, Register))
    await client.register(asked.request, asked.credential)
    boot_id, slots = asked.request.boot_id, asked.request.slots
    beat = Heartbeat(boot_id=boot_id, state=EngineState.DRAINING, load=Load(), slots=slots)
    await client.heartbeat(saved.identity, beat)
    await client.offline(saved.identity, Goodbye(boot_id=boot_id))


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Its whole session is gone when this returns."""
    for number, patience_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            async with asyncio.timeout(patience_s):
                await process.wait()
        except TimeoutError:
            continue
    await process.wait()


def become(versions: Versions, version: str | None, argv: Sequence[str]) -> NoReturn:
    """Run that version, or with None the one of the machine's own package, in this very process."""
    command = _command(argv)
    os.execve(command[0], command, _environ(os.environ, versions, version))


def _command(argv: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "engine", *argv]


def _environ(environ: Mapping[str, str], versions: Versions, version: str | None) -> dict[str, str]:
    """With the version's directory first on the path for modules, and that of an earlier one gone from there."""
    runs = environ.get(RUNS_RELEASE)
    paths = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if runs is not None:
        paths = [path for path in paths if path != str(versions.place(runs))]
    kept = {name: value for name, value in environ.items() if name not in ("PYTHONPATH", RUNS_RELEASE)}
    if version is not None:
        paths.insert(0, str(versions.place(version)))
        kept[RUNS_RELEASE] = version
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)} if paths else kept
