"""What one world will be like, drawn from its seed: engines, jobs, and the faults that have their moment. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from enum import StrEnum

from protocol.errors import FailureClass
from tests.sim.ground import Rates

TENANTS = ("default", "acme")
FILMS = frozenset({"web", "film", "measured"})
"""Profiles with an original."""

BUSY_S = 40.0
"""How long the world misbehaves; then it is left to heal."""


class Nature(StrEnum):
    """What a job's work does to engines, beyond its script of failures."""

    HEALTHY = "healthy"
    CRASHES_ENGINES = "crashes engines"  # the engine finds its own fatal signal at its next start
    EATS_MEMORY = "eats memory"  # the tool is killed by its memory limit, each time


class Film(StrEnum):
    """What lies behind a URL."""

    STEADY = "steady"
    CHANGING = "changing"  # another one each time it is fetched


@dataclass(frozen=True, slots=True)
class EnginePlan:
    name: str
    encoding: int
    light: int
    tags: frozenset[str]
    does_web: bool
    does_more: bool = False
    """Transcribes, takes frames and packages."""
    sandbox: int = 1


@dataclass(frozen=True, slots=True)
class JobPlan:
    """`failures` are what the attempts of its main task report, in order, before they succeed.

    `film` is what its URL leads to, for a job that is given by URL. `purge_after` seconds its client begins to ask for
    a purge of the outputs, or of all of it, until the job has ended and it is told so. `pieces` is in how many requests
    its original comes, by a resumable upload; 0 for all of it with the submission.
    """

    number: int
    at: float
    tenant: str
    profile: str
    priority: int
    tags: frozenset[str]
    ttl_s: int | None
    max_attempts: int
    nature: Nature = Nature.HEALTHY
    failures: tuple[FailureClass, ...] = ()
    cancel_after: float | None = None
    retries: bool = False
    film: Film | None = None
    purge_after: float | None = None
    keeps_job: bool = False
    pieces: int = 0


class FaultKind(StrEnum):
    KILL_ENGINE = "kill engine"
    FREEZE_ENGINE = "freeze engine"
    CUT_ENGINE = "cut engine off"
    DRAIN_ENGINE = "drain engine"
    STOP_ENGINE = "stop engine"
    KILL_DISPATCH = "kill dispatch"
    STOP_DISPATCH = "stop dispatch"
    JUMP_CLOCK = "jump clock"
    NO_STORAGE = "storage away"
    FULL_STORAGE = "storage full"
    LOSE_STAGED = "lose staged file"
    SLOW_DISK = "slow disk"
    FREEZE_DISPATCH = "freeze dispatch"
    CUT_DATABASE = "cut database off"


OF_FARMS = frozenset({FaultKind.FREEZE_DISPATCH, FaultKind.CUT_DATABASE})
"""What means nothing to a server that is alone."""


@dataclass(frozen=True, slots=True)
class Fault:
    """At `at`, for `span` seconds; `which` picks an engine, `size` is how far a clock jumps."""

    at: float
    kind: FaultKind
    span: float
    which: int = 0
    size: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    engines: tuple[EnginePlan, ...]
    jobs: tuple[JobPlan, ...]
    faults: tuple[Fault, ...] = ()
    rates: Rates = field(default_factory=Rates)
    lease_s: float = 12.0
    heartbeat_s: float = 4.0
    ack_s: float = 3.0
    sweep_s: float = 2.0
    reattach_s: float = 8.0
    """How long a tool goes on without its engine."""
    pace: float = 1.0
    """How much longer than usual the tools take."""
    untrusted: frozenset[str] = frozenset()
    """Tenants whose jobs run only in a sandbox of tier 2 and up."""
    servers: int = 1
    """How many dispatch servers work on the database."""
    caps: tuple[tuple[str, int], ...] = ()
    """How many tasks of a tenant may run at once, where that is limited."""


SPANS: dict[FaultKind, tuple[float, float]] = {
    FaultKind.KILL_ENGINE: (0.5, 25.0),
    FaultKind.FREEZE_ENGINE: (3.0, 24.0),
    FaultKind.CUT_ENGINE: (3.0, 30.0),
    FaultKind.DRAIN_ENGINE: (3.0, 15.0),
    FaultKind.STOP_ENGINE: (1.0, 10.0),
    FaultKind.KILL_DISPATCH: (0.2, 20.0),
    FaultKind.STOP_DISPATCH: (0.2, 5.0),
    FaultKind.JUMP_CLOCK: (2.0, 30.0),
    FaultKind.NO_STORAGE: (1.0, 12.0),
    FaultKind.FULL_STORAGE: (1.0, 12.0),
    FaultKind.LOSE_STAGED: (15.0, 30.0),
    FaultKind.SLOW_DISK: (5.0, 20.0),
}
WEIGHTS: dict[FaultKind, int] = {
    FaultKind.KILL_ENGINE: 5,
    FaultKind.FREEZE_ENGINE: 3,
    FaultKind.CUT_ENGINE: 3,
    FaultKind.DRAIN_ENGINE: 1,
    FaultKind.STOP_ENGINE: 1,
    FaultKind.KILL_DISPATCH: 4,
    FaultKind.STOP_DISPATCH: 1,
    FaultKind.JUMP_CLOCK: 2,
    FaultKind.NO_STORAGE: 1,
    FaultKind.FULL_STORAGE: 1,
    FaultKind.LOSE_STAGED: 2,
    FaultKind.SLOW_DISK: 2,
}
RATES = Rates(
    lose=0.03,
    repeat=0.03,
    delay=0.03,
    kill_engine=0.004,
    kill_dispatch=0.002,
    storage=0.01,
    queue_full=0.01,
    slow_commit=0.01,
)


def draw_plan(seed: int) -> Plan:
    rng = random.Random(f"plan {seed}")
    engines = tuple(_engine(rng, n) for n in range(rng.randint(2, 3)))
    jobs = tuple(_perhaps_by_url(seed, _job(rng, n)) for n in range(rng.randint(4, 6)))
    faults = tuple(sorted((_fault(rng) for _ in range(rng.randint(3, 6))), key=lambda fault: fault.at))
    return Plan(seed, engines, jobs, faults, RATES)


def _engine(rng: random.Random, number: int) -> EnginePlan:
    """The first can do everything, so that every job can be done."""
    tags = frozenset({"site:north"}) if number == 0 or rng.random() < 0.3 else frozenset()
    return EnginePlan(f"box{number}", rng.randint(1, 2), 1, tags, number == 0 or rng.random() < 0.8)


def _job(rng: random.Random, number: int) -> JobPlan:
    profile = rng.choices(("web", "nap", "noop"), (4, 3, 2))[0]
    nature = rng.choices(tuple(Nature), (20, 1, 1))[0] if profile != "noop" else Nature.HEALTHY
    fails = rng.random() < 0.3 and profile != "noop"
    failures = tuple(rng.choice(tuple(FailureClass)) for _ in range(rng.randint(1, 3))) if fails else ()
    return JobPlan(
        number=number,
        at=rng.uniform(0.0, 15.0),
        tenant=rng.choice(TENANTS),
        profile=profile,
        priority=rng.randint(1, 10),
        tags=frozenset({"site:north"}) if rng.random() < 0.15 else frozenset(),
        ttl_s=rng.randint(10, 40) if rng.random() < 0.1 else None,
        max_attempts=rng.randint(2, 5),
        nature=nature,
        failures=failures if nature is Nature.HEALTHY else (),
        cancel_after=rng.uniform(0.0, 20.0) if rng.random() < 0.15 else None,
        retries=rng.random() < 0.5,
    )


def _perhaps_by_url(seed: int, job: JobPlan) -> JobPlan:
    """Of a chance of its own, so that all else is drawn as it was before there were URLs."""
    rng = random.Random(f"url {seed} {job.number}")
    if job.profile != "web" or rng.random() < 0.6:
        return job
    return replace(job, film=rng.choice(tuple(Film)))


def _fault(rng: random.Random) -> Fault:
    kind = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
    size = rng.choice((-1, 1)) * rng.choice((5.0, 15.0, 3600.0))
    return Fault(rng.uniform(1.0, BUSY_S - 12.0), kind, rng.uniform(*SPANS[kind]), rng.randrange(8), size)
