"""Brings a database to the newest schema, by Alembic. Safe to run at every start."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, insert, select

from dispatch.store import schema

SCRIPTS = Path(__file__).parent / "migrations"
SEQUENCES = ("token", "event", "audit")


def migrate(connection: Connection, revision: str = "head") -> None:
    """Upgrade in one transaction; the counters start at 0."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        command.upgrade(config, revision)
        seed(connection)
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def seed(connection: Connection) -> None:
    """The counter rows every database has."""
    known = {row[0] for row in connection.execute(select(schema.sequences.c.name))}
    missing = [{"name": name, "value": 0} for name in SEQUENCES if name not in known]
    if missing:
        connection.execute(insert(schema.sequences), missing)
