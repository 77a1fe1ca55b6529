"""Connections to PostgreSQL: where it is, how it is trusted, and how long anything on them may take."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper
from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import make_url

logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of each pipeline that a race broke off

NUL, REPLACEMENT = "\0", "\ufffd"
KEEPALIVES = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""A server that vanished without a word is noticed after 25 s."""

MOST_PREPARED = 512
IDLE_IN_TRANSACTION_S = 5.0
"""The transaction of a server that froze is ended before another server leads."""

IDLE_IN_SNAPSHOT_S = 30.0
LOCK_S = 10.0


@dataclass(frozen=True, slots=True)
class Reach:
    """How a PostgreSQL is reached. `url` as libpq takes it; the password, if any, is kept out of it. Spans are seconds."""

    url: str
    password: str | None = field(default=None, repr=False)
    ssl_mode: str = "prefer"
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    connect_timeout_s: float = 5.0
    statement_timeout_s: float = 30.0


class TextDumper(StrDumper):
    """PostgreSQL keeps no NUL in a text; one in a log of a tool is nothing to lose a report for."""

    def dump(self, obj: str) -> Any:  # bytes of any kind
        return super().dump(obj.replace(NUL, REPLACEMENT) if NUL in obj else obj)


def engine_of(reach: Reach, settings: Mapping[str, str] | None = None) -> Engine:
    """Makes connections in autocommit mode, as many as are asked for; BEGIN, savepoints and COMMIT are ours.

    `settings` are those of PostgreSQL, for each session.
    """
    wanted = {"statement_timeout": _ms(reach.statement_timeout_s), **(settings or {})}
    arguments = {
        "password": reach.password,
        "sslmode": reach.ssl_mode if "sslmode=" not in reach.url else None,
        "sslrootcert": _text(reach.ca_file),
        "sslcert": _text(reach.cert_file),
        "sslkey": _text(reach.key_file),
        "connect_timeout": max(2, math.ceil(reach.connect_timeout_s)),
        "application_name": "reelyard",
        "options": " ".join(f"-c {name}={value}" for name, value in wanted.items()),
        "tcp_user_timeout": _ms(reach.statement_timeout_s),
        **KEEPALIVES,
    }
    engine = create_engine(
        make_url(reach.url).set(drivername="postgresql+psycopg"),
        connect_args={name: value for name, value in arguments.items() if value is not None},
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        paramstyle="format",
        use_native_hstore=False,
    )
    event.listen(engine, "connect", _prepare)
    return engine


def writing(reach: Reach) -> Engine:
    """Its transactions end by themselves when their server does not go on with them.

    Without sequential scans a transaction that reads a small table does not conflict with every writer of it.
    """
    limits = {"idle_in_transaction_session_timeout": _ms(IDLE_IN_TRANSACTION_S), "lock_timeout": _ms(LOCK_S)}
    return engine_of(reach, {**limits, "enable_seqscan": "off"})


def reading(reach: Reach) -> Engine:
    """A snapshot that a frozen server holds keeps old rows from being cleared away: that ends too."""
    limits = {"idle_in_transaction_session_timeout": _ms(IDLE_IN_SNAPSHOT_S)}
    return engine_of(reach, {**limits, "default_transaction_read_only": "on"})


def connect(reach: Reach) -> Connection:
    """One connection for what is no service, such as a migration: nothing on it is ended for taking long."""
    return engine_of(reach, {"statement_timeout": "0"}).connect()


def _prepare(raw: Any, _: Any) -> None:  # DB-API objects have no common type
    """Numbers of one size, so that a statement is prepared once and not for each size of its numbers."""
    raw.adapters.register_dumper(int, Int8Dumper)
    raw.adapters.register_dumper(str, TextDumper)
    raw.prepare_threshold, raw.prepared_max = 2, MOST_PREPARED


def _ms(seconds: float) -> str:
    return str(math.ceil(seconds * 1000))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
