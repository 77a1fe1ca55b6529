"""Starting dispatch: what its directories lack is made, what its settings cannot mean is said at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.dispatch import DispatchSettings, Jobs, Storage
from dispatch.app.process import prepare
from dispatch.app.secrets import Unusable


async def test_every_directory_is_made(tmp_path: Path) -> None:
    data, root = tmp_path / "new" / "data", tmp_path / "elsewhere" / "files"

    _, store = prepare(DispatchSettings(data=data, storage=Storage(root=root)))
    await store.close()

    assert root.is_dir()
    assert (data / "dispatch.db").is_file()


async def test_what_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    data, before = tmp_path / "data", os.umask(0)
    try:
        _, store = prepare(DispatchSettings(data=data))
        store.start()
        await store.transact(lambda tx: tx.last_seq())
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (data, *data.glob("dispatch.db*"))}
    finally:
        os.umask(before)
    await store.close()

    private = oct(0o600)
    assert modes == {"data": oct(0o700), "dispatch.db": private, "dispatch.db-wal": private, "dispatch.db-shm": private}


async def test_what_the_operator_widened_stays_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "dispatch.db").touch()
    data.chmod(0o750)
    (data / "dispatch.db").chmod(0o640)
    _, store = prepare(DispatchSettings(data=data))
    await store.close()

    assert [path.stat().st_mode & 0o777 for path in (data, data / "dispatch.db")] == [0o750, 0o640]


async def test_a_second_server_is_kept_out_of_a_data_directory(tmp_path: Path) -> None:
    _, store = prepare(DispatchSettings(data=tmp_path))
    await store.close()

    with pytest.raises(Unusable, match="in use by another"):
        prepare(DispatchSettings(data=tmp_path))


def test_a_default_profile_that_does_not_exist_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"known are .*dash, frames, hls-cmaf, .*noop, .*web"):
        prepare(DispatchSettings(data=tmp_path, jobs=Jobs(default_profile="nope")))


def test_a_storage_that_does_not_exist_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"storage\.adapter.*known are"):
        prepare(DispatchSettings(data=tmp_path, storage=Storage(adapter="tape")))
