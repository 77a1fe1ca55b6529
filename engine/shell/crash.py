"""Evidence of the engine's own fatal signals: what faulthandler wrote in the run before this one, and whom it concerns."""

from __future__ import annotations

import faulthandler
import mmap
import types
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog

from engine.core.attempts import Key
from engine.core.messages import Changes, Saved
from engine.core.recovery import Death, changed, recovered
from engine.ports import Clock, LocalQueue, QueueFull

log = structlog.get_logger()
T = TypeVar("T")

NOTE, EXECUTING = "fatal.log", "executing"
MAX_NOTE = 16 << 10
NAME_BYTES = 512
RETRY_S = 1.0


class Executing:
    """Names the attempt whose code this process is executing, in memory that outlives it: a file mapped into it.

    Writing a name costs less than a microsecond, and the kernel keeps it whatever ends the process.
    """

    def __init__(self, memory: bytearray | mmap.mmap | None = None) -> None:
        self._memory = memory if memory is not None else bytearray(NAME_BYTES)

    @contextmanager
    def during(self, key: Key) -> Iterator[None]:
        """While the block runs. It may not await: others would run in it."""
        name = f"{key.task_id} {key.token}\n".encode()
        self._memory[: len(name)] = name
        try:
            yield
        finally:
            self._memory[:1] = b"\n"

    async def stepwise(self, key: Key, work: Coroutine[Any, Any, T]) -> T:  # Any: what a loop sends and gets is its own
        """Await `work`; each of its steps, from one wait to the next, counts as executing `key`."""
        return await _steps(self, key, work)


@types.coroutine
def _steps(executing: Executing, key: Key, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    thrown: BaseException | None = None
    while True:
        with executing.during(key):
            try:
                awaited = work.send(None) if thrown is None else work.throw(thrown)
            except StopIteration as done:
                result: T = done.value
                return result
        try:
            yield awaited
        except BaseException as fault:  # noqa: BLE001 - it is the work's, cancellation included, and is handed on to it
            thrown = fault
        else:
            thrown = None


def death_of_last_run(data: Path) -> Death | None:
    """None after any end but a fatal signal, kill -9 included. The note stays until `begin`."""
    note = fatal_note_of_last_run(data / NOTE)
    return None if note is None else Death(note, _named(data / EXECUTING))


def begin(data: Path) -> Executing:
    """From here on a fatal signal of this run is noted. What the run before noted is gone: it must be in the queue."""
    note_fatal_signals(data / NOTE)
    with (data / EXECUTING).open("w+b") as file:
        file.truncate(NAME_BYTES)
        return Executing(mmap.mmap(file.fileno(), NAME_BYTES))


async def take_over(queue: LocalQueue, clock: Clock, death: Death | None, *, max_starts: int) -> Saved:
    """What the queue holds, as the new run holds it and as it stands on the disk now."""
    before = await queue.load()
    after = recovered(before, death, max_starts=max_starts)
    while rows := changed(before, after):
        try:
            await queue.save(Changes(granted=rows))
        except QueueFull as full:
            log.error("local_queue_full", problem=str(full))
            await clock.sleep(RETRY_S)
        else:
            break
    return after


def fatal_note_of_last_run(path: Path) -> str | None:
    """What the last run wrote when a fatal signal ended it; None after any other end, kill -9 included."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:MAX_NOTE]
    except FileNotFoundError:
        return None
    return text if text.strip() else None


def note_fatal_signals(path: Path) -> None:
    """Empty the file, and let faulthandler write there should a fatal signal end this run."""
    file = path.open("w", encoding="utf-8")
    faulthandler.enable(file=file)  # keeps the file open for the rest of the process


def _named(path: Path) -> Key | None:
    try:
        words = path.read_bytes().partition(b"\n")[0].decode(errors="replace").split()
    except FileNotFoundError:
        return None
    return Key(words[0], int(words[1])) if len(words) == 2 and words[1].isdecimal() else None
