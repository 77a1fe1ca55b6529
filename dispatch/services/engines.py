"""The registry of engines: registration, credentials, state, and what operators ask of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from dispatch.core import lifecycle
from dispatch.core.callers import Caller
from dispatch.core.lease_table import LeaseTable
from dispatch.core.paging import FIRST, Listing, Wanted, page_fields
from dispatch.core.records import Attempt, Engine, NewEvent
from dispatch.core.times import maybe, rfc3339
from dispatch.ports import Clock, Ids, Store, Transaction
from dispatch.services.audit import audited
from dispatch.services.leases import require_kept
from dispatch.services.registry import PRESENT, EngineRegistry
from protocol.admin import EnginePage, EnginePatch, EngineView
from protocol.capabilities import Capabilities, HeldTask, Kept, Load, RegisterReply, RegisterRequest, Slots
from protocol.errors import ErrorCode, ReelyardError
from protocol.events import EventType
from protocol.leases import RunningTask
from protocol.states import LIVE_ATTEMPT_STATES, AttemptState, EngineState

ENGINES = Listing("engines")
MOST_AWAITING = 200
OPERATOR = "-"
"""Engine events belong to no tenant; only operators see them."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Heartbeats come every `heartbeat_s` of an idle engine. One that works tells its progress more often.

    `beats_per_s` bounds what all engines together send.
    """

    heartbeat_s: float = 15.0
    shortest_s: float = 1.0
    beats_per_s: float = 20.0
    lease_s: float = 60.0

    def interval(self, engines: int) -> float:
        """For an engine that works, among so many."""
        return min(self.heartbeat_s, max(self.shortest_s, engines / self.beats_per_s))


def digest(secret: str) -> str:
    """SHA-256 is right for secrets of 256 random bits; they need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def engine_event(engine: Engine, type_: EventType, was: EngineState | None, now: float) -> NewEvent:
    data = f'{{"engine_id":"{engine.engine_id}"}}'
    return NewEvent(type_, now, OPERATOR, None, None, None if was is None else was.value, engine.state.value, data)


class EngineService:
    def __init__(self, store: Store, registry: EngineRegistry, table: LeaseTable, ids: Ids, clock: Clock, pace: Pace) -> None:
        self._store, self._registry, self._table = store, registry, table
        self._ids, self._clock, self._pace = ids, clock, pace
        self._known: dict[str, str] = {}

    # --- registration

    async def register(
        self, request: RegisterRequest, *, credential: str | None, has_registration_token: bool, awaits_approval: bool = False
    ) -> RegisterReply:
        """A known engine shows its credential and keeps its identity; a new one needs the registration token.

        With `awaits_approval` a new one is heard and gets no work until an operator approves it.
        """
        engine_id = await self.check_known(credential, has_registration_token=has_registration_token)
        now, secret = self._clock.now(), None
        if engine_id is None:
            engine_id, secret = self._ids.new("eng", now), self._ids.secret()
        kept = await self._store.transact(lambda tx: _register(tx, engine_id, secret, request, now, awaits_approval))
        live = [(k.task_id, k.token) for k in kept if k.keep]
        require_kept(self._table)
        # One that is being expired at this moment is not renewed, and so not to be kept.
        renewed = {lease.token for lease in self._table.renew(engine_id, live, monotonic=self._clock.monotonic())}
        return RegisterReply(
            engine_id=engine_id,
            credential=secret,
            heartbeat_s=self._pace.interval(self._registry.count_present()),
            lease_s=self._pace.lease_s,
            held=tuple(k.model_copy(update={"keep": k.token in renewed, "lease_s": self._pace.lease_s}) for k in kept),
        )

    async def check_known(self, credential: str | None, *, has_registration_token: bool) -> str | None:
        """The engine's id, None for a new one. Raises UNAUTHORIZED for one that may not be new."""
        engine_id = await self._identity(credential) if credential else None
        if engine_id is None and not has_registration_token:
            message = "this engine is not known here, and it showed no registration token that is good now"
            raise ReelyardError(ErrorCode.UNAUTHORIZED, message)
        return engine_id

    async def authenticate(self, credential: str) -> str:
        """The engine_id a credential belongs to. Raises UNAUTHORIZED."""
        engine_id = await self._identity(credential)
        if engine_id is None:
            raise ReelyardError(ErrorCode.UNAUTHORIZED, "the engine's credential is unknown or revoked; it must register again")
        return engine_id

    async def _identity(self, credential: str) -> str | None:
        hashed = digest(credential)
        known = self._known.get(hashed)
        if known is not None and self._registry.has(known):
            return known
        engine = await self._store.read(lambda tx: tx.engine_by_credential(hashed))
        if engine is None:
            self._known.pop(hashed, None)
            return None
        self._known[hashed] = engine.engine_id
        return engine.engine_id

    # --- what operators see and ask

    async def list(self, wanted: Wanted = FIRST) -> EnginePage:
        def load(tx: Transaction) -> EnginePage:
            live: dict[str, list[Attempt]] = {}
            for attempt in tx.live_attempts():
                live.setdefault(attempt.engine_id, []).append(attempt)
            found = tx.list_engines(wanted)
            views = tuple(engine_view(engine, live.get(engine.engine_id, ())) for engine in found.rows)
            return EnginePage(engines=views, **page_fields(found, wanted, ENGINES))

        return await self._store.read(load)

    async def get(self, engine_id: str) -> EngineView:
        return await self._store.read(lambda tx: engine_view(present(tx, engine_id), tx.live_attempts(engine_id)))

    async def patch(self, who: Caller, engine_id: str, patch: EnginePatch) -> EngineView:
        def change(engine: Engine) -> Engine:
            if patch.tags is not None:
                engine = replace(engine, tags=tuple(sorted(patch.tags)))
            if patch.weight is not None:
                engine = replace(engine, weight=patch.weight)
            if patch.paused is None:
                return engine
            return _asked(engine, "pause") if patch.paused else _no_longer_asked(engine, "pause")

        told = patch.model_dump(mode="json", exclude_unset=True)
        return await self._change(engine_id, change, lambda tx, now: audited(tx, who, "patch_engine", engine_id, told, now=now))

    async def approve(self, who: Caller, engine_id: str) -> EngineView:
        """An engine that awaited approval gets work from now on; of any other nothing changes."""
        return await self._ask(who, "approve_engine", engine_id, lambda engine: _no_longer_asked(engine, "approve"))

    async def drain(self, who: Caller, engine_id: str) -> EngineView:
        return await self._ask(who, "drain_engine", engine_id, lambda engine: _asked(engine, "drain"))

    async def undrain(self, who: Caller, engine_id: str) -> EngineView:
        return await self._ask(who, "undrain_engine", engine_id, lambda engine: _no_longer_asked(engine, "drain"))

    async def delete(self, who: Caller, engine_id: str) -> None:
        """Remove it; what it holds goes back to the queue, its credential is worth nothing from now on."""
        now = self._clock.now()

        def remove(tx: Transaction) -> None:
            engine = present(tx, engine_id)
            give_back(tx, engine_id, keep=frozenset(), now=now)
            tx.delete_engine(engine_id)
            audited(tx, who, "delete_engine", engine_id, {"name": engine.name}, now=now)

        await self._store.transact(remove)

    async def offline(self, engine_id: str, boot_id: str) -> None:
        """This run of the engine says goodbye; what it still holds goes back at once. A later run is not meant."""
        now = self._clock.now()

        def leave(tx: Transaction) -> None:
            engine = present(tx, engine_id)
            if engine.boot_id != boot_id:
                return
            give_back(tx, engine_id, keep=frozenset(), now=now)
            gone = replace(engine, state=EngineState.OFFLINE, version=engine.version + 1)
            tx.put_engine(gone)
            tx.append([engine_event(gone, EventType.ENGINE_OFFLINE, engine.state, now)])

        await self._store.transact(leave)

    async def mark_lost(self, *, silent_s: float) -> int:
        """Engines not heard for so long are lost; their leases end by their own clock."""
        silent = self._registry.silent(longer_than_s=silent_s)
        for engine_id in silent:
            await self._change(engine_id, lambda e: replace(e, state=EngineState.LOST))
        return len(silent)

    async def _ask(self, who: Caller, action: str, engine_id: str, change: Callable[[Engine], Engine]) -> EngineView:
        return await self._change(engine_id, change, lambda tx, now: audited(tx, who, action, engine_id, now=now))

    async def _change(
        self, engine_id: str, change: Callable[[Engine], Engine], note: Callable[[Transaction, float], None] | None = None
    ) -> EngineView:
        now = self._clock.now()

        def apply(tx: Transaction) -> EngineView:
            engine = present(tx, engine_id)
            changed = replace(change(engine), version=engine.version + 1)
            tx.put_engine(changed)
            if note is not None:
                note(tx, now)
            if changed.state is not engine.state:
                tx.append([engine_event(changed, EventType.ENGINE_CHANGED, engine.state, now)])
            return engine_view(changed, tx.live_attempts(engine_id))

        return await self._store.transact(apply)


ASKED_STATES = {
    "pause": EngineState.PAUSED,
    "drain": EngineState.DRAINING,
    "approve": EngineState.AWAITING_APPROVAL,
}
"""What an engine shows while this is `wanted` of it, or awaited."""


def _asked(engine: Engine, wanted: str) -> Engine:
    """What an operator asks shows at once on an engine that is there; a gone one hears of it when it comes back.

    Raises ENGINE_NOT_APPROVED: taken back, the wish would leave an engine that works without approval.
    """
    if engine.wanted == "approve":
        raise ReelyardError(ErrorCode.ENGINE_NOT_APPROVED, details={"engine_id": engine.engine_id})
    return replace(engine, wanted=wanted, state=ASKED_STATES[wanted] if engine.state in PRESENT else engine.state)


def _no_longer_asked(engine: Engine, wanted: str) -> Engine:
    """Takes back this wish and no other."""
    if engine.wanted != wanted:
        return engine
    is_shown = engine.state is ASKED_STATES[wanted]
    return replace(engine, wanted="none", state=EngineState.ONLINE if is_shown else engine.state)


def present(tx: Transaction, engine_id: str) -> Engine:
    engine = tx.engine(engine_id)
    if engine is None:
        raise ReelyardError(ErrorCode.ENGINE_NOT_FOUND)
    return engine


def _register(
    tx: Transaction, engine_id: str, secret: str | None, request: RegisterRequest, now: float, awaits_approval: bool
) -> list[Kept]:
    known = tx.engine(engine_id)
    if known is None and secret is None:  # removed since its credential was looked up
        raise ReelyardError(ErrorCode.UNAUTHORIZED, "this engine was removed; start it with the registration token")
    if known is None and awaits_approval:
        _refuse_crowd(tx)
    wanted = known.wanted if known is not None else "approve" if awaits_approval else "none"
    own_tags = tuple(sorted(request.tags))
    engine = Engine(
        engine_id=engine_id,
        name=request.name,
        hostname=request.hostname,
        boot_id=request.boot_id,
        software_version=request.version,
        state=ASKED_STATES.get(wanted, EngineState.ONLINE),
        credential_sha256=digest(secret) if secret else known.credential_sha256 if known else "",
        capabilities_json=request.capabilities.model_dump_json(),
        tags=known.tags if known is not None and known.own_tags == own_tags else own_tags,
        slots_json=request.slots.model_dump_json(),
        load_json=Load().model_dump_json(),
        registered_at=now if known is None else known.registered_at,
        last_heartbeat_at=now,
        wanted=wanted,
        version=1 if known is None else known.version + 1,
        own_tags=own_tags,
        weight=1.0 if known is None else known.weight,
    )
    tx.put_engine(engine)
    tx.append([engine_event(engine, EventType.ENGINE_REGISTERED, None if known is None else known.state, now)])
    live = give_back(tx, engine_id, keep=frozenset((h.task_id, h.token) for h in request.held), now=now)
    return [Kept(task_id=h.task_id, token=h.token, keep=_key(h) in live) for h in request.held]


def _refuse_crowd(tx: Transaction) -> None:
    """Anybody may ask for approval: what they can leave here is bounded."""
    if sum(engine.wanted == "approve" for engine in tx.engines()) >= MOST_AWAITING:
        raise ReelyardError(ErrorCode.RATE_LIMITED, "too many engines await approval; approve or delete some", retry_after=60.0)


def _key(held: HeldTask) -> tuple[str, int]:
    return held.task_id, held.token


def give_back(tx: Transaction, engine_id: str, *, keep: frozenset[tuple[str, int]], now: float) -> set[tuple[str, int]]:
    """End every live attempt of the engine but those to keep; their tasks are grantable again. Returns what was kept."""
    attempts = tx.live_attempts(engine_id)
    before = tx.graphs({a.job_id for a in attempts}, attempts=attempts)
    after = dict(before)
    kept = set()
    for attempt in attempts:
        graph = after[attempt.job_id]
        if not lifecycle.is_live(graph, attempt) or attempt.state not in LIVE_ATTEMPT_STATES:
            continue
        if (attempt.task_id, attempt.token) in keep:
            kept.add((attempt.task_id, attempt.token))
        else:
            after[attempt.job_id] = lifecycle.expire(graph, attempt.token, now=now)
    tx.save(before.values(), (after[job_id] for job_id in before))
    return kept


@lru_cache(maxsize=1024)
def _capabilities(told: str) -> Capabilities:
    """By their text, which stays while heartbeats change the rest: reading it is most of what a view costs."""
    return Capabilities.model_validate_json(told)


def engine_view(engine: Engine, live: Iterable[Attempt] = ()) -> EngineView:
    """`live` are the attempts it holds; their progress is told by the jobs."""
    return EngineView(
        engine_id=engine.engine_id,
        name=engine.name,
        hostname=engine.hostname,
        state=engine.state,
        version=engine.version,
        software_version=engine.software_version,
        boot_id=engine.boot_id,
        capabilities=_capabilities(engine.capabilities_json),
        tags=frozenset(engine.tags),
        slots=Slots.model_validate_json(engine.slots_json),
        load=Load.model_validate_json(engine.load_json),
        running=tuple(RunningTask(task_id=a.task_id, token=a.token, started=a.state is AttemptState.RUNNING) for a in live),
        registered_at=rfc3339(engine.registered_at),
        last_heartbeat_at=maybe(engine.last_heartbeat_at),
        weight=engine.weight,
    )
