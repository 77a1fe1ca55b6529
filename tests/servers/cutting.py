"""Lines to PostgreSQL: one breaks while a COMMIT is on it, before it arrives or after; one speaks TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path

BLOCK = 1 << 16
WORD = b"COMMIT"


class Cut(Enum):
    BEFORE = auto()
    """The server never sees it."""
    AFTER = auto()
    """The server's answer gets lost."""


class CuttingLine:
    """Passes connections on. `armed` says how the next COMMIT ends its line; it then disarms itself.

    With `is_last` nobody gets through any more after that.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.armed: Cut | None = None
        self.is_last = False
        self.cuts = 0
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        for one in (self._listening, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if self.is_last and self.cuts:
                near.close()
                continue
            try:
                near = self._welcome(near)
            except OSError:  # the client does not believe us
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [near, far]
            self._threads += [
                threading.Thread(target=self._forth, args=(near, far), daemon=True),
                threading.Thread(target=self._back, args=(far, near), daemon=True),
            ]
            for thread in self._threads[-2:]:
                thread.start()

    def _welcome(self, near: socket.socket) -> socket.socket:
        return near

    def _forth(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while block := near.recv(BLOCK):
                if WORD in block and self.armed is not None:
                    how, self.armed = self.armed, None
                    self._cut(how, block, near, far)
                    return
                far.sendall(block)
        _shut(near, far)

    def _cut(self, how: Cut, block: bytes, near: socket.socket, far: socket.socket) -> None:
        """The near side is gone first: the answer finds nobody."""
        self.cuts += 1
        near.shutdown(socket.SHUT_RDWR)
        if how is Cut.AFTER:
            far.sendall(block)
        far.shutdown(socket.SHUT_WR)

    def _back(self, far: socket.socket, near: socket.socket) -> None:
        with suppress(OSError):
            while block := far.recv(BLOCK):
                with suppress(OSError):
                    near.sendall(block)
        _shut(near, far)


def _shut(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting_line(target: int) -> Iterator[CuttingLine]:
    line = CuttingLine(target)
    try:
        yield line
    finally:
        line.close()


REQUEST = 8
"""Bytes of a client's first word: whether the server speaks TLS."""


class SealedLine(CuttingLine):
    """Speaks TLS with the client in the server's place, whose build cannot."""

    def __init__(self, target: int, certificate: Path, key: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        super().__init__(target)

    def _welcome(self, near: socket.socket) -> socket.socket:
        assert len(near.recv(REQUEST, socket.MSG_WAITALL)) == REQUEST
        near.sendall(b"S")
        return self._context.wrap_socket(near, server_side=True)


@contextmanager
def sealed_line(target: int, certificate: Path, key: Path) -> Iterator[SealedLine]:
    line = SealedLine(target, certificate, key)
    try:
        yield line
    finally:
        line.close()
