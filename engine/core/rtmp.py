"""One publisher's RTMP connection as a machine: bytes in; answers, and the tags of FLV it publishes, out. Pure.

Nothing is taken before the stream key was shown. What this engine does not know of the protocol it passes over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.core import amf
from engine.core.rtmp_chunks import MOST_BYTES, MOST_STRANGER_BYTES, Message, Reader, Refused, written

VERSION, HANDSHAKE_BYTES = 3, 1536
ACK_BYTES = 1 << 20
WINDOW_BYTES = 2_500_000
ACKNOWLEDGE, USER_CONTROL, WINDOW_SIZE, PEER_BANDWIDTH = 3, 4, 5, 6
AUDIO, VIDEO, DATA, COMMAND, COMMAND_3, AGGREGATE = 8, 9, 18, 20, 17, 22
MOST_COMMANDS, MOST_PARTS = 200, 4096
"""Commands of a connection, each of which may cost an answer, and tags of an aggregate: publishers send a dozen of either."""

APP = "live"
"""The application's name in the address: `rtmp://host:port/live/<key>`."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of FLV: `kind` as in RTMP, `moment` in milliseconds modulo 2**32."""

    kind: int
    moment: int
    content: bytes


@dataclass(slots=True)
class Heard:
    """What came of some bytes: what to answer, what was published, and whether the publisher has said that it ends."""

    answers: bytes = b""
    tags: list[Tag] = field(default_factory=list)
    is_over: bool = False


class Publisher:
    """`accepts` says whether a key is the right one."""

    def __init__(self, accepts: Callable[[str], bool]) -> None:
        self._accepts = accepts
        self._reader, self._waiting = Reader(), bytearray()
        self._greeted, self._received, self._acknowledged, self._commands = 0, 0, 0, 0
        self.is_publishing = False

    def read(self, data: bytes) -> Heard:
        """Raises Refused where the connection is to be closed; what was answered before that is lost with it."""
        heard = Heard()
        if not self.is_publishing and self._received > 2 * HANDSHAKE_BYTES + MOST_STRANGER_BYTES:
            raise Refused("much was said, and no key shown")
        self._received += len(data)
        if self._greeted < 2:
            data = self._greet(data, heard)
        try:
            for message in self._reader.read(data) if data else ():
                self._take(message, heard)
        except amf.Malformed as malformed:
            raise Refused(str(malformed)) from malformed
        if self._received - self._acknowledged >= ACK_BYTES:
            self._acknowledged = self._received
            heard.answers += written(ACKNOWLEDGE, (self._received & 0xFFFFFFFF).to_bytes(4, "big"), chunks=2)
        return heard

    def _greet(self, data: bytes, heard: Heard) -> bytes:
        """The handshake: version and 1536 bytes each way, echoed. What lies behind it is given back."""
        self._waiting += data
        if self._greeted == 0 and len(self._waiting) > HANDSHAKE_BYTES:
            if self._waiting[0] != VERSION:
                raise Refused("this is not RTMP")
            first = bytes(self._waiting[1 : 1 + HANDSHAKE_BYTES])
            heard.answers += bytes((VERSION,)) + bytes(HANDSHAKE_BYTES) + first
            del self._waiting[: 1 + HANDSHAKE_BYTES]
            self._greeted = 1
        if self._greeted == 1 and len(self._waiting) >= HANDSHAKE_BYTES:
            rest = bytes(self._waiting[HANDSHAKE_BYTES:])
            self._waiting.clear()
            self._greeted = 2
            return rest
        return b""

    def _take(self, message: Message, heard: Heard) -> None:
        match message.kind:
            case 8 | 9 | 18:
                if not self.is_publishing:
                    raise Refused("media before a key was shown")
                if message.kind != DATA:
                    heard.tags.append(Tag(message.kind, message.moment, message.content))
            case 22 if self.is_publishing:
                heard.tags += _parts(message)
            case 20 | 17:
                content = message.content[1:] if message.kind == COMMAND_3 else message.content
                self._obey(amf.decode(content), message.stream, heard)
            case _:
                return

    def _obey(self, command: list[amf.Value], stream: int, heard: Heard) -> None:
        self._commands += 1
        if self._commands > MOST_COMMANDS:
            raise Refused("more commands than a publisher has to give")
        name, number = (*command, None, None)[:2]
        number = number if isinstance(number, float) else 0.0
        match name:
            case "connect":
                heard.answers += _greeting() + _command("_result", number, *_CONNECTED)
            case "createStream":
                heard.answers += _command("_result", number, None, 1.0)
            case "publish":
                self._publish(command, stream, heard)
            case "FCUnpublish" | "deleteStream" | "closeStream":
                heard.is_over = heard.is_over or self.is_publishing
            case "releaseStream" | "FCPublish":
                heard.answers += _command("_result", number, None, None)
            case _:
                return

    def _publish(self, command: list[amf.Value], stream: int, heard: Heard) -> None:
        key = command[3] if len(command) > 3 else None
        if not isinstance(key, str) or not self._accepts(key.partition("?")[0]):
            raise Refused("the stream key is not the right one, or somebody publishes already")
        self.is_publishing, self._reader.most = True, MOST_BYTES
        told: amf.Value = {"level": "status", "code": "NetStream.Publish.Start", "description": "Publishing."}
        heard.answers += _command("onStatus", 0.0, None, told, stream=stream)


_CONNECTED: tuple[amf.Value, amf.Value] = (
    {"fmsVer": "FMS/3,5,7,7009", "capabilities": 31.0},
    {"level": "status", "code": "NetConnection.Connect.Success", "description": "Connected.", "objectEncoding": 0.0},
)


def _greeting() -> bytes:
    size = WINDOW_BYTES.to_bytes(4, "big")
    return written(WINDOW_SIZE, size, chunks=2) + written(PEER_BANDWIDTH, size + b"\x02", chunks=2)


def _command(name: str, number: float, *values: amf.Value, stream: int = 0) -> bytes:
    return written(COMMAND, amf.encode(name, number, *values), stream=stream)


def _parts(message: Message) -> list[Tag]:
    """An aggregate holds tags as FLV has them; their moments count from that of the first. Raises Refused."""
    found: list[Tag] = []
    content, at, first = message.content, 0, None
    while at + 11 <= len(content):
        size = int.from_bytes(content[at + 1 : at + 4], "big")
        moment = int.from_bytes(content[at + 4 : at + 7], "big") | content[at + 7] << 24
        first = moment if first is None else first
        body = content[at + 11 : at + 11 + size]
        if content[at] in (AUDIO, VIDEO) and 0 < size == len(body):
            if len(found) == MOST_PARTS:
                raise Refused("an aggregate of more tags than are taken")
            found.append(Tag(content[at], (message.moment + moment - first) & 0xFFFFFFFF, body))
        at += 11 + size + 4
    return found
