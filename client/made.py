"""The table of what a job made, from the `outputs` of the job as the API tells them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from client.errors import one_line
from client.table import NONE, Table, size

HEADERS = ("NAME", "RESOLUTION", "CODEC", "BITRATE", "SIZE", "PATH")
PLAIN_PARTS = frozenset({"video", "auto_generated"})  # what one expects under the name of the whole
Object = Mapping[str, JsonValue]


def made_table(outputs: Object) -> Table:
    """One line per rendition, playlist, audio file and picture."""
    rows = [row for name, entry in outputs.items() if isinstance(entry, dict) for row in _rows(name, entry)]
    return Table(HEADERS, tuple(tuple(one_line(cell) for cell in row) for row in rows))


def _rows(name: str, entry: Object) -> Iterator[tuple[str, ...]]:
    """An entry is a file itself, a stream of many, or holds such entries under names of their own."""
    if isinstance(entry.get("path"), str):
        if entry.get("size_bytes") is not None:  # the job's own description has none
            yield _row(name, entry)
        return
    if isinstance(url := entry.get("hls_url"), str):
        yield _stream(name, url, entry)
        return
    for part, inner in entry.items():
        label = name if part in PLAIN_PARTS else f"{name} {part}"
        if isinstance(inner, dict):
            yield from _rows(label, inner)
        elif isinstance(inner, list):
            for item in sorted((item for item in inner if isinstance(item, dict)), key=_position):
                yield from _rows(_label(label, item), item)


def _stream(name: str, url: str, entry: Object) -> tuple[str, ...]:
    """Segments count as one thing; the path is that of their playlist, as the stable URL ends."""
    total = entry.get("total_segments_size_bytes")
    _, _, path = url.partition("/files/")
    return (name, NONE, NONE, NONE, size(total if isinstance(total, int) else None), path or url)


def _position(item: Object) -> float:
    percent = item.get("position_percent")
    return percent if isinstance(percent, int | float) else -1


def _label(label: str, item: Object) -> str:
    percent = item.get("position_percent")
    return f"{label} {percent} %" if percent is not None else label


def _row(name: str, entry: Object) -> tuple[str, ...]:
    count = entry.get("size_bytes")
    return (
        name,
        _text(entry, "resolution"),
        _text(entry, "codec"),
        _bitrate(entry.get("bitrate")),
        size(count if isinstance(count, int) else None),
        _text(entry, "path"),
    )


def _text(entry: Object, name: str) -> str:
    value = entry.get(name)
    return NONE if value is None else str(value)


def _bitrate(value: JsonValue) -> str:
    """Bits per second for people, by thousands."""
    return f"{value / 1000:.0f} kb/s" if isinstance(value, int | float) and value else NONE
