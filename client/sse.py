"""Server-sent events: bytes in, messages out, wherever the chunks happen to be cut. Pure."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SseMessage:
    """One dispatched event. `last_id` is the newest id seen on the stream so far, as the standard wants it."""

    event: str
    text: str
    last_id: str


@dataclass(slots=True)
class SseParser:
    """Feed it chunks; a message comes out once its empty line has come in. A half message at the end is dropped."""

    last_id: str = ""
    retry_s: float | None = None
    _decoder: codecs.IncrementalDecoder = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))
    _rest: str = ""
    _event: str = ""
    _lines: list[str] = field(default_factory=list)
    _is_fresh: bool = True

    def feed(self, chunk: bytes) -> list[SseMessage]:
        """The messages completed by this chunk, in order."""
        self._rest += self._decoder.decode(chunk)
        if self._is_fresh and self._rest:
            self._rest, self._is_fresh = self._rest.removeprefix("\ufeff"), False
        found = [self._take(line) for line in self._whole_lines()]
        return [message for message in found if message is not None]

    def _whole_lines(self) -> list[str]:
        """Lines end in LF, CR LF or CR. A CR at the very end may be half of a CR LF, so it waits for the next chunk."""
        held = "\r" if self._rest.endswith("\r") else ""
        text = self._rest[: len(self._rest) - len(held)].replace("\r\n", "\n").replace("\r", "\n")
        *lines, last = text.split("\n")
        self._rest = last + held
        return lines

    def _take(self, line: str) -> SseMessage | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._lines.append(value)
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_s = int(value) / 1000
            case _:
                pass  # a comment (empty name) or a field of a later standard
        return None

    def _dispatch(self) -> SseMessage | None:
        event, lines = self._event or "message", self._lines
        self._event, self._lines = "", []
        return SseMessage(event, "\n".join(lines), self.last_id) if lines else None
