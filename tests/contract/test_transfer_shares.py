"""Originals on a disk that dispatch and engine both see: read in place, and nothing else is ever opened."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from dispatch.core.records import Source
from dispatch.services.shared_files import SharedFiles
from engine.core.shared_paths import local_of, prefixes
from engine.shell.shares import Shares, link_to
from plugins.storage_local.provider import LocalStorage
from protocol.leases import InputAccess, SharedFile

SIZE = 300_000
HERE = (("", ""),)


async def told(tmp_path: Path, source: Source) -> InputAccess:
    """What dispatch tells of a source."""
    root = tmp_path / "storage"
    root.mkdir(exist_ok=True)
    found = await SharedFiles(LocalStorage(str(root))).of([source])
    return InputAccess(url="/x", filename="film.mkv", size=source.size, shared=found.get(source))


def film(where: Path) -> tuple[Path, Source]:
    where.mkdir(parents=True, exist_ok=True)
    path = where / "film.mkv"
    path.write_bytes(os.urandom(SIZE))
    return path, Source("server", str(path), "film.mkv", SIZE)


def read(shares: Shares, access: InputAccess) -> bytes | None:
    descriptor = shares.open(access)
    if descriptor is None:
        return None
    try:
        return os.pread(descriptor, SIZE + 1, 0)
    finally:
        os.close(descriptor)


async def test_a_server_path_and_a_stored_original_are_read_in_place(tmp_path: Path) -> None:
    path, server = film(tmp_path / "media")
    kept, _ = film(tmp_path / "storage" / "default")
    stored = Source("storage", "default/film.mkv", "film.mkv", SIZE)

    seen = [read(Shares(HERE), await told(tmp_path, source)) for source in (server, stored)]

    assert seen == [path.read_bytes(), kept.read_bytes()]


async def test_a_pipe_or_a_directory_in_the_place_of_an_original_is_not_waited_for(tmp_path: Path) -> None:
    path, source = film(tmp_path / "media")
    path.unlink()
    os.mkfifo(path)
    directory = Source("server", str(tmp_path), "film.mkv", SIZE)

    async with asyncio.timeout(10):
        seen = [(await told(tmp_path, one)).shared for one in (source, directory)]

    assert seen == [None, None]


async def test_a_disk_mounted_elsewhere_is_found_by_its_prefix(tmp_path: Path) -> None:
    _, source = film(tmp_path / "there" / "films")
    access = await told(tmp_path, source)
    (tmp_path / "there").rename(tmp_path / "here")
    moved = tmp_path / "here" / "films" / "film.mkv"

    assert read(Shares(HERE), access) is None
    assert read(Shares(((str(tmp_path / "there"), str(tmp_path / "here")),)), access) == moved.read_bytes()


async def test_another_file_of_that_name_is_not_taken(tmp_path: Path) -> None:
    path, source = film(tmp_path)
    access, content = await told(tmp_path, source), path.read_bytes()
    others = (content[:-1] + b"?", b"?" + content[1:], content + b"?", content[:-1])

    for other in others:
        path.write_bytes(other)
        assert read(Shares(HERE), access) is None
    path.write_bytes(content)
    assert read(Shares(HERE), access) == content


async def test_no_link_is_followed_and_nothing_but_files_is_opened(tmp_path: Path) -> None:
    path, source = film(tmp_path / "media")
    access = await told(tmp_path, source)
    kept = path.rename(tmp_path / "kept")
    path.symlink_to(kept)
    assert read(Shares(HERE), access) is None
    path.unlink()
    os.mkfifo(path)
    assert read(Shares(HERE), access) is None
    path.unlink()
    (tmp_path / "other").mkdir()
    kept.rename(tmp_path / "other" / "film.mkv")
    (tmp_path / "media").rmdir()
    (tmp_path / "media").symlink_to(tmp_path / "other")
    assert read(Shares(HERE), access) is None


async def test_the_tool_gets_the_file_that_was_looked_at(tmp_path: Path) -> None:
    path, source = film(tmp_path)
    content = path.read_bytes()
    descriptor = Shares(HERE).open(await told(tmp_path, source))
    assert descriptor is not None
    link_to(descriptor, tmp_path / "input.shared")
    path.unlink()
    path.write_bytes(b"another")

    assert (tmp_path / "input.shared").read_bytes() == content
    os.close(descriptor)


async def test_without_a_shared_disk_nothing_is_opened(tmp_path: Path) -> None:
    _, source = film(tmp_path)

    assert read(Shares(), await told(tmp_path, source)) is None
    assert (await told(tmp_path, Source("url", "https://a.example/x", "x", 0))).shared is None
    assert (await told(tmp_path, Source("server", str(tmp_path / "gone"), "x", 0))).shared is None


async def test_a_digest_is_made_anew_when_the_file_has_changed(tmp_path: Path) -> None:
    path, source = film(tmp_path)
    files = SharedFiles(LocalStorage(str(tmp_path)))
    before = (await files.of([source]))[source]
    path.write_bytes(os.urandom(SIZE + 1))

    after = (await files.of([source]))[source]

    assert isinstance(after, SharedFile)
    assert before.edges_sha256 != after.edges_sha256


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/mnt/films/a/b.mkv", ("/films", ("a", "b.mkv"))),
        ("/mnt/films/../etc/passwd", None),
        ("/mnt/films//a", None),
        ("/mnt/filmsx/a", ("/all", ("filmsx", "a"))),
        ("/srv/a", None),
        ("relative", None),
    ],
)
def test_a_path_is_looked_for_below_the_longest_prefix(path: str, found: object) -> None:
    pairs = prefixes(["/mnt=/all", "/mnt/films/=/films/"], ["http://10.0.0.1:8080"], with_local=True)

    assert local_of(path, pairs) == found


def test_only_a_dispatch_on_this_machine_shares_its_own_paths() -> None:
    servers = ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://10.0.0.1:1")

    told = [prefixes([], [server], with_local=wanted) for wanted in (True, False) for server in servers]

    assert told == [HERE, HERE, HERE, (), (), (), (), ()]
    assert prefixes([], servers[2:], with_local=True) == ()
