"""What a monitoring system and an autoscaler read, as Prometheus's text: the same figures on every server of a farm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dispatch.core.cluster import Leadership
from dispatch.core.metering import JobCount
from dispatch.core.records import UsageRow
from dispatch.ports import Store, Transaction
from dispatch.services.backlog import BacklogService
from dispatch.services.registry import EngineRegistry
from protocol.scaling import BacklogClass, Scaling
from protocol.states import TERMINAL_JOB_STATES, EngineState, JobState

CONTENT_TYPE = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class Facts:
    """Rows of one moment."""

    open_jobs: tuple[JobCount, ...]
    usage: tuple[UsageRow, ...]
    leader: Leadership | None
    moment: float


class MetricsService:
    def __init__(self, store: Store, registry: EngineRegistry, backlog: BacklogService) -> None:
        self._store, self._registry, self._backlog = store, registry, backlog

    async def text(self) -> bytes:
        def look(tx: Transaction) -> Facts:
            return Facts(tuple(tx.open_jobs(None)), tuple(tx.usage_sums(None)), tx.leadership(), tx.moment())

        facts, scaling = await self._store.read(look), await self._backlog.scaling()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Told([*_jobs(facts), _engines(self._registry.count_states()), *_leader(facts), *_signals(scaling)]))
        return generate_latest(registry)


class _Told:
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _jobs(facts: Facts) -> Iterator[Metric]:
    there = GaugeMetricFamily("reelyard_jobs", "Jobs that have not ended, by state.", labels=["state"])
    for state in JobState:
        if state not in TERMINAL_JOB_STATES:
            there.add_metric([state.value], sum(row.count for row in facts.open_jobs if row.state is state))
    yield there
    ended = CounterMetricFamily("reelyard_jobs_ended", "Jobs that have ended, by their state.", labels=["state"])
    for state, count in (
        (JobState.COMPLETED, sum(row.jobs_completed for row in facts.usage)),
        (JobState.FAILED, sum(row.jobs_failed for row in facts.usage)),
        (JobState.CANCELLED, sum(row.jobs_cancelled for row in facts.usage)),
    ):
        ended.add_metric([state.value], count)
    yield ended


def _engines(counted: dict[EngineState, int]) -> Metric:
    family = GaugeMetricFamily("reelyard_engines", "Engines that are known, by state.", labels=["state"])
    for state, count in counted.items():
        family.add_metric([state.value], count)
    return family


def _leader(facts: Facts) -> Iterator[Metric]:
    """Nothing on a farm of one server, which always leads."""
    leader = facts.leader
    if leader is None:
        return
    there = GaugeMetricFamily("reelyard_leader", "1 for the server that leads; 0 once its time is over.", labels=["server"])
    there.add_metric([leader.server_id], int(leader.until > facts.moment))
    yield there
    yield GaugeMetricFamily("reelyard_leader_epoch", "How often the leader has changed.", value=leader.epoch)


def _signals(scaling: Scaling) -> Iterator[Metric]:
    yield GaugeMetricFamily("reelyard_queue_depth", "Tasks that wait to be granted.", value=scaling.queue_depth)
    yield GaugeMetricFamily(
        "reelyard_backlog_seconds", "When all known work is done; +Inf where no engine fits some.", value=_span(scaling)
    )
    yield GaugeMetricFamily("reelyard_engines_taking_work", "Engines that take work now.", value=scaling.engines)
    yield GaugeMetricFamily(
        "reelyard_desired_engines", "Engines that do all known work within the target.", value=scaling.desired_engines
    )
    for name, text, figure in (
        ("queue_depth", "Tasks that wait to be granted, by what they ask of an engine.", lambda one: one.queued),
        ("running", "Tasks that engines hold, by what they ask of an engine.", lambda one: one.running),
        ("work_seconds", "Seconds of one slot that the known work takes.", lambda one: one.work_seconds),
        ("backlog_seconds", "When the known work is done; +Inf where no engine fits.", _span),
        ("engines", "Engines that fit and take work now.", lambda one: one.engines),
        ("desired_engines", "Engines that do the known work within the target.", lambda one: one.desired_engines),
    ):
        family = GaugeMetricFamily(f"reelyard_class_{name}", text, labels=["class", "slots"])
        for one in scaling.classes:
            family.add_metric([one.name, one.slots.value], figure(one))
        yield family


def _span(told: BacklogClass | Scaling) -> float:
    return inf if told.backlog_seconds is None else told.backlog_seconds
