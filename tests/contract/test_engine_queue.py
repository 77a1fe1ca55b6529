"""The local queue: what it keeps over restarts, that a save is all or nothing, and that it closes."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.core.attempts import Key
from engine.core.messages import Changes, Identity, Placed, Saved, SavedAttempt
from engine.core.sessions import SessionLimit
from engine.ports import QueueFull
from engine.shell.queue import SqliteQueue, open_queue
from engine.shell.writer import merged
from protocol.capabilities import EncoderSpeed
from protocol.leases import Release
from tests.unit.engine_desk import completed, failed, grant

ME = Identity("eng_1", "secret")
K1, K2 = Key("tsk_1", 1), Key("tsk_2", 2)
FIRST_SCHEMA = (
    "CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), engine_id TEXT NOT NULL, credential TEXT NOT NULL)",
    "CREATE TABLE held (task_id TEXT NOT NULL, token INTEGER NOT NULL, grant_json TEXT NOT NULL, queue_order INTEGER NOT NULL,"
    " retry_count INTEGER NOT NULL, started_at REAL, PRIMARY KEY (task_id, token)) WITHOUT ROWID",
    "CREATE TABLE outbox (task_id TEXT NOT NULL, token INTEGER NOT NULL, report_json TEXT NOT NULL, digest TEXT NOT NULL,"
    " PRIMARY KEY (task_id, token)) WITHOUT ROWID",
)
"""As files of version 1 have it."""


def wall() -> float:
    return 1_000.0


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[SqliteQueue]:
    async with open_queue(str(tmp_path / "engine.db"), wall=wall) as opened:
        yield opened


async def reopened(tmp_path: Path) -> Saved:
    async with open_queue(str(tmp_path / "engine.db"), wall=wall) as again:
        return await again.load()


async def test_a_new_queue_is_empty(queue: SqliteQueue) -> None:
    assert await queue.load() == Saved()


async def test_everything_saved_is_there_after_a_restart(queue: SqliteQueue, tmp_path: Path) -> None:
    waiting = SavedAttempt(grant(2), order=2, retry_count=1)
    started = SavedAttempt(grant(1), order=1, is_started=True, slot="CPU:0-3")
    await queue.save(Changes(identity=ME, granted=(started, waiting)))
    await queue.save(Changes(finals=(completed(grant(1)),)))

    done = replace(started, final=completed(grant(1)))
    assert await reopened(tmp_path) == Saved(ME, (done, waiting))


async def test_attempts_come_back_in_the_order_they_were_taken(queue: SqliteQueue) -> None:
    await queue.save(Changes(granted=tuple(SavedAttempt(grant(n), order=10 - n) for n in (1, 2, 3))))

    assert [saved.grant.token for saved in (await queue.load()).attempts] == [3, 2, 1]


async def test_a_wall_clock_that_jumps_changes_nothing_of_what_is_kept(tmp_path: Path) -> None:
    moments = iter((2e9, -1.0, 0.0, 1e9))
    async with open_queue(str(tmp_path / "engine.db"), wall=lambda: next(moments)) as queue:
        for n in (1, 2, 3):
            await queue.save(Changes(granted=(SavedAttempt(grant(n), order=n, is_started=True, slot=f"cpu-{n}"),)))
        await queue.save(Changes(started=(Placed(K1, "cpu-1"),)))

    kept = tuple(SavedAttempt(grant(n), order=n, is_started=True, slot=f"cpu-{n}") for n in (1, 2, 3))
    assert (await reopened(tmp_path)).attempts == kept


async def test_a_start_is_kept_with_its_slot(queue: SqliteQueue) -> None:
    await queue.save(Changes(granted=(SavedAttempt(grant(1), order=1),)))
    await queue.save(Changes(started=(Placed(K1, "CPU:0-3"),)))

    assert (await queue.load()).attempts == (SavedAttempt(grant(1), order=1, is_started=True, slot="CPU:0-3"),)


async def test_what_was_learnt_of_encoder_sessions_is_kept_and_the_last_word_counts(queue: SqliteQueue) -> None:
    first, last, other = SessionLimit("0", 3, 1), SessionLimit("0", 2, 1), SessionLimit("renderD128", 5, 2)
    await queue.save(Changes(sessions=(first,)))
    await queue.save(Changes(sessions=(last, other)))

    assert await queue.load() == Saved(sessions=(last, other))


async def test_the_speeds_saved_last_are_all_that_are_kept_in_their_order(queue: SqliteQueue, tmp_path: Path) -> None:
    quick, slow = EncoderSpeed(encoder="libx264", height=360, fps=120.5), EncoderSpeed(encoder="libx264", height=1080, fps=9.25)
    nvenc = EncoderSpeed(encoder="h264_nvenc", height=720, fps=400.0)
    await queue.save(Changes(speeds=(nvenc, quick)))
    await queue.save(merged([Changes(speeds=(quick, nvenc)), Changes(speeds=(slow, quick)), Changes()]))

    assert await reopened(tmp_path) == Saved(speeds=(slow, quick))


async def test_what_is_forgotten_is_gone_with_its_report(queue: SqliteQueue) -> None:
    await queue.save(Changes(granted=(SavedAttempt(grant(1), order=1), SavedAttempt(grant(2), order=2))))
    await queue.save(Changes(finals=(failed(grant(1)), Release(task_id="tsk_2", token=2, reason="drained"))))
    await queue.save(Changes(forgotten=(K1, K2)))

    assert await queue.load() == Saved()


async def test_an_attempt_forgotten_and_granted_in_one_save_is_held(queue: SqliteQueue) -> None:
    await queue.save(Changes(granted=(SavedAttempt(grant(1), order=1, final=failed(grant(1))),)))
    await queue.save(Changes(forgotten=(K1,), granted=(SavedAttempt(grant(1), order=2),)))

    assert (await queue.load()).attempts == (SavedAttempt(grant(1), order=2),)


async def test_saving_the_same_again_changes_nothing(queue: SqliteQueue) -> None:
    changes = Changes(identity=ME, granted=(SavedAttempt(grant(1), order=1),), finals=(completed(grant(1)),))
    await queue.save(changes)
    once = await queue.load()
    await queue.save(changes)

    assert await queue.load() == once


async def test_a_damaged_report_is_not_sent(queue: SqliteQueue, tmp_path: Path) -> None:
    await queue.save(Changes(granted=(SavedAttempt(grant(1), order=1, is_started=True),), finals=(completed(grant(1)),)))
    with sqlite3.connect(tmp_path / "engine.db") as db:
        db.execute("UPDATE outbox SET report_json = replace(report_json, 'complete', 'complete ')")
        db.execute("UPDATE outbox SET report_json = replace(report_json, 'complete ', 'complete'), digest = 'x'")
    db.close()

    assert (await queue.load()).attempts == (SavedAttempt(grant(1), order=1, is_started=True),)


async def test_a_row_that_cannot_be_read_is_left_to_dispatch(queue: SqliteQueue, tmp_path: Path) -> None:
    await queue.save(Changes(granted=(SavedAttempt(grant(1), order=1),)))
    with sqlite3.connect(tmp_path / "engine.db") as db:
        db.execute("UPDATE held SET grant_json = '{}'")
    db.close()

    assert await queue.load() == Saved()
    assert sqlite3.connect(tmp_path / "engine.db").execute("SELECT count(*) FROM held").fetchone() == (0,)


async def test_a_full_disk_keeps_nothing_of_a_save_and_the_queue_usable(queue: SqliteQueue, tmp_path: Path) -> None:
    await queue.save(Changes(granted=(SavedAttempt(grant(1), order=1),)))
    await queue._db.execute("PRAGMA max_page_count = 10")
    many = Changes(forgotten=(K1,), granted=tuple(SavedAttempt(grant(n), order=n) for n in range(2, 500)))

    with pytest.raises(QueueFull):
        await queue.save(many)
    await queue.save(Changes(started=(Placed(K1, "CPU:0-3"),)))

    assert (await queue.load()).attempts == (SavedAttempt(grant(1), order=1, is_started=True, slot="CPU:0-3"),)


async def test_the_writes_are_as_durable_as_sqlite_can_make_them(queue: SqliteQueue) -> None:
    [(mode,)] = await queue._db.execute_fetchall("PRAGMA journal_mode")
    [(synchronous,)] = await queue._db.execute_fetchall("PRAGMA synchronous")

    assert (mode, synchronous) == ("wal", 2)


async def test_a_queue_of_the_engine_before_slots_had_names_is_taken_over(tmp_path: Path) -> None:
    row = SavedAttempt(grant(1), order=1)
    with sqlite3.connect(tmp_path / "engine.db") as db:
        for statement in FIRST_SCHEMA:
            db.execute(statement)
        db.execute("INSERT INTO identity VALUES (1, 'eng_1', 'secret')")
        db.execute("INSERT INTO held VALUES ('tsk_1', 1, ?, 1, 0, NULL)", (row.grant.model_dump_json(),))
        db.execute("PRAGMA user_version = 1")
    db.close()

    async with open_queue(str(tmp_path / "engine.db"), wall=wall) as queue:
        found = await queue.load()
        await queue.save(Changes(started=(Placed(K1, "GPU:0"),)))

    started = replace(row, is_started=True, slot="GPU:0")
    assert (found, await reopened(tmp_path)) == (Saved(ME, (row,)), Saved(ME, (started,)))


async def test_a_queue_of_a_newer_engine_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "engine.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(RuntimeError, match="newer engine"):
        await reopened(tmp_path)
