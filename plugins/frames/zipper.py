"""A tool process of its own: puts pictures into a ZIP, and proves one. Standard library only; it runs under `-I -S`.

`zipper.py zip <directory> <target> <most bytes>` takes each picture away once it is in the ZIP, so that the disk never
holds them twice. `zipper.py prove <zip> <directory>` reads the whole ZIP back, prints what it holds as JSON, and puts the
first and the last picture into the directory. Exit codes: 0 done, 3 more bytes than allowed, 4 not a whole ZIP of pictures.
"""

import json
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

TOO_LARGE, NOT_WHOLE = 3, 4
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first moment a ZIP can tell: the same pictures always give the same bytes."""

MAGIC = {".jpg": (b"\xff\xd8", b"\xff\xd9"), ".png": (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82")}
"""How a whole picture begins and ends, by the ending of its name."""

COPY_BYTES = 1 << 20
READABLE = 0o100644 << 16


def zip_pictures(directory: Path, target: Path, most_bytes: int) -> int:
    """All files of the directory in the order of their names, stored: pictures do not get smaller."""
    total = 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for picture in sorted(directory.iterdir()):
            total += picture.stat().st_size
            if total > most_bytes:
                return TOO_LARGE
            entry = zipfile.ZipInfo(picture.name, EPOCH)
            entry.external_attr, entry.file_size = READABLE, picture.stat().st_size
            with picture.open("rb") as source, archive.open(entry, "w") as place:
                shutil.copyfileobj(source, place, COPY_BYTES)
            picture.unlink()
    return 0


def prove(target: Path, directory: Path) -> int:
    """Every picture is read to its end, which compares its checksum, and begins and ends as its kind does."""
    try:
        with zipfile.ZipFile(target) as archive:
            entries = archive.infolist()
            broken = [entry.filename for entry in entries if not _is_whole(archive, entry)]
            for name, entry in zip(("first", "last"), (entries[:1], entries[-1:]), strict=True):
                for one in entry:
                    (directory / f"{name}{Path(one.filename).suffix}").write_bytes(archive.read(one))
    except (zipfile.BadZipFile, OSError) as fault:
        sys.stderr.write(f"{fault}\n")
        return NOT_WHOLE
    names = [entry.filename for entry in entries]
    sys.stdout.write(json.dumps({"count": len(names), "in_order": names == _numbered(names), "broken": broken[:5]}))
    return 0


def _is_whole(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    begin, end = MAGIC.get(Path(entry.filename).suffix, (b"\0", b"\0"))
    head, tail = b"", b""
    for piece in _pieces(archive, entry):
        head = head or piece[: len(begin)]
        tail = (tail + piece)[-len(end) :]
    return (head, tail) == (begin, end)


def _pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(entry) as source:
        while piece := source.read(COPY_BYTES):
            yield piece


def _numbered(names: list[str]) -> list[str]:
    return [f"frame_{number:06d}{Path(name).suffix}" for number, name in enumerate(names, start=1)]


def main(argv: list[str]) -> int:
    match argv:
        case ["zip", directory, target, most_bytes]:
            return zip_pictures(Path(directory), Path(target), int(most_bytes))
        case ["prove", target, directory]:
            return prove(Path(target), Path(directory))
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
