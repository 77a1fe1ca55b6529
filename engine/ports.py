"""What the daemon needs from the world, as small as it needs it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from engine.core.attempts import Key
from engine.core.messages import Changes, Identity, Saved
from engine.core.slots import Slot
from protocol.capabilities import Capabilities, Load, RegisterReply, RegisterRequest
from protocol.leases import Complete, Fail, Goodbye, Grant, Heartbeat, HeartbeatReply, LeaseReply, LeaseRequest
from protocol.results import StepReport


class Unreachable(Exception):
    """Dispatch did not answer: refused, cut off, or too late. What was asked may have happened or not."""


class Unsent(Unreachable):
    """There is nobody to connect to: nothing of the call has left this machine."""


class QueueFull(Exception):
    """The disk has no room for the local queue. Nothing was written; try again."""


class ScratchFull(Exception):
    """The scratch disk has no room left."""


class DispatchClient(Protocol):
    """Every call raises Unreachable, or ReelyardError with the code dispatch answered."""

    async def register(self, request: RegisterRequest, credential: str | None) -> RegisterReply: ...
    async def heartbeat(self, who: Identity, request: Heartbeat) -> HeartbeatReply: ...
    async def lease(self, who: Identity, request: LeaseRequest) -> LeaseReply: ...
    async def offline(self, who: Identity, goodbye: Goodbye) -> None: ...


class LocalQueue(Protocol):
    """Survives kill -9 and power cuts."""

    async def load(self) -> Saved: ...
    async def save(self, changes: Changes) -> None:
        """All of it, durable, or nothing and QueueFull. Saving the same again changes nothing."""
        ...


Tell = Callable[[tuple[StepReport, ...]], None]


class AttemptRunner(Protocol):
    """Runs attempts. Cancelling `run` stops the tool, and returns only when it is gone."""

    def instant(self, grant: Grant) -> Complete | Fail | None:
        """The result of work that needs no input, file or process; None for all other work."""
        ...

    async def run(self, grant: Grant, slot: Slot, tell: Tell) -> Complete | Fail: ...
    def finish(self, key: Key) -> None:
        """End the stream that the attempt receives; what came of it is its recording. Harmless for any other attempt."""
        ...

    async def forget(self, key: Key) -> None:
        """Remove what the attempt left on the scratch disk."""
        ...

    async def sweep(self, keep: Collection[Key]) -> None:
        """Remove what attempts of earlier runs left, but for those in `keep`."""
        ...


class LoadMonitor(Protocol):
    async def read(self) -> Load:
        """The load now, and what of it is over its threshold. It never takes longer than some seconds."""
        ...


class Survey(Protocol):
    async def run_once(self) -> Capabilities:
        """Prove anew what this machine can do."""
        ...


class Clock(Protocol):
    def now(self) -> float:
        """Seconds from some moment on; never runs backwards."""
        ...

    async def sleep(self, seconds: float) -> None: ...
