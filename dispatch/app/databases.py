"""How PostgreSQL is reached, as the settings say; and connections for what is no service: migrations and moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from config.database import Database
from dispatch.app.secrets import Unusable

if TYPE_CHECKING:
    from dispatch.store.postgres.connecting import Reach


def without_password(url: str) -> str:
    """For people, logs and notes."""
    made = make_url(url).set(password=None)
    return made.difference_update_query(["password", "sslpassword"]).render_as_string()


def open_postgres(database: Database) -> Connection:
    """One connection, on which nothing is ended for taking long. Raises Unusable where the driver is missing."""
    reach = reach_of(database)
    from dispatch.store.postgres.connecting import connect

    return connect(reach)


def reach_of(database: Database) -> Reach:
    """Raises Unusable where the driver is missing, or the password cannot be read."""
    try:
        from dispatch.store.postgres.connecting import Reach
    except ModuleNotFoundError as missing:
        raise Unusable("database.url needs the PostgreSQL driver: pip install 'reelyard[postgres]'") from missing
    return Reach(
        url=database.url or "",
        password=_password(database),
        ssl_mode=database.ssl_mode,
        ca_file=database.ca_file,
        cert_file=database.cert_file,
        key_file=database.key_file,
        connect_timeout_s=database.connect_timeout_s,
        statement_timeout_s=database.statement_timeout_s,
    )


def _password(database: Database) -> str | None:
    if database.password_file is None:
        return None
    try:
        return database.password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise Unusable(f"database.password_file: cannot read {database.password_file}: {fault}") from fault
