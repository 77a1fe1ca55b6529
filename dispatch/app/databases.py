"""Connections to PostgreSQL for what is no service: migrations and moves."""

from __future__ import annotations

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.engine import make_url

from config.database import Database


def without_password(url: str) -> str:
    """For people, logs and notes."""
    made = make_url(url).set(password=None)
    return made.difference_update_query(["password", "sslpassword"]).render_as_string()


def open_postgres(database: Database) -> Connection:
    """One connection."""
    return create_engine(make_url(database.url or "").set(drivername="postgresql+psycopg"), poolclass=NullPool).connect()
