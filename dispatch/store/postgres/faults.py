"""What an error of PostgreSQL means: run it again, connect again, or tell the caller."""

from __future__ import annotations

from enum import Enum, auto

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError

from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger("store")
UNAVAILABLE_S = 5.0


class Fault(Enum):
    """`RACE`: another transaction was quicker. `LOST`: the connection is of no use any more. `OURS`: of the statement itself."""

    RACE = auto()
    LOST = auto()
    REFUSED = auto()
    OURS = auto()


UNIQUE_VIOLATION = "23505"
RACES = frozenset({"40001", "40P01", "55P03"})
"""serialization_failure, deadlock_detected, lock_not_available."""

LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "0A000"})
"""Shut down, crashed, starting; idle for too long, in a transaction or out of one, a transaction too long; and plans that
were prepared before a migration."""

LOST_CLASS = "08"
FULL = frozenset({"53100"})


def state_of(error: DBAPIError) -> str:
    """The SQLSTATE; empty for what the driver says itself."""
    return str(getattr(error.orig, "sqlstate", None) or "")


def fault_of(error: DBAPIError) -> Fault:
    state = state_of(error)
    if state in RACES:
        return Fault.RACE
    if state in LOST or state.startswith(LOST_CLASS) or (not state and isinstance(error, OperationalError | InterfaceError)):
        return Fault.LOST
    if isinstance(error, OperationalError | InternalError):
        return Fault.REFUSED
    return Fault.OURS


def is_unique(error: BaseException | None) -> bool:
    return isinstance(error, DBAPIError) and state_of(error) == UNIQUE_VIOLATION


def as_told(error: DBAPIError) -> Exception:
    """What the caller of a function gets: its own error, or that the database cannot be used now."""
    if fault_of(error) is Fault.OURS:
        return error
    log.warning("database_unavailable", reason=str(error.orig).strip(), state=state_of(error))
    code = ErrorCode.STORAGE_FULL if state_of(error) in FULL else ErrorCode.DATABASE_UNAVAILABLE
    return ReelyardError(code, retry_after=UNAVAILABLE_S)
