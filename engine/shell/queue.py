"""The engine's local queue in SQLite: who it is, what it holds, and which results dispatch has not taken yet."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiosqlite
import structlog
from pydantic import TypeAdapter, ValidationError

from engine.core.attempts import Final, Key, key_of
from engine.core.messages import Changes, Identity, Saved, SavedAttempt
from engine.core.sessions import SessionLimit
from engine.ports import QueueFull, ScratchFull
from engine.shell.key_files import KeyFiles, without_keys
from protocol.capabilities import EncoderSpeed
from protocol.leases import Complete, Fail, Grant, Release

log = structlog.get_logger()

SCHEMA_VERSION = 2
"""A table more needs no new version: an engine that was rolled back does not look at it."""

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), engine_id TEXT NOT NULL,"
    " credential TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS held (task_id TEXT NOT NULL, token INTEGER NOT NULL, grant_json TEXT NOT NULL,"
    " queue_order INTEGER NOT NULL, retry_count INTEGER NOT NULL, started_at REAL, slot TEXT,"
    " PRIMARY KEY (task_id, token)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS outbox (task_id TEXT NOT NULL, token INTEGER NOT NULL, report_json TEXT NOT NULL,"
    " digest TEXT NOT NULL, PRIMARY KEY (task_id, token)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS sessions (device TEXT PRIMARY KEY, sessions INTEGER NOT NULL, per_task INTEGER NOT NULL)"
    " WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS speeds (age INTEGER PRIMARY KEY, encoder TEXT NOT NULL, height INTEGER NOT NULL,"
    " fps REAL NOT NULL)",
)
STEPS = {1: "ALTER TABLE held ADD COLUMN slot TEXT"}
"""What makes a file of this version one of the next."""

LOAD_SESSIONS = "SELECT device, sessions, per_task FROM sessions ORDER BY device"
SAVE_SESSIONS = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)"
LOAD_SPEEDS = "SELECT encoder, height, fps FROM speeds ORDER BY age"
FORGET_SPEEDS = "DELETE FROM speeds"
SAVE_SPEEDS = "INSERT INTO speeds (encoder, height, fps) VALUES (?, ?, ?)"
LOAD_IDENTITY = "SELECT engine_id, credential FROM identity"
LOAD_HELD = (
    "SELECT h.task_id, h.token, h.grant_json, h.queue_order, h.retry_count, h.started_at, h.slot, o.report_json, o.digest"
    " FROM held h LEFT JOIN outbox o USING (task_id, token) ORDER BY h.queue_order"
)
SAVE_IDENTITY = "INSERT OR REPLACE INTO identity (one, engine_id, credential) VALUES (1, ?, ?)"
SAVE_HELD = "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?, ?)"
SAVE_STARTED = "UPDATE held SET started_at = ?, slot = ? WHERE task_id = ? AND token = ?"
SAVE_FINAL = "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?, ?)"
FORGET_HELD = "DELETE FROM held WHERE task_id = ? AND token = ?"
FORGET_FINAL = "DELETE FROM outbox WHERE task_id = ? AND token = ?"

_FINAL: TypeAdapter[Final] = TypeAdapter(Complete | Fail | Release)
Row = tuple[object, ...]
Statement = tuple[str, list[Row]]


class SqliteQueue:
    """The LocalQueue port. `wall` gives the Unix time that stands in `started_at`, for people to read.

    Content keys never come into the database: pages that were freed would go on to hold them.
    """

    def __init__(self, db: _Database, keys: KeyFiles, *, wall: Callable[[], float]) -> None:
        self._db, self._keys, self._wall = db, keys, wall

    async def load(self) -> Saved:
        identities = list(await self._db.execute_fetchall(LOAD_IDENTITY))
        attempts: list[SavedAttempt] = []
        unreadable: list[Key] = []
        for row in await self._db.execute_fetchall(LOAD_HELD):
            saved = _attempt(row)
            if saved is None:
                unreadable.append(Key(row[0], row[1]))
            else:
                attempts.append(replace(saved, grant=self._keys.put_back(saved.grant)))
        self._keys.sweep({key_of(saved.grant) for saved in attempts if saved.final is None})
        if unreadable:
            await self.save(Changes(forgotten=tuple(unreadable)))
        limits = tuple(SessionLimit(*row) for row in await self._db.execute_fetchall(LOAD_SESSIONS))
        speeds = tuple(
            EncoderSpeed(encoder=encoder, height=height, fps=fps)
            for encoder, height, fps in await self._db.execute_fetchall(LOAD_SPEEDS)
        )
        return Saved(Identity(*identities[0]) if identities else None, tuple(attempts), limits, speeds)

    async def save(self, changes: Changes) -> None:
        statements = list(_statements(changes, self._wall()))
        try:
            for saved in changes.granted:
                if saved.grant.keys is not None:
                    await asyncio.to_thread(self._keys.keep, key_of(saved.grant), saved.grant.keys)
            await self._db.transact(statements)
        except ScratchFull as fault:
            raise QueueFull(f"the content keys of a grant cannot be written: {fault}") from fault
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise QueueFull(f"the local queue cannot be written: {fault}") from fault
            raise
        self._keys.forget((*changes.forgotten, *map(key_of, changes.finals)))


class _Database(aiosqlite.Connection):
    """aiosqlite with whole transactions: each call costs two thread switches, so one call does it all."""

    async def transact(self, statements: Iterable[Statement]) -> None:
        await self._execute(_apply, self._conn, statements)  # type: ignore[no-untyped-call]  # aiosqlite leaves it untyped


def _apply(db: sqlite3.Connection, statements: Iterable[Statement]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        for sql, rows in statements:
            db.executemany(sql, rows)
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:  # SQLite itself rolls back when the disk is full
            db.execute("ROLLBACK")
        raise


@asynccontextmanager
async def open_queue(path: str, *, wall: Callable[[], float]) -> AsyncIterator[SqliteQueue]:
    """The queue in the file `path`, made if missing; closed at the end, since an open connection hangs the exit."""
    database = _Database(partial(sqlite3.connect, path, isolation_level=None), iter_chunk_size=64)
    async with database as db:
        await db.execute("PRAGMA journal_mode=WAL")
        await db.execute("PRAGMA synchronous=FULL")
        (version,) = next(iter(await db.execute_fetchall("PRAGMA user_version")))
        if version > SCHEMA_VERSION:
            raise RuntimeError(
                f"{path} was written by a newer engine (version {version}); use that one, or another data directory"
            )
        for statement in (*(STEPS[old] for old in range(version, SCHEMA_VERSION) if version), *SCHEMA):
            await db.execute(statement)
        await db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        yield SqliteQueue(database, KeyFiles(Path(path).with_name("keys")), wall=wall)


def _statements(changes: Changes, now: float) -> Iterable[Statement]:
    if changes.identity is not None:
        yield SAVE_IDENTITY, [(changes.identity.engine_id, changes.identity.credential)]
    if changes.forgotten:
        keys: list[Row] = list(changes.forgotten)
        yield FORGET_HELD, keys
        yield FORGET_FINAL, keys
    if changes.granted:
        yield SAVE_HELD, [_held_row(saved, now) for saved in changes.granted]
    if changes.started:
        yield SAVE_STARTED, [(now, placed.slot, *placed.key) for placed in changes.started]
    if changes.sessions:
        yield SAVE_SESSIONS, [(limit.device, limit.sessions, limit.per_task) for limit in changes.sessions]
    if changes.speeds:
        yield FORGET_SPEEDS, [()]
        yield SAVE_SPEEDS, [(one.encoder, one.height, one.fps) for one in changes.speeds]
    finals = [*changes.finals, *(saved.final for saved in changes.granted if saved.final is not None)]
    if finals:
        yield SAVE_FINAL, [_final_row(final) for final in finals]


def _held_row(saved: SavedAttempt, now: float) -> Row:
    started_at = now if saved.is_started else None
    return (
        *key_of(saved.grant),
        without_keys(saved.grant).model_dump_json(),
        saved.order,
        saved.retry_count,
        started_at,
        saved.slot,
    )


def _final_row(final: Final) -> Row:
    text = final.model_dump_json()
    return (*key_of(final), text, hashlib.sha256(text.encode()).hexdigest())


def _attempt(row: sqlite3.Row) -> SavedAttempt | None:
    """The attempt of a row; None if it cannot be read: dispatch gives the task to somebody when the lease runs out."""
    task_id, token, grant_json, order, retry_count, started_at, slot, report_json, digest = row
    try:
        grant = Grant.model_validate_json(grant_json)
        final = _FINAL.validate_json(report_json) if report_json is not None else None
    except ValidationError as fault:
        log.error("saved_attempt_unreadable", task=task_id, token=token, problem=str(fault))
        return None
    if final is not None and hashlib.sha256(report_json.encode()).hexdigest() != digest:
        log.error("saved_report_damaged", task=task_id, token=token)
        final = None
    return SavedAttempt(grant, order, started_at is not None or report_json is not None, retry_count, final, slot)
