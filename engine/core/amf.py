"""AMF0, the values of RTMP's commands: as much of it as publishers send and read. Pure."""

from __future__ import annotations

import struct

NUMBER, BOOLEAN, STRING, OBJECT, NULL, UNDEFINED, ECMA_ARRAY, OBJECT_END, STRICT_ARRAY, DATE, LONG_STRING = (
    *(0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x08, 0x09, 0x0A, 0x0B),
    0x0C,
)
MOST_DEPTH, MOST_VALUES = 8, 1000
"""Of one message: no publisher nests deeper or sends more, and a hostile one shall not either."""

Value = None | bool | float | str | list["Value"] | dict[str, "Value"]


class Malformed(ValueError):
    """The bytes are no AMF0, or more of it than is taken."""


def decode(data: bytes) -> list[Value]:
    """All values of a message. Raises Malformed."""
    reader, values = _Reader(data), []
    try:
        while not reader.is_over:
            values.append(reader.value(0))
    except (struct.error, IndexError, UnicodeDecodeError) as broken:
        raise Malformed("a command of the publisher is malformed") from broken
    return values


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._count = data, 0, 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def value(self, depth: int) -> Value:
        self._count += 1
        if depth > MOST_DEPTH or self._count > MOST_VALUES:
            raise Malformed("a command of the publisher is too large")
        match self._number(">B"):
            case 0x00:
                return float(self._number(">d"))
            case 0x01:
                return bool(self._number(">B"))
            case 0x02:
                return self._text(">H")
            case 0x03:
                return self._fields(depth)
            case 0x05 | 0x06:
                return None
            case kind:
                return self._rarer(int(kind), depth)

    def _rarer(self, kind: int, depth: int) -> Value:
        match kind:
            case 0x08:
                self._number(">I")
                return self._fields(depth)
            case 0x0A:
                count = int(self._number(">I"))
                return [self.value(depth + 1) for _ in range(min(count, MOST_VALUES + 1))]
            case 0x0B:
                moment = float(self._number(">d"))
                self._number(">h")
                return moment
            case 0x0C:
                return self._text(">I")
            case _:
                raise Malformed("a command of the publisher holds a value of an unknown kind")

    def _fields(self, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while True:
            name = self._text(">H")
            if not name and self._data[self._at] == OBJECT_END:
                self._at += 1
                return found
            found[name] = self.value(depth + 1)

    def _number(self, form: str) -> float:
        (found,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return float(found)

    def _text(self, form: str) -> str:
        size = int(self._number(form))
        if self._at + size > len(self._data):
            raise Malformed("a command of the publisher is cut off")
        self._at += size
        return self._data[self._at - size : self._at].decode("utf-8")


def encode(*values: Value) -> bytes:
    return b"".join(map(_encoded, values))


def _encoded(value: Value) -> bytes:
    match value:
        case None:
            return bytes((NULL,))
        case bool():
            return struct.pack(">BB", BOOLEAN, value)
        case float():
            return struct.pack(">Bd", NUMBER, value)
        case str():
            return bytes((STRING,)) + _name(value)
        case list():
            return struct.pack(">BI", STRICT_ARRAY, len(value)) + encode(*value)
        case dict():
            fields = b"".join(_name(name) + _encoded(each) for name, each in value.items())
            return bytes((OBJECT,)) + fields + b"\x00\x00" + bytes((OBJECT_END,))


def _name(text: str) -> bytes:
    told = text.encode()
    return struct.pack(">H", len(told)) + told
