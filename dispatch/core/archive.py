"""A ZIP archive written from front to back: its headers and its length, known before a byte of a file is read. Pure.

Files are stored, never deflated: media does not shrink. Checksums are known only once a file has gone by, so they stand
behind it in a data descriptor (APPNOTE.TXT 6.3.10, 4.3.9). The same files give the same bytes every time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

LIMIT_32, LIMIT_16 = 0xFFFFFFFF, 0xFFFF
VERSION, VERSION_64 = 20, 45
BEHIND_THE_DATA, IN_UTF8 = 1 << 3, 1 << 11
STORED = 0
UNIX = 3 << 8
PLAIN_FILE = 0o100644 << 16
ZIP64_EXTRA = 1

LOCAL = struct.Struct("<4sHHHHHLLLHH")
CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
DESCRIPTOR, DESCRIPTOR_64 = struct.Struct("<4sLLL"), struct.Struct("<4sLQQ")
END, END_64, LOCATOR = struct.Struct("<4sHHHHLLH"), struct.Struct("<4sQHHLLQQQQ"), struct.Struct("<4sLQL")
FIRST_DOS_YEAR, LAST_DOS_YEAR = 1980, 2107


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its name in the archive, its size in bytes, and the Unix time it is told to be of."""

    name: str
    size: int
    modified: float

    @property
    def raw_name(self) -> bytes:
        return self.name.encode()

    @property
    def is_large(self) -> bool:
        """Whether its sizes need 64 bits."""
        return self.size >= LIMIT_32


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry that has been written: where it begins, and the CRC-32 of its bytes."""

    entry: Entry
    offset: int
    crc: int


def local_header(entry: Entry) -> bytes:
    """What stands before the file's bytes; its sizes and checksum are told behind them."""
    extra = struct.pack("<HHQQ", ZIP64_EXTRA, 16, 0, 0) if entry.is_large else b""
    size = LIMIT_32 if entry.is_large else 0
    time, date = _dos(entry.modified)
    name, version = entry.raw_name, VERSION_64 if entry.is_large else VERSION
    flags = BEHIND_THE_DATA | IN_UTF8
    head = LOCAL.pack(b"PK\3\4", version, flags, STORED, time, date, 0, size, size, len(name), len(extra))
    return head + name + extra


def descriptor(entry: Entry, crc: int) -> bytes:
    """What stands behind the file's bytes."""
    form = DESCRIPTOR_64 if entry.is_large else DESCRIPTOR
    return form.pack(b"PK\7\10", crc, entry.size, entry.size)


def directory(stored: Sequence[Stored], offset: int) -> Iterator[bytes]:
    """The list of all files and the end of the archive; `offset` is where it begins."""
    size = 0
    for one in stored:
        row = _central(one)
        size += len(row)
        yield row
    yield _end(len(stored), size, offset)


def length(entries: Sequence[Entry]) -> int:
    """Bytes of the whole archive."""
    offset = size = 0
    for entry in entries:
        size += len(_central(Stored(entry, offset, 0)))
        offset += _span(entry)
    return offset + size + len(_end(len(entries), size, offset))


def _span(entry: Entry) -> int:
    extra, behind = (20, DESCRIPTOR_64.size) if entry.is_large else (0, DESCRIPTOR.size)
    return LOCAL.size + len(entry.raw_name) + extra + entry.size + behind


def _central(one: Stored) -> bytes:
    entry, name = one.entry, one.entry.raw_name
    is_far = one.offset >= LIMIT_32
    large = (entry.size, entry.size) if entry.is_large else ()
    values = (*large, *((one.offset,) if is_far else ()))
    extra = struct.pack(f"<HH{len(values)}Q", ZIP64_EXTRA, 8 * len(values), *values) if values else b""
    version = VERSION_64 if values else VERSION
    size, offset = min(entry.size, LIMIT_32), min(one.offset, LIMIT_32)
    time, date = _dos(entry.modified)
    about = (UNIX | version, version, BEHIND_THE_DATA | IN_UTF8, STORED, time, date, one.crc, size, size)
    return CENTRAL.pack(b"PK\1\2", *about, len(name), len(extra), 0, 0, 0, PLAIN_FILE, offset) + name + extra


def _end(count: int, size: int, offset: int) -> bytes:
    whole = b""
    if count >= LIMIT_16 or size >= LIMIT_32 or offset >= LIMIT_32:
        version = UNIX | VERSION_64
        whole = END_64.pack(b"PK\6\6", END_64.size - 12, version, VERSION_64, 0, 0, count, count, size, offset)
        whole += LOCATOR.pack(b"PK\6\7", 0, offset + size, 1)
    few = min(count, LIMIT_16)
    return whole + END.pack(b"PK\5\6", 0, 0, few, few, min(size, LIMIT_32), min(offset, LIMIT_32), 0)


def _dos(moment: float) -> tuple[int, int]:
    """Time and date as MS-DOS has them, in UTC: two-second steps from 1980 to 2107."""
    at = datetime.fromtimestamp(moment, UTC)
    if at.year < FIRST_DOS_YEAR:
        at = datetime(FIRST_DOS_YEAR, 1, 1, tzinfo=UTC)
    elif at.year > LAST_DOS_YEAR:
        at = datetime(LAST_DOS_YEAR, 12, 31, 23, 59, 58, tzinfo=UTC)
    return at.hour << 11 | at.minute << 5 | at.second // 2, (at.year - FIRST_DOS_YEAR) << 9 | at.month << 5 | at.day
