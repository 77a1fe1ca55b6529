"""The tables of several servers on one database: who leads, who is there, what each commit touched, limits they share."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, String, Table, Text

from dispatch.store.naming import LONG, metadata

leadership = Table(
    "leadership",
    metadata,
    Column("name", String, primary_key=True),
    Column("server_id", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("epoch", LONG, nullable=False),
    Column("until", Float, nullable=False),
)
"""One row, `scheduling`."""

servers = Table(
    "servers",
    metadata,
    Column("server_id", String, primary_key=True),
    Column("boot_id", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("version", String, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("seq", LONG, primary_key=True, autoincrement=False),
    Column("server_id", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("refs_json", Text, nullable=False),
    Index("ix_changes_at", "at"),
)
"""What each commit touched, for the other servers on the same PostgreSQL; kept for minutes. On SQLite it stays empty."""

facts = Table(
    "facts",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)

rate_windows = Table(
    "rate_windows",
    metadata,
    Column("name", String, primary_key=True),
    Column("calls", LONG, nullable=False),
    Column("ends", Float, nullable=False),
    Index("ix_rate_windows_ends", "ends"),
)
"""Calls counted against limits by several servers together. On SQLite they are counted in memory, and this stays empty."""
