"""How a server learns of commits, its own and those of others, and tells all of them in one order.

A connection of its own listens. Ours are told from memory as long as no other server's lies between; else the rows that
were touched are loaded in one snapshot and told as one commit. State so only ever moves forward.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dispatch.ports import Commit
from dispatch.store.postgres import changes
from dispatch.store.postgres.faults import Fault, fault_of
from dispatch.store.postgres.order import Order
from dispatch.store.postgres.pool import close
from dispatch.store.postgres.refs import load_commit, merged
from dispatch.store.postgres.snapshots import SNAPSHOT
from dispatch.store.postgres.writer import Pair
from dispatch.store.statements import Found, command

log = structlog.get_logger("store")
POLL_S = 0.5
MOST_TRIES_AT_THE_END = 3
MOST_HEARD = 100
"""Of so many commits of our own in a row, which tell themselves, there is a look all the same."""


@dataclass(frozen=True, slots=True)
class Landed:
    """A commit of ours, and whom it answers."""

    pairs: Sequence[Pair]

    @property
    def commits(self) -> list[Commit]:
        return [answer.commit for _, answer in self.pairs if answer.commit is not None]


@dataclass(frozen=True, slots=True)
class Told:
    """For the event loop: first the commits, then who waits for them."""

    commits: Sequence[Commit] = ()
    pairs: Sequence[Pair] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look into the database found: the rows of changes, and with those of others among them, what to tell."""

    rows: Sequence[Found]
    commit: Commit | None = None


class Bell:
    """Wakes a thread that waits for sockets."""

    def __init__(self) -> None:
        self._rope, self.heard = socket.socketpair()
        self._rope.setblocking(False)

    def ring(self) -> None:
        """A bell that rang often and was not heard yet needs no more."""
        with suppress(OSError):
            self._rope.send(b"x")

    def close(self) -> None:
        self._rope.close()
        self.heard.close()


class Feed:
    """`tell` is called from any thread, each time under one lock. `fatal` when commits were missed for good.

    `at_rest` is called every half second or so.
    """

    def __init__(
        self,
        engine: Engine,
        run_id: str,
        tell: Callable[[Told], None],
        fatal: Callable[[str], None],
        at_rest: Callable[[], None],
    ) -> None:
        self._engine, self._run_id, self._tell, self._fatal, self._at_rest = engine, run_id, tell, fatal, at_rest
        self._lock = threading.Lock()
        self._order: Order[Landed] = Order(0)
        self._last_event = 0
        self._is_looking = False
        self._is_closing = False
        self._bell: Bell | None = None
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._work, name="store-feed", daemon=True)

    def start(self) -> None:
        """From the newest change on. Raises DBAPIError when the database is not there."""
        connection = self._open()
        change, self._last_event = changes.newest(connection)
        self._order = Order(change)
        self._bell = Bell()
        self._thread.start()

    # --- from the writers

    def land(self, seq: int | None, pairs: Sequence[Pair]) -> None:
        """A commit of ours: told now if nothing that is not known lies before it."""
        landed = Landed(pairs)
        with self._lock:
            if seq is None:
                self._tell(Told(landed.commits, pairs))
            elif not self._order.land(seq, landed):
                self._tell(Told(pairs=pairs))  # with those of others, already
            elif not self._is_looking:
                self._tell_ready()
                if seq > self._order.last:
                    self._wake()

    def close(self) -> None:
        """What has landed is told first, if the database lets it."""
        self._is_closing = True
        if self._thread.is_alive():
            self._wake()
            self._thread.join()
        self._drop()
        with self._lock:
            rest = self._order.drain()
        for landed in rest:
            self._tell(Told(pairs=landed.pairs))
        if self._bell is not None:
            self._bell.close()

    @property
    def last(self) -> int:
        return self._order.last

    # --- the thread

    def _work(self) -> None:
        try:
            while not self._is_closing:
                self._look()
                self._at_rest()
                self._wait()
            for _ in range(MOST_TRIES_AT_THE_END):
                if not self._order.is_waiting:
                    break
                self._look()
                self._wait(POLL_S / 10)
        except BaseException as error:
            self._fatal(f"the feed met {error!r}")
            raise

    def _look(self) -> None:
        try:
            self._catch_up()
        except DBAPIError as error:
            self._drop()
            if fault_of(error) is Fault.OURS:
                raise
            log.warning("feed_broken_off", reason=str(error.orig).strip())

    def _wait(self, span: float = POLL_S) -> None:
        """Until another server commits, or somebody here wants a look; at most for a moment."""
        watched, bell = select.poll(), self._bell
        assert bell is not None  # noqa: S101  # there from the start on
        watched.register(bell.heard, select.POLLIN)
        raw: Any = None if self._connection is None else self._connection.connection.dbapi_connection  # psycopg.Connection
        try:
            if raw is not None:
                watched.register(raw, select.POLLIN)
            for _ in range(MOST_HEARD):
                ready = {descriptor for descriptor, _ in watched.poll(span * 1000)}
                if bell.heard.fileno() in ready:
                    bell.heard.recv(4096)
                    return
                if not ready or not self._is_only_ours(raw):
                    return
        except (OSError, ValueError, self._engine.dialect.loaded_dbapi.Error):
            self._drop()
            threading.Event().wait(POLL_S / 10)

    def _is_only_ours(self, raw: Any) -> bool:  # psycopg.Connection
        """Whether all that was heard is of our own commits, which land by themselves."""
        heard = [notify.payload for notify in raw.notifies(timeout=0)]
        return bool(heard) and all(payload == self._run_id for payload in heard)

    def _wake(self) -> None:
        if self._bell is not None:
            self._bell.ring()

    # --- one look

    def _catch_up(self) -> None:
        """Writers that land meanwhile do not tell: what is between may be what is being looked at."""
        connection = self._open()
        with self._lock:
            self._is_looking, after = True, self._order.last
        try:
            seen = self._see(connection, after)
        finally:
            with self._lock:
                self._is_looking = False
        with self._lock:
            self._move_on(seen)
            if self._order.has_beyond(int(seen.rows[-1][0]) if seen.rows else after):
                self._wake()  # it landed meanwhile: the next look finds all that lies before it

    def _see(self, connection: Connection, after: int) -> Seen:
        command(connection, SNAPSHOT)
        try:
            rows = changes.changes_since(connection, after)
            if rows and changes.last_dropped(connection) > after:
                self._fatal(f"changes after {after} were forgotten before this server heard of them: it stood still for too long")
            if all(row[1] == self._run_id for row in rows):
                return Seen(rows)
            return Seen(rows, load_commit(connection, merged(row[2] for row in rows), self._last_event))
        finally:
            command(connection, "ROLLBACK")

    def _move_on(self, seen: Seen) -> None:
        if seen.commit is not None:
            pairs = [pair for landed in self._order.jump(int(seen.rows[-1][0])) for pair in landed.pairs]
            self._note_events([seen.commit])
            self._tell(Told([seen.commit], pairs))
        elif seen.rows:
            self._order.skip((int(row[0]) for row in seen.rows), int(seen.rows[-1][0]))
        self._tell_ready()

    def _tell_ready(self) -> None:
        for landed in self._order.ready():
            self._note_events(landed.commits)
            self._tell(Told(landed.commits, landed.pairs))

    def _note_events(self, commits: Sequence[Commit]) -> None:
        for commit in commits:
            if commit.events:
                self._last_event = max(self._last_event, commit.events[-1].seq)

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connection = self._engine.connect()
            command(connection, f"LISTEN {changes.CHANNEL}")
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            close(self._connection)
            self._connection = None
