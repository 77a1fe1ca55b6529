"""An asyncio loop on virtual time: when nothing is ready, its clock jumps to the next timer. Nothing here sleeps.

For code that waits only on futures and timers: no threads, no sockets. When neither is left the run is stuck, and says so.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Nothing is ready and no timer is set: on a real clock this would wait for ever."""


class _VirtualSelector(selectors.BaseSelector):
    """Watches nothing. Being asked to wait is how the loop tells that nothing is ready, and for how long."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}  # whatever asyncio registers: a file object or a number

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # signature of the base
        descriptor = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, descriptor, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # signature of the base
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self.now += max(timeout, 0.0)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:  # signature of the base
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and moves only by jumps to timers."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)
        # A timer computed as now + delay may round to just behind now; with the default 1 ns resolution the loop then
        # asks to wait for a span that does not move a large clock.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._virtual.now


class VirtualClock:
    """The Clock port on the running loop: `now` starts at `epoch`, both advance with virtual time."""

    def __init__(self, epoch: float = 1_800_000_000.0) -> None:
        self._epoch = epoch

    def now(self) -> float:
        return self._epoch + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a new loop. Raises Stuck when it would wait for ever; what is left is cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
