"""Where dispatch keeps its state: SQLite in its data directory, or PostgreSQL for a farm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from config.sections import Section, Span

OTHERS = 4
"""Connections besides those of the writers: one hears of commits, two search, and at least one reads."""

PostgresUrl = Annotated[str, Field(pattern=r"^postgres(ql)?://[!-~]+$", max_length=2048)]


class Database(Section):
    """`url` names a PostgreSQL (`postgresql://USER@HOST:PORT/NAME`); without one it is SQLite. `read_url` is a
    replica of it, which answers searches whenever it keeps up.

    `password_file` holds the password, so that it stands in no URL. At most `pool_max` connections are open at once, and
    `pool_min` stay open; others are closed once idle for `idle_s`. `writers` transactions run side by side; more than
    one gains nothing as long as each takes all that waits, and makes them undo each other.
    `ssl_mode` is that of libpq; `verify-full` needs `ca_file`.
    """

    url: PostgresUrl | None = None
    read_url: PostgresUrl | None = None
    password_file: Path | None = None
    ssl_mode: Annotated[str, Field(pattern="^(disable|allow|prefer|require|verify-ca|verify-full)$")] = "prefer"
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    pool_min: Annotated[int, Field(ge=1, le=100)] = 2
    pool_max: Annotated[int, Field(ge=5, le=1000)] = 30
    idle_s: Span = 300.0
    connect_timeout_s: Span = 5.0
    statement_timeout_s: Span = 30.0
    writers: Annotated[int, Field(ge=1, le=16)] = 1

    @model_validator(mode="after")
    def _fits_together(self) -> Database:
        if self.pool_min > self.pool_max or self.writers + OTHERS > self.pool_max:
            raise ValueError(f"pool_max must be at least pool_min, and at least {OTHERS} more than writers")
        if self.url is None and (self.read_url is not None or self.password_file is not None):
            raise ValueError("read_url and password_file belong to a url, and there is none")
        if self.ssl_mode.startswith("verify") and self.ca_file is None:
            raise ValueError(f"ssl_mode {self.ssl_mode} needs ca_file: the certificate of the authority to believe")
        return self
