"""Brings a database to the newest schema, by Alembic. Safe to run at every start, and by several servers at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, bindparam, insert, select, text

from dispatch.store import schema
from dispatch.store.sequences import NUMBERED, raise_to

SCRIPTS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x6D696772617465
"""`migrate` in ASCII."""

UNORDERED = text(
    "SELECT table_name, column_name, data_type FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND data_type IN ('character varying', 'text') "
    "AND collation_name IS DISTINCT FROM 'C' AND table_name IN :ours ORDER BY 1, 2"
)


def migrate(connection: Connection, revision: str = "head") -> None:
    """Upgrade in one transaction; the counters start at 0."""
    is_postgres = connection.dialect.name == "postgresql"
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    connection.exec_driver_sql("BEGIN" if is_postgres else "BEGIN IMMEDIATE")
    try:
        if is_postgres:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        command.upgrade(config, revision)
        seed(connection)
        if is_postgres:
            _order_by_bytes(connection)
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def seed(connection: Connection) -> None:
    """The counter rows every database has. PostgreSQL's own sequences go on after those of a database that moved there."""
    known = {row[0]: int(row[1]) for row in connection.execute(select(schema.sequences))}
    missing = [{"name": name, "value": 0} for name in NUMBERED if name not in known]
    if missing:
        connection.execute(insert(schema.sequences), missing)
    if connection.dialect.name == "postgresql":
        for name in NUMBERED:
            raise_to(connection, name, known.get(name, 0))


def _order_by_bytes(connection: Connection) -> None:
    """Words are compared as SQLite compares them, whatever language the database was made for: pages follow that order."""
    ours = list(schema.metadata.tables)
    found = connection.execute(UNORDERED.bindparams(bindparam("ours", ours, expanding=True)))
    changes: dict[str, list[str]] = {}
    for table, column, kind in found:
        changes.setdefault(table, []).append(f'ALTER COLUMN "{column}" TYPE {kind} COLLATE "C"')
    for table, columns in changes.items():
        connection.exec_driver_sql(f'ALTER TABLE "{table}" {", ".join(columns)}')
