"""Notices what a tool must not do: open, change or list other people's files, or connect to anybody."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.ground import SECRET, Ground

IN_ACCESS, IN_OPEN, IN_ALL_CHANGES, IN_ISDIR = 0x1, 0x20, 0xFCE, 0x40000000
EVENT = struct.Struct("iIII")


class Opened:
    """The kernel's own record (inotify) of who opened or changed a file of a directory. Works whatever opens it."""

    def __init__(self, directory: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        mask = IN_OPEN | IN_ACCESS | IN_ALL_CHANGES
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(directory), mask) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def names(self) -> set[str]:
        """The files that were touched since the last call. Listing the directory does not count: it shows no content."""
        found: set[str] = set()
        while True:
            try:
                events = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                return found
            at = 0
            while at < len(events):
                _, mask, _, length = EVENT.unpack_from(events, at)
                name = events[at + EVENT.size : at + EVENT.size + length].rstrip(b"\0")
                at += EVENT.size + length
                if not mask & IN_ISDIR:
                    found.add(name.decode())

    def close(self) -> None:
        os.close(self._fd)


def digest(directory: Path) -> str:
    """Everything below a directory: names, kinds, modes, contents."""
    total = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        total.update(f"{path}\0{status.st_mode}\0{status.st_uid}\0".encode())
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


@dataclass
class Bait:
    """The listeners, and what they heard."""

    ground: Ground
    opened: Opened
    heard: list[str] = field(default_factory=list)
    _digest: str = ""

    def __post_init__(self) -> None:
        self._digest = digest(self.ground.outside)
        self.opened.names()

    def trips(self, own: str = "") -> set[str]:
        """What was done since the last call, as words: `opened`, `changed`, `connected`. `own` is a file that may be opened."""
        found = {"opened"} if self.opened.names() - {own} else set()
        if self.heard:
            found.add("connected")
            self.heard.clear()
        if digest(self.ground.outside) != self._digest:
            found.add("changed")
            self._digest = digest(self.ground.outside)
        self.opened.names()  # our own reading
        return found


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, heard: list[str]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._heard.append("udp")


@asynccontextmanager
async def baited(outside: Path) -> AsyncIterator[Bait]:
    """A furnished directory and two listeners on loopback, watched for the block."""
    heard: list[str] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append("tcp")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(heard), local_addr=("127.0.0.1", 0)
    )
    ground = Ground(outside, server.sockets[0].getsockname()[1], transport.get_extra_info("sockname")[1])
    opened = Opened(outside)
    try:
        yield Bait(ground, opened, heard)
    finally:
        opened.close()
        transport.close()
        server.close()
        await server.wait_closed()


def tells_a_secret(told: bytes) -> bool:
    return SECRET.encode() in told or SECRET.encode("utf-16-le") in told
