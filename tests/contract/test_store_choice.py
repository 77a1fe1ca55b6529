"""Which store a server opens, as its settings say, and what it needs for that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.dispatch import DispatchSettings
from config.sources import read_settings
from dispatch.app.database import Opening, open_store
from dispatch.app.secrets import Unusable
from dispatch.core.cluster import ServerRow
from dispatch.events.bus import CommitBus
from dispatch.store.postgres.store import PostgresStore
from dispatch.store.sqlite import SqliteStore
from tests.contract.store_adapters import died, noted
from tests.servers.postgres import database

SERVER = ServerRow("srv_1", "run_1", "", "", 0.0, 0.0)


def opening(data: Path, **of_database: object) -> Opening:
    settings = read_settings(DispatchSettings, {"data": data, "database": of_database}, toml=None, environ={})
    return Opening(settings, data, SERVER, died)


async def test_without_a_url_it_is_a_private_file_in_the_data_directory(tmp_path: Path) -> None:
    store = open_store(opening(tmp_path), [CommitBus()])
    store.start()
    await store.transact(lambda tx: tx.append(noted("a")))
    await store.close()

    assert isinstance(store, SqliteStore)
    assert (tmp_path / "dispatch.db").stat().st_mode & 0o777 == 0o600


async def test_with_a_url_it_is_postgresql_with_the_newest_schema_and_the_password_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    with database(is_empty=True) as url:
        for word in "ab":  # as often as it is started
            store = open_store(opening(tmp_path, url=url, password_file=tmp_path / "password"), [CommitBus()])
            store.start()
            await store.transact(lambda tx, word=word: tx.append(noted(word)))  # type: ignore[misc]
            seen = await store.read(
                lambda tx: [event.new.to_state for event in tx.events_after(0, job_id=None, tenant=None, limit=9)]
            )
            await store.close()

    assert isinstance(store, PostgresStore)
    assert seen == ["a", "b"]
    assert not (tmp_path / "dispatch.db").exists()


def test_a_password_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="password_file"):
        open_store(opening(tmp_path, url="postgresql://a@127.0.0.1:1/b", password_file=tmp_path / os.devnull / "x"), [])
