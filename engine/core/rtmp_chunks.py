"""RTMP's chunk stream: messages cut into chunks, put together again within limits. Pure.

After "Adobe's Real Time Messaging Protocol" 1.0, 5.3. Until a publisher has shown its key it may send very little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

FIRST_CHUNK_BYTES, MOST_CHUNK_BYTES = 128, 1 << 20
MOST_STREAMS, MOST_STRANGER_BYTES, MOST_BYTES = 64, 64 << 10, 16 << 20
"""Chunk streams of a connection; bytes of messages under way before and after the key was shown."""

SET_CHUNK_SIZE, ABORT = 1, 2
EXTENDED = 0xFFFFFF


class Refused(Exception):
    """The connection breaks the protocol or a limit, or may not publish here; it is to be closed."""


@dataclass(frozen=True, slots=True)
class Message:
    """`moment` is its time stamp in milliseconds, modulo 2**32."""

    kind: int
    stream: int
    moment: int
    content: bytes


@dataclass(slots=True)
class _Stream:
    moment: int = 0
    delta: int = 0
    length: int = 0
    kind: int = 0
    stream: int = 0
    is_extended: bool = False
    is_known: bool = False
    content: bytearray = field(default_factory=bytearray)


class Reader:
    """Bytes in, whole messages out. `most` is how many bytes of unfinished messages may lie here."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._streams: dict[int, _Stream] = {}
        self._chunk = FIRST_CHUNK_BYTES
        self.most = MOST_STRANGER_BYTES

    def read(self, data: bytes) -> Iterator[Message]:
        """Raises Refused."""
        self._buffer += data
        at = 0
        while (taken := self._chunk_at(at)) is not None:
            at, message = taken
            if message is None:
                continue
            if message.kind == SET_CHUNK_SIZE:
                self._set_chunk(message.content)
            elif message.kind == ABORT:
                self._abort(message.content)
            else:
                yield message
        del self._buffer[:at]
        if len(self._buffer) + sum(len(one.content) for one in self._streams.values()) > self.most + self._chunk:
            raise Refused("more bytes of unfinished messages than are taken")

    def _chunk_at(self, at: int) -> tuple[int, Message | None] | None:
        """The place behind the chunk at `at`, and the message it ends; None while it is not whole."""
        data, have = self._buffer, len(self._buffer)
        if at >= have:
            return None
        form, number, head = data[at] >> 6, data[at] & 63, at + 1
        if number < 2:
            more = 1 + number
            if head + more > have:
                return None
            number = 64 + int.from_bytes(data[head : head + more], "little")
            head += more
        size = (11, 7, 3, 0)[form]
        if head + size > have:
            return None
        known = self._streams.get(number)
        if known is None and (form == 3 or len(self._streams) >= MOST_STREAMS):
            raise Refused("a chunk of a stream that is not known, or too many streams")
        known = known or _Stream()
        short = int.from_bytes(data[head : head + 3], "big") if size else 0
        is_extended = short == EXTENDED if size else known.is_extended
        behind = head + size + (4 if is_extended else 0)
        length = int.from_bytes(data[head + 3 : head + 6], "big") if size >= 7 else known.length
        taken = min(self._chunk, length - len(known.content))
        if length > self.most:
            raise Refused("a message is larger than is taken")
        if behind + max(0, taken) > have:
            return None
        told = int.from_bytes(data[head + size : behind], "big") if is_extended else short
        self._begin(known, form, told, bytes(data[head : head + size]))
        known.is_extended = is_extended
        self._streams[number] = known
        known.content += data[behind : behind + max(0, taken)]
        return behind + max(0, taken), self._ended(known)

    def _begin(self, known: _Stream, form: int, told: int, head: bytes) -> None:
        """The header counts where a message begins; what goes on with one has none of its own."""
        if known.content and form == 3:
            return
        if known.content:
            raise Refused("a message begins before the one before it has ended")
        if form <= 1:
            known.length, known.kind = int.from_bytes(head[3:6], "big"), head[6]
        if form == 0:
            known.stream = int.from_bytes(head[7:11], "little")
            known.moment, known.delta = told, 0
            return
        if form < 3:
            known.delta = told
        known.moment = (known.moment + known.delta) & 0xFFFFFFFF

    def _ended(self, known: _Stream) -> Message | None:
        if len(known.content) < known.length:
            return None
        content = bytes(known.content)
        known.content.clear()
        return Message(known.kind, known.stream, known.moment, content)

    def _set_chunk(self, content: bytes) -> None:
        size = int.from_bytes(content[:4], "big")
        if len(content) < 4 or not 1 <= size <= MOST_CHUNK_BYTES:
            raise Refused("a chunk size that is not taken")
        self._chunk = size

    def _abort(self, content: bytes) -> None:
        known = self._streams.get(int.from_bytes(content[:4], "big"))
        if known is not None:
            known.content.clear()


def written(kind: int, content: bytes, *, stream: int = 0, chunks: int = 3) -> bytes:
    """A message of ours as chunks of the first size; `chunks` is the chunk stream, 2 for the protocol's own."""
    head = bytes((chunks,)) + bytes(3) + len(content).to_bytes(3, "big") + bytes((kind,)) + stream.to_bytes(4, "little")
    parts = [content[start : start + FIRST_CHUNK_BYTES] for start in range(0, len(content), FIRST_CHUNK_BYTES)] or [b""]
    return head + bytes((0xC0 | chunks,)).join(parts)
