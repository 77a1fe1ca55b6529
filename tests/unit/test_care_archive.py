"""The ZIP archive as bytes: what zipfile reads back, and lengths that are right before anything is written."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence

import pytest

from dispatch.core import archive
from dispatch.core.archive import Entry, Stored

NOON = 1_800_000_000.0


def written(files: Sequence[tuple[str, bytes]], modified: float = NOON) -> bytes:
    out, stored = bytearray(), []
    for name, content in files:
        entry = Entry(name, len(content), modified)
        stored.append(Stored(entry, len(out), zlib.crc32(content)))
        out += archive.local_header(entry) + content + archive.descriptor(entry, stored[-1].crc)
    out += b"".join(archive.directory(stored, len(out)))
    return bytes(out)


@pytest.mark.parametrize("count", [0, 1, 3, 65_534, 65_535])
def test_archive_of_many_files_reads_back_and_is_as_long_as_told(count: int) -> None:
    files = [(f"job_1/segment_{number}.ts", b"%d" % number) for number in range(count)]

    made = written(files)

    assert len(made) == archive.length([Entry(name, len(content), NOON) for name, content in files])
    with zipfile.ZipFile(io.BytesIO(made)) as read:
        assert read.namelist() == [name for name, _ in files]
        assert [read.read(name) for name, _ in files[-2:]] == [content for _, content in files[-2:]]


def test_names_beyond_ascii_are_utf8() -> None:
    with zipfile.ZipFile(io.BytesIO(written([("job_1/Größe 東京.mp4", b"x")]))) as read:
        assert read.namelist() == ["job_1/Größe 東京.mp4"]


def test_the_same_files_are_the_same_bytes_and_carry_the_jobs_moment() -> None:
    files = [("a", b"1"), ("b", b"22")]

    assert written(files) == written(files)
    with zipfile.ZipFile(io.BytesIO(written(files))) as read:
        assert {info.date_time for info in read.infolist()} == {(2027, 1, 15, 8, 0, 0)}
        assert {info.compress_type for info in read.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize(("modified", "told"), [(0.0, (1980, 1, 1, 0, 0, 0)), (1e10, (2107, 12, 31, 23, 59, 58))])
def test_a_moment_the_format_cannot_hold_is_the_nearest_it_can(modified: float, told: tuple[int, ...]) -> None:
    with zipfile.ZipFile(io.BytesIO(written([("a", b"1")], modified))) as read:
        assert read.infolist()[0].date_time == told


class Hole(io.RawIOBase):
    """A file of zeros without a disk behind them, but for the pieces given: (offset, bytes)."""

    def __init__(self, size: int, pieces: Sequence[tuple[int, bytes]]) -> None:
        self._size, self._pieces, self._at = size, pieces, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._at + size)
        made = bytearray(max(0, end - self._at))
        for offset, piece in self._pieces:
            first, last = max(offset, self._at), min(offset + len(piece), end)
            if first < last:
                made[first - self._at : last - self._at] = piece[first - offset : last - offset]
        self._at = max(self._at, end)
        return bytes(made)


@pytest.mark.parametrize("size", [0xFFFFFFFE, 0xFFFFFFFF, 0x100000000, 20_000_000_000])
def test_files_beyond_four_gigabytes_are_told_in_64_bits(size: int) -> None:
    large, small = Entry("job_1/film.mp4", size, NOON), Entry("job_1/metadata.json", 2, NOON)
    head, tail = archive.local_header(large), archive.descriptor(large, 7)
    behind = len(head) + size + len(tail)
    second = archive.local_header(small) + b"{}" + archive.descriptor(small, zlib.crc32(b"{}"))
    stored = [Stored(large, 0, 7), Stored(small, behind, zlib.crc32(b"{}"))]
    ending = b"".join(archive.directory(stored, behind + len(second)))
    pieces = [(0, head), (len(head) + size, tail + second + ending)]

    with zipfile.ZipFile(Hole(archive.length([large, small]), pieces)) as read:
        assert [info.file_size for info in read.infolist()] == [size, 2]
        assert read.infolist()[1].header_offset == behind
        assert read.read("job_1/metadata.json") == b"{}"
