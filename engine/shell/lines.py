"""Hands on every whole line of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MAX_LINE = 64 << 10

OnLine = Callable[[str], None]


class Lines(asyncio.Protocol):
    """A line longer than 64 KiB is dropped. `fault` is what `on_line` raised; after that it is called no more."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._rest, self._is_skipping = b"", False
        self.fault: Exception | None = None
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hand_on(line)
        if len(self._rest) > MAX_LINE:
            self._rest, self._is_skipping = b"", True

    def _hand_on(self, line: bytes) -> None:
        is_whole, self._is_skipping = not self._is_skipping and len(line) <= MAX_LINE, False
        if self.fault is not None or not is_whole:
            return
        try:
            self._on_line(line.decode(errors="replace").rstrip("\r"))
        except Exception as fault:  # noqa: BLE001 - a plugin's fault ends its attempt, raised by `Tools.run`, not the event loop
            self.fault = fault

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._hand_on(self._rest)
        self.closed.set()
