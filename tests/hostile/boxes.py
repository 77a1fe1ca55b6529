"""MP4 by hand: boxes made from nothing, and fields of a real file changed where they stand."""

from __future__ import annotations

from collections.abc import Iterator

CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"mvex", b"moof", b"traf", b"udta"})


def box(kind: bytes, content: bytes = b"", *, size: int | None = None) -> bytes:
    """One box; `size` is what it says of itself, where that is a lie."""
    return (len(content) + 8 if size is None else size).to_bytes(4, "big") + kind + content


def full(kind: bytes, content: bytes = b"", *, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, bytes([version]) + flags.to_bytes(3, "big") + content)


def number(value: int, width: int = 4) -> bytes:
    return (value % (1 << 8 * width)).to_bytes(width, "big")


def walk(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of a healthy stretch: kind, begin, end."""
    while begin + 8 <= end:
        size = int.from_bytes(data[begin : begin + 4], "big")
        if size < 8 or begin + size > end:
            return
        yield data[begin + 4 : begin + 8], begin, begin + size
        begin += size


def find(data: bytes, path: str) -> tuple[tuple[int, ...], int]:
    """Where the first box of that path begins, as the begins of all boxes around it and its own, and where it ends."""
    begins: list[int] = []
    begin, end = 0, len(data)
    for kind in path.split("/"):
        found = next(one for one in walk(data, begin, end) if one[0] == kind.encode())
        begins.append(found[1])
        begin, end = found[1] + 8, found[2]
    return tuple(begins), end


def replaced(data: bytes, path: str, other: bytes) -> bytes:
    """Another box in the place of one. The boxes around it keep true sizes; the offsets of samples are moved along."""
    begins, end = find(data, path)
    grown = len(other) - (end - begins[-1])
    made = bytearray(data[: begins[-1]] + other + data[end:])
    for begin in begins[:-1]:
        made[begin : begin + 4] = number(int.from_bytes(made[begin : begin + 4], "big") + grown)
    return _moved(bytes(made), begins[0], grown)


def _moved(data: bytes, changed: int, by: int) -> bytes:
    """Add to every offset of a sample, where the samples stand behind what has grown."""
    mdat = next((begin for kind, begin, _ in walk(data, 0, len(data)) if kind == b"mdat"), 0)
    moov = next((one for one in walk(data, 0, len(data)) if one[0] == b"moov"), None)
    if mdat < changed or moov is None or by == 0:
        return data
    made = bytearray(data)
    for begin, end in tables(data, b"stco", moov[1], moov[2]):
        for at in range(begin + 16, end, 4):
            made[at : at + 4] = number(int.from_bytes(made[at : at + 4], "big") + by)
    return bytes(made)


def tables(data: bytes, wanted: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Every box of a kind, at any depth."""
    for kind, first, last in walk(data, begin, end):
        if kind == wanted:
            yield first, last
        if kind in CONTAINERS:
            yield from tables(data, wanted, first + 8, last)


def content(data: bytes, path: str) -> bytes:
    begins, end = find(data, path)
    return data[begins[-1] + 8 : end]


def patched(data: bytes, path: str, extra: bytes) -> bytes:
    """The same with `extra` at the end of a container."""
    kind = path.rpartition("/")[2].encode()
    return replaced(data, path, box(kind, content(data, path) + extra))


def set_at(data: bytes, path: str, offset: int, value: bytes) -> bytes:
    """The same with other bytes at `offset` of a box's content."""
    begins, _ = find(data, path)
    at = begins[-1] + 8 + offset
    return data[:at] + value + data[at + len(value) :]


def table(kind: bytes, count: int, entries: bytes) -> bytes:
    """A sample table that says it has `count` entries."""
    return full(kind, number(count) + entries)
