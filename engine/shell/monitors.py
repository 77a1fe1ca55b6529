"""All load monitors as one: each is read in a thread of its own, so that a driver that hangs holds up nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint

import structlog

from engine.core.pressure import Pressure, Thresholds, judged, load_of
from protocol.capabilities import Load
from protocol.plugins import Reading, ResourceMonitor, Surroundings

log = structlog.get_logger()

PATIENCE_S = 2.0
"""A reading takes well under a millisecond, a sick driver seconds: what is late this time is looked at the next."""

MONITORS = "reelyard.monitors"

Heard = Sequence[Reading] | Exception


@dataclass(slots=True)
class Watch:
    """One monitor. `reading` is the answer under way; `is_silent` tells that the last one was late or refused."""

    name: str
    monitor: ResourceMonitor
    reading: asyncio.Future[Heard] | None = None
    is_silent: bool = False


@dataclass(slots=True)
class Monitors:
    """The LoadMonitor port over the plugins that could be made."""

    watches: list[Watch]
    thresholds: Thresholds = field(default_factory=Thresholds)
    pressure: Pressure = field(default_factory=Pressure)
    patience_s: float = PATIENCE_S

    async def read(self) -> Load:
        """What all of them tell now. One that fails as no monitor may is left out from then on."""
        readings: list[Reading] = []
        asked = [_ask(watch) for watch in self.watches]
        if asked:
            await asyncio.wait(asked, timeout=self.patience_s)
        for watch in tuple(self.watches):
            readings.extend(self._heard(watch))
        before, self.pressure = self.pressure, judged(self.pressure, readings, self.thresholds)
        _tell_changes(before, self.pressure)
        return load_of(readings, self.pressure)

    def _heard(self, watch: Watch) -> Sequence[Reading]:
        if watch.reading is None or not watch.reading.done():
            return _unheard(watch, "it does not answer")
        heard, watch.reading = watch.reading.result(), None
        match heard:
            case OSError():
                return _unheard(watch, str(heard))
            case Exception():
                log.error("monitor_left_out", monitor=watch.name, exc_info=heard)
                self.watches.remove(watch)
                return ()
            case _:
                if watch.is_silent:
                    log.info("monitor_heard_again", monitor=watch.name)
                    watch.is_silent = False
                return heard


def load_monitors(found: Iterable[EntryPoint], surroundings: Surroundings, thresholds: Thresholds | None = None) -> Monitors:
    """Every monitor that can be imported and made, by name. One without anything to watch is normal."""
    watches: list[Watch] = []
    for entry in sorted(found, key=lambda entry: entry.name):
        try:
            watches.append(Watch(entry.name, entry.load()(surroundings)))
        except LookupError as absent:
            log.info("monitor_absent", monitor=entry.name, reason=str(absent))
        except Exception:
            log.exception("monitor_left_out", monitor=entry.name)
    return Monitors(watches, thresholds or Thresholds())


def _ask(watch: Watch) -> asyncio.Future[Heard]:
    """The answer to come; one that is still under way is not asked for twice.

    The thread is a daemon: one that hangs in a driver does not keep the engine from leaving.
    """
    if watch.reading is None:
        loop = asyncio.get_running_loop()
        answer = watch.reading = loop.create_future()
        threading.Thread(target=_read, args=(watch.monitor, loop, answer), name=f"monitor-{watch.name}", daemon=True).start()
    return watch.reading


def _read(monitor: ResourceMonitor, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Heard]) -> None:
    heard: Heard
    try:
        heard = monitor.read()
    except Exception as fault:  # noqa: BLE001 - handed over to the loop, which judges it
        heard = fault
    try:
        loop.call_soon_threadsafe(_give, answer, heard)
    except RuntimeError:
        return  # the loop has been closed meanwhile: nobody waits any more


def _give(answer: asyncio.Future[Heard], heard: Heard) -> None:
    if not answer.done():
        answer.set_result(heard)


def _unheard(watch: Watch, problem: str) -> Sequence[Reading]:
    if not watch.is_silent:
        log.warning("monitor_silent", monitor=watch.name, problem=problem)
        watch.is_silent = True
    return ()


def _tell_changes(before: Pressure, after: Pressure) -> None:
    """One line per change, whatever the number of readings."""
    if before.busy != after.busy:
        log.info("pressure_changed", busy=after.busy)
    for device in sorted(after.gone - before.gone):
        log.warning("gpu_gone", device=device)
    if after.is_disk_warned and not before.is_disk_warned:
        log.warning("disk_nearly_full", advice="free some space: below the next watermark no work is taken")
