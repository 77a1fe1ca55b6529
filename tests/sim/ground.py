"""What every part of one world shares: its chance, its clocks, its trace, and the list of broken promises."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

EPOCH = 1_800_000_000.0
MOST_STEPS = 100_000


class Clock:
    """Wall time may jump; monotonic time is the loop's. Serves dispatch and engines alike."""

    def __init__(self) -> None:
        self.jumped = 0.0

    def now(self) -> float:
        return EPOCH + asyncio.get_running_loop().time() + self.jumped

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class EngineClock:
    """The engine's Clock port: monotonic only."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Ids:
    """Ids in the order they are asked for, so that a trace can be read."""

    def __init__(self) -> None:
        self._made: Counter[str] = Counter()

    def new(self, prefix: str, now: float) -> str:
        self._made[prefix] += 1
        return f"{prefix}_{self._made[prefix]:05}"

    def secret(self) -> str:
        return self.new("secret", 0.0)


@dataclass(frozen=True, slots=True)
class Rates:
    """How likely each fault is, each time it could happen."""

    lose: float = 0.0
    repeat: float = 0.0
    delay: float = 0.0
    kill_engine: float = 0.0
    kill_dispatch: float = 0.0
    storage: float = 0.0
    queue_full: float = 0.0
    slow_commit: float = 0.0


NO_FAULTS = Rates()


class Broken(AssertionError):
    """A promise was broken; the text says which, and when."""


@dataclass(slots=True)
class Ground:
    """`rates` are set to NO_FAULTS when the world is left to heal. `count` is what hit, for the floor on faults."""

    rng: random.Random
    rates: Rates
    clock: Clock = field(default_factory=Clock)
    ids: Ids = field(default_factory=Ids)
    trace: list[tuple[object, ...]] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)
    wrongs: list[str] = field(default_factory=list)
    """Every broken promise: what raises it may stand where errors are caught, as a runner's are."""
    is_disk_slow: bool = False
    steps: int = 0
    tasks: asyncio.TaskGroup | None = None

    def hits(self, what: str, rate: float) -> bool:
        """Whether a fault happens now; counted. Asked at every step, so it also ends worlds that run in circles."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise self.broken("the world runs in circles")
        if rate <= 0.0 or self.rng.random() >= rate:
            return False
        self.count[what] += 1
        return True

    def note(self, *row: object) -> None:
        self.trace.append((round(self.time, 6), *row))

    def broken(self, promise: str) -> Broken:
        self.wrongs.append(f"at {self.time:.3f} s: {promise}")
        return Broken(self.wrongs[-1])

    @property
    def time(self) -> float:
        """True time: what the clocks of dispatch say is theirs to get wrong."""
        return asyncio.get_running_loop().time()

    def draw(self) -> float:
        """The Chance port of dispatch."""
        return self.rng.random()

    @property
    def group(self) -> asyncio.TaskGroup:
        assert self.tasks is not None
        return self.tasks

    async def pause(self, longest: float) -> None:
        """At most so many seconds, half of the times none: what waits on nothing runs on at once."""
        if self.rng.random() < 0.5:
            await asyncio.sleep(self.rng.uniform(0.0, longest))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
