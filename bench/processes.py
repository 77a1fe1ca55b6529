"""A real dispatch and a real engine as processes on this machine, for benches that go over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

START_S = 120.0
SECRETS = "REELYARD_DISPATCH_CLUSTER__SECRETS"
NEVER_BUSY = {
    "REELYARD_ENGINE_BUSY_CPU_PERCENT": "100",
    "REELYARD_ENGINE_BUSY_MEMORY_PERCENT": "100",
    "REELYARD_ENGINE_BUSY_IO_WAIT_PERCENT": "100",
}
"""What is measured here is not held up by what measures it."""


@dataclass(frozen=True, slots=True)
class Farm:
    """`url` and `key` are what a client needs; `data` holds the database, the logs and the first engine's directory.

    `pid` is that of dispatch.
    """

    url: str
    key: str
    data: Path
    environment: Mapping[str, str]
    pid: int

    def session(self) -> aiohttp.ClientSession:
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        return aiohttp.ClientSession(base_url=self.url, headers=headers, connector=aiohttp.TCPConnector(limit=64))

    @contextmanager
    def engine(self, name: str, slots: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """An engine in the directory `name`; drained at the end. It is not waited for."""
        token = _secrets(self.data, self.environment) / "registration.token"
        arguments = ["engine", "--server", self.url, "--data", str(self.data / name), "--name", name, "--token-file", str(token)]
        arguments += ["--slots", str(slots)] if slots else []
        process = _start(arguments, self.data / f"{name}.log", self.environment)
        try:
            yield process
        finally:
            stop(process)


@asynccontextmanager
async def farm(
    *, slots: int | None = None, settings: Mapping[str, str] | None = None, profiles: Mapping[str, str] | None = None
) -> AsyncIterator[Farm]:
    """Start both, wait until the engine is online, stop both at the end. `profiles` are TOML texts by name."""
    with tempfile.TemporaryDirectory(prefix="reelyard-bench-") as directory:
        data = Path(directory)
        (data / "profiles").mkdir()
        for name, text in (profiles or {}).items():
            (data / "profiles" / f"{name}.toml").write_text(f'name = "{name}"\n{text}\n')
        async with server(data, settings or {}) as running:
            with running.engine("engine", slots) as engine:
                await until_online(running, 1, engine)
                yield running


@asynccontextmanager
async def server(data: Path, settings: Mapping[str, str]) -> AsyncIterator[Farm]:
    """A dispatch alone, in that directory, from its start to its end."""
    environment = {**os.environ, "REELYARD_DISPATCH_LOG_LEVEL": "warning", **NEVER_BUSY, **settings}
    dispatch = _start(["dispatch", "--data", str(data), "--listen", "127.0.0.1:0"], data / "dispatch.log", environment)
    try:
        url = await _read_when_there(data / "dispatch.url", dispatch)
        key = (_secrets(data, environment) / "admin.key").read_text().strip()
        yield Farm(url, key, data, environment, dispatch.pid)
    finally:
        stop(dispatch)


def _secrets(data: Path, environment: Mapping[str, str]) -> Path:
    """Servers of one farm have them in common."""
    return Path(environment.get(SECRETS, data / "secrets"))


def _start(arguments: list[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen([sys.executable, "-m", *arguments], stdout=output, stderr=output, env=dict(environment))


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _check_alive(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise SystemExit(f"{process.args!r} ended with {process.returncode}")


async def _read_when_there(path: Path, process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        _check_alive(process)
        if (told := _content(path)) is not None:
            return told
        await asyncio.sleep(0.02)
    raise SystemExit("dispatch did not start in time")


def _content(path: Path) -> str | None:
    return path.read_text().strip() if path.exists() else None


async def until_online(running: Farm, count: int, *engines: subprocess.Popen[bytes]) -> None:
    """Until so many engines are registered."""
    until = time.monotonic() + START_S
    async with running.session() as session:
        while time.monotonic() < until:
            for engine in engines:
                _check_alive(engine)
            async with session.get("/api/v1/engines") as reply:
                if (await reply.json())["total"] >= count:
                    return
            await asyncio.sleep(0.05)
    raise SystemExit("the engines did not register in time")
