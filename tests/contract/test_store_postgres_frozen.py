"""A server that freezes in the middle of a transaction holds nobody up for long: PostgreSQL ends the transaction."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from dispatch.store.postgres.connecting import Reach, writing
from dispatch.store.statements import command
from dispatch.store.transaction import INSERT_EVENT
from tests.servers.postgres import database

SOON = "SET idle_in_transaction_session_timeout = '50ms'"
WAITS = "SET lock_timeout = '20s'"


@pytest.mark.parametrize("rows", [1, 2, 50])
def test_a_transaction_that_stands_still_is_ended_after_however_many_rows(rows: int) -> None:
    with database() as url:
        frozen = writing(Reach(url)).connect()
        try:
            command(frozen, SOON)
            command(frozen, "BEGIN ISOLATION LEVEL SERIALIZABLE")
            made = [(seq, "JobCreated", 1.0, "acme", None, None, None, None, "{}") for seq in range(1, rows + 1)]
            assert INSERT_EVENT.run_many(frozen, made) == rows

            with psycopg.connect(url, autocommit=True) as other:
                other.execute(WAITS)
                other.execute("TRUNCATE events")  # waits until the lock of the frozen one is gone

            assert _is_ended(frozen)
        finally:
            frozen.invalidate()
            frozen.close()
            frozen.engine.dispose()


def _is_ended(connection: Connection) -> bool:
    try:
        command(connection, "COMMIT")
    except DBAPIError:
        return True
    return False
