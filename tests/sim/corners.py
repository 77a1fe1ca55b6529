"""Worlds drawn for one kind of trouble each, in which a rule matters that ordinary worlds seldom need. Pure."""

from __future__ import annotations

import random
from dataclasses import replace

from protocol.errors import FailureClass
from tests.sim.ground import NO_FAULTS, Rates
from tests.sim.plan import BUSY_S, TENANTS, EnginePlan, Fault, FaultKind, Film, JobPlan, Nature, Plan

CHARGED_OR_NOT = (FailureClass.ENGINE, FailureClass.INTERNAL, FailureClass.INFRA, FailureClass.INFRA)


def draw_edge(seed: int) -> Plan:
    """Engines that wake up again just as their leases end, on a disk so slow that memory is behind all the time."""
    rng = random.Random(f"edge {seed}")
    engines = tuple(EnginePlan(f"box{number}", 2, 1, frozenset(), True) for number in range(2))
    jobs = tuple(JobPlan(n, rng.uniform(0.0, 24.0), "default", "nap", 5, frozenset(), None, 3) for n in range(12))
    faults = [Fault(0.1, FaultKind.SLOW_DISK, BUSY_S)]
    faults += [Fault(rng.uniform(2.0, 24.0), FaultKind.FREEZE_ENGINE, rng.uniform(8.0, 14.0), n % 2) for n in range(8)]
    return Plan(seed, engines, jobs, tuple(faults), Rates(slow_commit=0.01))


def draw_fetch(seed: int) -> Plan:
    """Films that change behind their URLs, and a dispatch that dies often: between a link and its commit, too."""
    rng = random.Random(f"fetch {seed}")
    engines = tuple(EnginePlan(f"box{number}", 1, 2, frozenset(), True) for number in range(2))
    jobs = tuple(
        JobPlan(n, rng.uniform(0.0, 12.0), "default", "web", 5, frozenset(), None, 3, film=Film.CHANGING) for n in range(5)
    )
    faults = [Fault(rng.uniform(2.0, 20.0), FaultKind.CUT_ENGINE, rng.uniform(10.0, 20.0), n % 2) for n in range(3)]
    return Plan(seed, engines, jobs, tuple(faults), Rates(lose=0.05, kill_dispatch=0.01, storage=0.02))


def draw_purge(seed: int) -> Plan:
    """Jobs that are purged as soon as they may be, by clients who ask too early, on a dispatch that dies in between."""
    rng = random.Random(f"purge {seed}")
    engines = tuple(EnginePlan(f"box{number}", 1, 2, frozenset(), True) for number in range(2))
    jobs = tuple(_purged(rng, number) for number in range(6))
    faults = [Fault(rng.uniform(2.0, 25.0), FaultKind.KILL_DISPATCH, rng.uniform(0.2, 8.0)) for _ in range(2)]
    faults += [Fault(rng.uniform(2.0, 25.0), FaultKind.NO_STORAGE, rng.uniform(1.0, 12.0))]
    faults += [Fault(rng.uniform(2.0, 20.0), FaultKind.CUT_ENGINE, rng.uniform(10.0, 20.0), which) for which in range(2)]
    return Plan(seed, engines, jobs, tuple(faults), Rates(lose=0.05, repeat=0.05, kill_dispatch=0.01, storage=0.03))


def _purged(rng: random.Random, number: int) -> JobPlan:
    fails = rng.random() < 0.2
    return JobPlan(
        number=number,
        at=rng.uniform(0.0, 12.0),
        tenant=rng.choice(TENANTS),
        profile="web",
        priority=5,
        tags=frozenset(),
        ttl_s=None,
        max_attempts=3,
        failures=(FailureClass.POLICY,) if fails else (),
        cancel_after=rng.uniform(0.0, 12.0) if rng.random() < 0.4 else None,
        purge_after=rng.uniform(0.0, 10.0) if rng.random() < 0.8 else None,
        keeps_job=rng.random() < 0.3,
    )


def draw_cancel(seed: int) -> Plan:
    """Jobs that wait for few slots and are cancelled as they would be granted, with memory behind all the time."""
    rng = random.Random(f"cancel {seed}")
    engines = tuple(EnginePlan(f"box{number}", 1, 1, frozenset(), True) for number in range(2))
    jobs = tuple(_given_up(rng, number) for number in range(10))
    return Plan(seed, engines, jobs, (Fault(0.1, FaultKind.SLOW_DISK, BUSY_S),), Rates(slow_commit=0.01))


def _given_up(rng: random.Random, number: int) -> JobPlan:
    patience = rng.uniform(0.0, 15.0)
    return JobPlan(number, rng.uniform(0.0, 6.0), "default", "nap", 5, frozenset(), None, 3, cancel_after=patience)


def draw_failing(seed: int) -> Plan:
    """Jobs that crash engines, eat memory, or fail for reasons that are charged and such that are not."""
    rng = random.Random(f"failing {seed}")
    engines = tuple(EnginePlan(f"box{number}", 2, 1, frozenset(), True) for number in range(2))
    jobs = tuple(_failing(rng, number) for number in range(5))
    return Plan(seed, engines, jobs, (), Rates(lose=0.01))


def _failing(rng: random.Random, number: int) -> JobPlan:
    nature = rng.choice((Nature.HEALTHY, Nature.HEALTHY, Nature.EATS_MEMORY, Nature.CRASHES_ENGINES))
    failures = tuple(rng.choice(CHARGED_OR_NOT) for _ in range(3)) if nature is Nature.HEALTHY else ()
    most = rng.randint(2, 5)
    return JobPlan(
        number, rng.uniform(0.0, 20.0), "default", "nap", 5, frozenset(), None, most, nature, failures, retries=rng.random() < 0.3
    )


def draw_outage(seed: int) -> Plan:
    """Engines that die and are back at once, while dispatch is away for longer than a tool lives on its own."""
    rng = random.Random(f"outage {seed}")
    engines = tuple(EnginePlan(f"box{number}", 2, 1, frozenset(), True) for number in range(2))
    jobs = tuple(JobPlan(n, rng.uniform(0.0, 4.0), "default", "web", 5, frozenset(), None, 3) for n in range(5))
    faults = [Fault(rng.uniform(3.0, 6.0), FaultKind.KILL_DISPATCH, rng.uniform(20.0, 25.0))]
    faults += [Fault(rng.uniform(4.0, 10.0), FaultKind.KILL_ENGINE, rng.uniform(0.2, 2.0), n) for n in range(2)]
    return Plan(seed, engines, jobs, tuple(faults), Rates(), pace=3.0)


def draw_upload(seed: int) -> Plan:
    """Originals that come piece by piece, to a dispatch that loses its power: what was not synced is gone."""
    rng = random.Random(f"upload {seed}")
    engines = (EnginePlan("box0", 2, 2, frozenset(), True),)
    jobs = tuple(
        JobPlan(n, rng.uniform(0.0, 10.0), rng.choice(TENANTS), "web", 5, frozenset(), None, 3, pieces=rng.randint(2, 6))
        for n in range(4)
    )
    faults = tuple(Fault(rng.uniform(2.0, 25.0), FaultKind.KILL_DISPATCH, rng.uniform(0.2, 8.0)) for _ in range(2))
    return Plan(seed, engines, jobs, faults, Rates(lose=0.05, repeat=0.2, delay=0.03, kill_dispatch=0.01, storage=0.02))


def draw_capped(seed: int) -> Plan:
    """Tenants of whose tasks only so many may run, on engines with room for more, under a dispatch that comes and goes."""
    rng = random.Random(f"capped {seed}")
    engines = tuple(EnginePlan(f"box{number}", 2, 1, frozenset(), True) for number in range(2))
    jobs = tuple(
        JobPlan(n, rng.uniform(0.0, 10.0), TENANTS[n % 2], rng.choice(("nap", "web")), 5, frozenset(), None, 3) for n in range(8)
    )
    faults = [Fault(rng.uniform(2.0, 25.0), FaultKind.KILL_DISPATCH, rng.uniform(0.2, 4.0)) for _ in range(2)]
    faults += [Fault(rng.uniform(2.0, 20.0), FaultKind.FREEZE_ENGINE, rng.uniform(3.0, 20.0), rng.randrange(2))]
    caps = tuple((tenant, rng.randint(1, 2)) for tenant in TENANTS)
    return Plan(seed, engines, jobs, tuple(faults), Rates(lose=0.03, slow_commit=0.05, kill_dispatch=0.002), caps=caps)


def draw_untrusted(seed: int) -> Plan:
    """A tenant that is not trusted beside one that is, on engines with a sandbox and without, which come and go."""
    rng = random.Random(f"untrusted {seed}")
    engines = tuple(EnginePlan(f"box{number}", 1, 1, frozenset(), True, sandbox=1 + number) for number in range(3))
    jobs = tuple(
        JobPlan(n, rng.uniform(0.0, 10.0), TENANTS[n % 2], rng.choice(("nap", "web")), 5, frozenset(), None, 3) for n in range(8)
    )
    faults = [Fault(rng.uniform(2.0, 25.0), FaultKind.KILL_DISPATCH, rng.uniform(0.2, 4.0)) for _ in range(2)]
    faults += [Fault(rng.uniform(2.0, 20.0), FaultKind.FREEZE_ENGINE, rng.uniform(3.0, 20.0), rng.randrange(3)) for _ in range(2)]
    return Plan(seed, engines, jobs, tuple(faults), Rates(lose=0.03, kill_dispatch=0.002), untrusted=frozenset(TENANTS[1:2]))


def draw_graph(seed: int) -> Plan:
    """Jobs of every kind of task, cancelled, failing and retried at any moment, on engines that come and go.

    Engines that can transcribe are there all the time or not at all; no staged file is lost before the job is completing.
    """
    rng = random.Random(f"graph {seed}")
    does_more = [True, rng.random() < 0.5, rng.random() < 0.5]
    engines = tuple(EnginePlan(f"box{n}", rng.randint(1, 2), 1, frozenset(), True, does_more[n]) for n in range(3))
    jobs = tuple(_of_many_tasks(rng, number) for number in range(5))
    faults = [Fault(rng.uniform(2.0, 30.0), FaultKind.KILL_DISPATCH, rng.uniform(0.2, 6.0))]
    faults += [Fault(rng.uniform(2.0, 30.0), FaultKind.KILL_ENGINE, rng.uniform(0.5, 15.0), n) for n in range(3)]
    return Plan(seed, engines, jobs, tuple(faults), Rates(lose=0.03, repeat=0.03, kill_engine=0.004, kill_dispatch=0.002))


def _of_many_tasks(rng: random.Random, number: int) -> JobPlan:
    failures = tuple(rng.choice(tuple(FailureClass)) for _ in range(rng.randint(0, 3)))
    cancel_after = rng.uniform(0.0, 25.0) if rng.random() < 0.2 else None
    at, tenant, retries = rng.uniform(0.0, 10.0), rng.choice(TENANTS), rng.random() < 0.7
    return JobPlan(
        *(number, at, tenant, "film", 5, frozenset[str](), None, 3), failures=failures, cancel_after=cancel_after, retries=retries
    )


def draw_measured(seed: int) -> Plan:
    """Jobs whose encode is planned by what was measured, failing and retried, on engines that come and go; files are lost."""
    rng = random.Random(f"measured {seed}")
    engines = tuple(EnginePlan(f"box{n}", rng.randint(1, 2), 1, frozenset(), True, n < 2) for n in range(3))
    jobs = tuple(replace(_of_many_tasks(rng, number), profile="measured") for number in range(4))
    faults = [Fault(rng.uniform(2.0, 30.0), FaultKind.KILL_DISPATCH, rng.uniform(0.2, 6.0))]
    faults += [Fault(rng.uniform(2.0, 30.0), FaultKind.KILL_ENGINE, rng.uniform(0.5, 15.0), n) for n in range(3)]
    faults += [Fault(rng.uniform(4.0, 12.0), FaultKind.LOSE_STAGED, rng.uniform(15.0, 30.0))]
    return Plan(seed, engines, jobs, tuple(faults), Rates(lose=0.03, repeat=0.03, kill_engine=0.004, kill_dispatch=0.002))


def draw_ahead(seed: int) -> Plan:
    """Nothing goes wrong; engines that can do different things have now more work than slots, now less."""
    rng = random.Random(f"ahead {seed}")
    engines = tuple(EnginePlan(f"box{n}", rng.randint(1, 2), 1, frozenset(), n == 0 or rng.random() < 0.6) for n in range(3))
    jobs = tuple(
        JobPlan(n, rng.uniform(0.0, 16.0), rng.choice(TENANTS), rng.choice(("nap", "nap", "web")), 5, frozenset(), None, 3)
        for n in range(14)
    )
    return Plan(seed, engines, jobs, (), NO_FAULTS)


def draw_farm(seed: int) -> Plan:
    """Two servers on one database; the one that leads is killed, frozen past its lease, or cut off the database."""
    rng = random.Random(f"farm {seed}")
    engines = tuple(EnginePlan(f"box{number}", 2, 1, frozenset(), True) for number in range(2))
    jobs = tuple(
        JobPlan(n, rng.uniform(0.0, 22.0), rng.choice(TENANTS), rng.choice(("nap", "web")), 5, frozenset(), None, 4)
        for n in range(7)
    )
    kinds = (FaultKind.FREEZE_DISPATCH, FaultKind.FREEZE_DISPATCH, FaultKind.CUT_DATABASE, FaultKind.KILL_DISPATCH)
    faults = [Fault(2.0 + 10.0 * n + rng.uniform(0.0, 6.0), rng.choice(kinds), rng.uniform(2.0, 16.0), n) for n in range(3)]
    faults += [Fault(rng.uniform(2.0, 30.0), FaultKind.STOP_DISPATCH, rng.uniform(0.5, 5.0), rng.randrange(8))]
    faults += [Fault(rng.uniform(2.0, 25.0), FaultKind.KILL_ENGINE, rng.uniform(0.5, 15.0), rng.randrange(2))]
    rates = Rates(lose=0.02, repeat=0.02, kill_dispatch=0.0005, slow_commit=0.08, storage=0.005)
    return Plan(seed, engines, jobs, tuple(faults), rates, servers=2)


DRAWS = {
    "edge": draw_edge,
    "fetch": draw_fetch,
    "purge": draw_purge,
    "cancel": draw_cancel,
    "failing": draw_failing,
    "outage": draw_outage,
    "upload": draw_upload,
    "capped": draw_capped,
    "graph": draw_graph,
    "measured": draw_measured,
    "untrusted": draw_untrusted,
    "ahead": draw_ahead,
    "farm": draw_farm,
}
