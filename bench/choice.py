"""Choosing one task alone, in memory: 1,000,000 waiting tasks of 1,000 tenants, 10,000 engines. Run: python -m bench.choice

Two farms: a typical one (40 signatures) and the hardest one expected (200 signatures, each tenant in all of them, and
engines that fit them all).
"""

from __future__ import annotations

import gc
import json
import random
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from bench.rows import Row
from dispatch.core.matching import EngineSight
from dispatch.core.ready_index import ReadyIndex
from dispatch.core.records import Task
from dispatch.core.rooms import Room
from protocol.states import EngineState, TaskKind, TaskState

TASKS, TENANTS, ENGINES, CHOICES = 1_000_000, 1_000, 10_000, 100_000


@dataclass(frozen=True, slots=True)
class Farm:
    """`codecs` x `sites` signatures; an engine provides all codecs and stands at one site, or at all of them."""

    name: str
    codecs: int
    sites: int
    sites_of_engine: int
    weight: Callable[[int], float]


FARMS = (
    Farm("typical", codecs=8, sites=5, sites_of_engine=1, weight=lambda _: 1.0),
    Farm("weights 1-4", codecs=8, sites=5, sites_of_engine=5, weight=lambda n: 1.0 + n % 4),
    Farm("hardest", codecs=20, sites=10, sites_of_engine=10, weight=lambda _: 1.0),
)


def tasks(farm: Farm, rng: random.Random) -> Iterator[Task]:
    needs = [tuple(sorted(("operation:transcode", f"encoder:codec{n}"))) for n in range(farm.codecs)]
    tags = [(f"site:s{n}",) for n in range(farm.sites)]
    for n in range(TASKS):
        yield Task(
            task_id=f"tsk_{n:026d}",
            job_id=f"job_{n:026d}",
            tenant=f"tenant{n % TENANTS}",
            kind=TaskKind.TRANSCODE,
            ordinal=0,
            state=TaskState.PENDING,
            priority=rng.randint(1, 10),
            needs=rng.choice(needs),
            tags=rng.choice(tags),
            cost_s=rng.uniform(10.0, 600.0),
            created_at=1e9 + n * 0.01,
        )


def engines(farm: Farm) -> Iterator[EngineSight]:
    provided = frozenset({"operation:transcode", *(f"encoder:codec{n}" for n in range(farm.codecs))})
    for n in range(ENGINES):
        tags = frozenset(f"site:s{(n + k) % farm.sites}" for k in range(farm.sites_of_engine))
        yield EngineSight(f"eng_{n:05d}", f"box{n}", "boot", provided, tags, EngineState.ONLINE, "none", "{}", "{}")


def jain(shares: list[float]) -> float:
    """Jain's fairness index: 1 when all shares are equal, 1/n when one has all."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def measure(farm: Farm) -> Iterator[Row]:
    rng = random.Random(7)
    records = list(tasks(farm, rng))
    sights = list(engines(farm))
    costs = {task.task_id: (task.tenant, task.cost_s) for task in records}
    gc.collect()
    resident = _resident_bytes()
    index = ReadyIndex()
    begun = time.perf_counter()
    for sight in sights:
        index.lanes.set_engine(sight)
    for n in range(TENANTS):
        index.set_weight(f"tenant{n}", farm.weight(n))
    for task in records:
        index.put(task)
    yield Row(f"{farm.name}: rebuild of the index", round(time.perf_counter() - begun, 2), "s", "seconds")
    yield Row(f"{farm.name}: memory per task, beside its two ids", round((_resident_bytes() - resident) / TASKS), "B")
    yield Row(f"{farm.name}: signatures", len(index.lanes), "")
    spans, served = _choose(index, rng, costs)
    for name, share, target in (("p50", 0.5, ""), ("p99", 0.99, "<= 100"), ("p99.9", 0.999, ""), ("max", 1.0, "")):
        value = spans[min(int(len(spans) * share), len(spans) - 1)] * 1e6
        yield Row(f"{farm.name}: one choice {name}", round(value, 1), "us", target)
    shares = [served[f"tenant{n}"] / farm.weight(n) for n in range(TENANTS)]
    yield Row(f"{farm.name}: Jain's index over service / weight", round(jain(shares), 4), "", ">= 0.95")


def _choose(index: ReadyIndex, rng: random.Random, costs: dict[str, tuple[str, float]]) -> tuple[list[float], dict[str, float]]:
    spans: list[float] = []
    served: dict[str, float] = defaultdict(float)
    for n in range(CHOICES):
        engine_id = f"eng_{rng.randrange(ENGINES):05d}"
        begun = time.perf_counter()
        picks = index.choose(engine_id, Room(encoding=1, light=0), 1e9 + n * 0.001)
        spans.append(time.perf_counter() - begun)
        for pick in picks:
            tenant, cost = costs[pick.task_id]
            served[tenant] += cost
            index.confirm(pick.task_id, pick.task_id.replace("tsk", "job"))
    return sorted(spans), served


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def run() -> list[Row]:
    """All figures. Takes about a minute and 3 GB."""
    rows: list[Row] = []
    for farm in FARMS:
        rows.extend(measure(farm))
        gc.collect()
    return rows


def main() -> None:
    rows = run()
    for row in rows:
        print(f"{row.name:55} {row.value:>12,} {row.unit:3} {row.target}", file=sys.stderr)
    print(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
