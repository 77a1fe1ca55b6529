"""One of the threads that write: takes what waits, runs it in one SERIALIZABLE transaction, and again when that was in vain."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dispatch.store.batch import Answer, Batch, Function, in_transaction, number, run_functions
from dispatch.store.postgres import changes
from dispatch.store.postgres.changes import Stamp
from dispatch.store.postgres.faults import Fault, as_told, fault_of, is_unique
from dispatch.store.postgres.pool import close, is_usable
from dispatch.store.postgres.refs import packed, refs_of
from dispatch.store.statements import command
from dispatch.store.webhooks import Receivers
from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger("store")
Waiting = tuple[Function, "asyncio.Future[Any]"]
Pair = tuple[Waiting, Answer]
MOST_TRIES = 12
MOST_OF_A_KIND = 3
"""A row that is there already, or a connection that is lost, three times over is no accident."""

TOGETHER = "LOCK TABLE alembic_version IN SHARE MODE"
UNDISTURBED = "LOCK TABLE alembic_version IN EXCLUSIVE MODE"
"""Who was undone by another transaction waits until none runs, and runs alone: nobody loses twice. Taken before the
snapshot, which an advisory lock could not be; migrations write to that table, and wait as well."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.002, 0.25
ASK_AGAIN_S = 0.05


@dataclass(slots=True)
class Counts:
    """What the writers met, for metrics: transactions that stood, and why others did not."""

    commits: int = 0
    functions: int = 0
    races: int = 0
    lost: int = 0
    asked: int = 0
    """COMMITs whose answer was lost, and whose outcome was found out."""
    on_replica: int = 0
    """Searches that the replica answered."""

    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **more: int) -> None:
        with self._lock:
            for name, value in more.items():
                setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all writers of a store have in common.

    `land` takes what a commit of number `seq` answers. `chance` draws from [0, 1).
    """

    engine: Engine
    run_id: str
    public_url: str
    land: Callable[[int | None, list[Pair]], None]
    chance: Callable[[], float]
    closing: threading.Event
    counts: Counts = field(default_factory=Counts)
    tags: Any = field(default_factory=lambda: itertools.count(1))  # an endless iterator of numbers


class Away(Exception):
    """No connection can be opened."""

    def __init__(self, error: DBAPIError) -> None:
        super().__init__(str(error))
        self.error = error


class Untold(Exception):
    """The answer to a COMMIT is lost, and the store closes: who waits is neither told that it stands nor that it does not."""


class Writer:
    """`part` names its rows of sums, and no other writer's of the database."""

    def __init__(self, shared: Shared, part: str) -> None:
        self._shared, self._part = shared, part
        self._connection: Connection | None = None

    def run(self, some: Sequence[Waiting]) -> None:
        """Every one is answered: together, or alone what did not stand together."""
        for one in self._together(some):
            self._alone(one)

    def close(self) -> None:
        if self._connection is not None:
            close(self._connection)
            self._connection = None

    def _together(self, some: Sequence[Waiting]) -> Sequence[Waiting]:
        """Who is to be run alone."""
        functions = [function for function, _ in some]
        try:
            answers, seq = self._attempt_twice(functions)
        except Away as away:
            self._refuse(some, as_told(away.error))
            return ()
        except Untold:
            self._refuse(some, asyncio.CancelledError())
            return ()
        except DBAPIError as error:
            self._count(error)
            return some
        again = [one for one, answer in zip(some, answers, strict=True) if is_unique(answer.error)]
        pairs = [(one, answer) for one, answer in zip(some, answers, strict=True) if not is_unique(answer.error)]
        self._shared.land(seq, pairs)
        return again

    def _attempt_twice(self, functions: Sequence[Function]) -> tuple[list[Answer], int | None]:
        """Of a race it is nobody's fault."""
        try:
            return self._attempt(functions, is_again=False)
        except DBAPIError as error:
            if fault_of(error) is not Fault.RACE:
                raise
            self._count(error)
            return self._attempt(functions, is_again=True)

    def _alone(self, one: Waiting) -> None:
        """Again and again after a race; few times after anything that may have been an accident."""
        error: BaseException = ReelyardError(ErrorCode.DATABASE_UNAVAILABLE)
        accidents = 0
        for tries in range(MOST_TRIES):
            self._pause(tries)
            try:
                (answer,), seq = self._attempt([one[0]], is_again=tries > 0)
            except Away as away:
                error = as_told(away.error)
                break
            except Untold:
                error = asyncio.CancelledError()
                break
            except DBAPIError as met:
                error, fault = as_told(met), fault_of(met)
                self._count(met)
                accidents += fault is not Fault.RACE
                if fault in (Fault.REFUSED, Fault.OURS) or accidents == MOST_OF_A_KIND:
                    break
                continue
            if is_unique(answer.error) and (accidents := accidents + 1) < MOST_OF_A_KIND:
                self._shared.land(seq, [])
                continue
            self._shared.land(seq, [(one, answer)])
            return
        self._refuse([one], error)

    def _refuse(self, some: Sequence[Waiting], error: BaseException) -> None:
        answers = [Answer() for _ in some]
        for answer in answers:
            answer.error = error
        self._shared.land(None, list(zip(some, answers, strict=True)))

    def _pause(self, tries: int) -> None:
        """A random span, twice as long each time: those who met would meet again."""
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**tries)
        if tries:
            self._shared.closing.wait(longest * self._shared.chance())

    def _count(self, error: DBAPIError) -> None:
        fault = fault_of(error)
        self._shared.counts.add(races=fault is Fault.RACE, lost=fault is Fault.LOST)

    # --- one transaction

    def _attempt(self, functions: Sequence[Function], *, is_again: bool) -> tuple[list[Answer], int | None]:
        """Run them durably: their answers, and the number of the change. Raises Away and DBAPIError when nothing was kept."""
        connection = self._open()
        try:
            command(connection, "BEGIN ISOLATION LEVEL SERIALIZABLE", UNDISTURBED if is_again else TOGETHER)
            batch = Batch(Receivers(self._shared.public_url), numbers_last=True)
            answers = run_functions(connection, functions, batch, part=self._part)
            stamp = self._number(connection, answers)
        except BaseException:
            self._roll_back(connection)
            raise
        self._commit(connection, stamp)
        self._shared.counts.add(commits=1, functions=len(functions))
        return answers, None if stamp is None else stamp.seq

    def _number(self, connection: Connection, answers: Sequence[Answer]) -> Stamp | None:
        """None when nothing was written."""
        made = [answer.transaction for answer in answers if answer.transaction is not None]
        if not made or not (any(tx.has_unnumbered for tx in made) or changes.has_written(connection)):
            number(connection, answers)
            return None
        xid, seq = changes.lock_order(connection)
        number(connection, answers)
        commits = [answer.commit for answer in answers if answer.commit is not None]
        refs = refs_of(commits, (job for tx in made for job in tx.forgotten))
        stamp = Stamp(xid, seq, packed(refs, next(self._shared.tags)))
        changes.write_change(connection, self._shared.run_id, stamp)
        return stamp

    def _commit(self, connection: Connection, stamp: Stamp | None) -> None:
        """Raises DBAPIError when it is known that nothing was kept."""
        try:
            command(connection, "COMMIT")
        except DBAPIError as error:
            self._roll_back(connection)
            if stamp is None:
                raise
            if fault_of(error) is Fault.LOST and self._stood(stamp):
                return
            raise

    def _stood(self, stamp: Stamp) -> bool:
        """The answer to a COMMIT was lost: ask until it is known whether it stands. Raises Untold when the store closes."""
        is_over = False
        while True:
            try:
                connection = self._open()
                is_over = is_over or changes.is_over(connection, stamp.xid)
                if is_over:
                    found = changes.is_there(connection, self._shared.run_id, stamp)
                    self._shared.counts.add(asked=1)
                    log.info("commit_found_out", seq=stamp.seq, stands=found)
                    return found
            except Away as away:
                if self._shared.closing.is_set():
                    raise Untold from away
            except DBAPIError as error:
                self._roll_back(connection)
                is_over = is_over or fault_of(error) is Fault.OURS  # it has never heard of such a number since it crashed
            threading.Event().wait(ASK_AGAIN_S)

    def _open(self) -> Connection:
        if self._connection is None or not is_usable(self._connection):
            self.close()
            try:
                self._connection = self._shared.engine.connect()
            except DBAPIError as error:
                raise Away(error) from error
        return self._connection

    def _roll_back(self, connection: Connection) -> None:
        """The connection is used again only when it is whole."""
        try:
            if in_transaction(connection):
                command(connection, "ROLLBACK")
        except DBAPIError:
            pass
        if not is_usable(connection):
            self.close()
