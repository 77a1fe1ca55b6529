"""`reelyard up`: dispatch and one engine in one terminal. Decides nothing; `client.supervise` does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

from client.errors import ClientCode, ClientError, ExitCode
from client.location import REGISTRATION_FILE, URL_FILE
from client.main import module_command
from client.options import UpOptions
from client.processes import UrlFile, spawn
from client.screen import Screen, program
from client.shell import Shell
from client.supervise import (
    DISPATCH,
    ENGINE,
    AskAgain,
    Exited,
    Fact,
    Finish,
    Instruction,
    Kill,
    Listening,
    Say,
    StartEngine,
    StopAsked,
    Supervisor,
    Terminate,
)


async def up(shell: Shell, options: UpOptions) -> int:
    fault = await Pair(shell.screen, options).run()
    if fault is not None:
        raise ClientError(ClientCode.PROCESS_DIED, fault)
    return ExitCode.DONE


class Pair:
    """The two children and the queue of facts about them."""

    def __init__(self, screen: Screen, options: UpOptions) -> None:
        self._screen, self._options = screen, options
        self._facts: asyncio.Queue[Fact] = asyncio.Queue()
        self._children: dict[str, Process] = {}
        self._supervisor = Supervisor()

    async def run(self) -> str | None:
        """Until both have ended. The fault, or None when it was wished."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._facts.put_nowait, StopAsked())
        url_file = UrlFile(self._options.data / URL_FILE)
        async with asyncio.TaskGroup() as tasks:
            await self._start(tasks, DISPATCH, self._dispatch_arguments())
            watch = tasks.create_task(self._tell_url(url_file))
            finish = await self._serve(tasks)
            watch.cancel()
        return finish.fault

    async def _serve(self, tasks: asyncio.TaskGroup) -> Finish:
        waits: list[asyncio.TimerHandle] = []
        while True:
            for instruction in self._supervisor.handle(await self._facts.get()):
                match instruction:
                    case Finish():
                        for wait in waits:
                            wait.cancel()
                        return instruction
                    case AskAgain(after_s):
                        waits.append(asyncio.get_running_loop().call_later(after_s, self._facts.put_nowait, StopAsked()))
                    case _:
                        await self._obey(instruction, tasks)

    async def _obey(self, instruction: Instruction, tasks: asyncio.TaskGroup) -> None:
        match instruction:
            case StartEngine(url):
                await self._start(tasks, ENGINE, self._engine_arguments(url))
                self._announce(url)
            case Say(text):
                self._screen.note(text)
            case Terminate(who):
                self._signal(who, signal.SIGTERM)
            case Kill(who):
                self._signal(who, signal.SIGKILL)
            case _:
                raise AssertionError(instruction)

    def _dispatch_arguments(self) -> list[str]:
        settings = [] if self._options.config is None else ["--config", str(self._options.config)]
        return ["--data", str(self._options.data), "--listen", self._options.listen, *settings]

    def _engine_arguments(self, url: str) -> list[str]:
        data: Path = self._options.data
        return ["--server", url, "--token-file", str(data / REGISTRATION_FILE), "--data", str(data / "engine")]

    async def _start(self, tasks: asyncio.TaskGroup, who: str, arguments: list[str]) -> None:
        """The children's logs go to stderr: stdout is for the one thing that a script reads."""
        child = self._children[who] = await spawn(module_command(who, arguments), output=sys.stderr.fileno())
        tasks.create_task(self._tell_exit(who, child))

    def _signal(self, who: str, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended; its Exited is on the way
            self._children[who].send_signal(number)

    async def _tell_exit(self, who: str, child: Process) -> None:
        self._facts.put_nowait(Exited(who, await child.wait()))

    async def _tell_url(self, url_file: UrlFile) -> None:
        self._facts.put_nowait(Listening(await url_file.written()))

    def _announce(self, url: str) -> None:
        self._screen.document({"url": url, "data": str(self._options.data)})
        self._screen.line(f"Reelyard listens on {url}")
        data = "" if self._options.data == Path("reelyard-data") else f" --data {self._options.data}"
        self._screen.line(f"next, in another terminal: {program()} submit my.mp4 --wait{data}")
