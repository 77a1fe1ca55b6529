"""Reads: each on one snapshot, on a connection that refuses to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from dispatch.ports import Transaction
from dispatch.store.statements import command
from dispatch.store.transaction import SqlTransaction

T = TypeVar("T")
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def on_snapshot(connection: Connection, function: Callable[[Transaction], T]) -> T:
    command(connection, SNAPSHOT)
    try:
        return function(SqlTransaction(connection))
    finally:
        command(connection, "ROLLBACK")
