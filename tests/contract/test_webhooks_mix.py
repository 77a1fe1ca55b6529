"""A thousand events at receivers that are fast, slow, failing, dropping, talking nonsense, gone and dead; two restarts."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path

from aiohttp import web

from dispatch.core.records import Delivery
from protocol.states import JobState
from protocol.webhooks import DeliveryState, WebhookEvent
from tests.contract.services_world import OTHER, Moments
from tests.contract.webhook_receiver import DROPPED, Received, Receiver, receiver
from tests.contract.webhooks_world import WebhookWorld, restartable

JOBS, EVENTS_OF_A_JOB, DEAD_JOBS = 250, 4, 4
ALL = (WebhookEvent.JOB_CREATED, WebhookEvent.JOB_ASSIGNED, WebhookEvent.JOB_COMPLETING, WebhookEvent.JOB_COMPLETED)
BAD = ("/holding", "/failing", "/dropping", "/nonsense")
HELD = 2
"""Messages that are taken and never answered: two are under way for that receiver when the server stops."""

MOST_REFUSALS = 6
"""Of one message: a receiver that refuses by chance alone would, once in forty runs, refuse one ten times and see it dead."""

STEP_S, MOST_STEPS = 1800.0, 1000


def _answers(to: Receiver) -> None:
    rng = random.Random(7)
    came: Counter[str] = Counter()

    def by_chance(one: Received, statuses: tuple[int, ...], weights: tuple[int, ...]) -> web.StreamResponse:
        came[one.id] += 1
        is_over = came[one.id] > MOST_REFUSALS
        return web.Response(status=200 if is_over else rng.choices(statuses, weights)[0])

    async def failing(one: Received) -> web.StreamResponse:
        return by_chance(one, (200, 500, 503, 429, 302), (60, 20, 10, 5, 5))

    async def dropping(one: Received) -> web.StreamResponse:
        return by_chance(one, (200, DROPPED), (70, 30))

    async def nonsense(_: Received) -> web.StreamResponse:
        return web.Response(status=200 if len(to.at("/nonsense")) > 40 else rng.choice((DROPPED, 418, 500)))

    async def holding(_: Received) -> web.StreamResponse:
        if len(to.at("/holding")) <= HELD:
            await to.released.wait()
        return web.Response()

    to.always |= {
        "/holding": holding,
        "/failing": failing,
        "/dropping": dropping,
        "/nonsense": nonsense,
        "/dead": 500,
        "/gone": 410,
    }


async def _set_up(world: WebhookWorld, to: Receiver) -> None:
    await world.endpoint(to.url("/fast"), *ALL)
    for path in (*BAD, "/gone"):
        await world.endpoint(to.url(path))
    await world.endpoint(to.url("/dead"), who=OTHER)


async def _jobs(world: WebhookWorld, to: Receiver, numbers: range) -> None:
    for number in numbers:
        own = to.url(f"/own?{number}") if number % 5 == 0 else None
        await world.finish(f"{number:03}", webhook_url=own)


async def _deliver_all(world: WebhookWorld) -> None:
    """Until nothing waits but for the endpoint whose receiver is gone, which somebody would have to enable."""
    endpoints = await world.store.read(lambda tx: tx.endpoints_of(None))
    (gone,) = [endpoint.endpoint_id for endpoint in endpoints if endpoint.url.endswith("/gone")]
    for _ in range(MOST_STEPS):
        await world.idle()
        waits = await world.store.read(lambda tx: len(tx.pending_of_endpoint(gone, 1000)))
        if len(world.parts.deliverer.queue) == waits:
            return
        await world.advance(STEP_S)
    raise AssertionError("not everything is delivered")


def _in_order(received: list[Received], rows: dict[str, Delivery]) -> bool:
    """By receiver and job: an event comes again before the next one, or not at all."""
    told: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for one in received:
        told[one.path, rows[one.id].job_id].append(rows[one.id].seq)
    return all(seqs == sorted(seqs) for seqs in told.values())


async def test_a_thousand_events_reach_a_bad_mix_of_receivers_over_two_restarts(tmp_path: Path) -> None:
    clock = Moments()
    async with receiver() as to:
        _answers(to)
        async with restartable(tmp_path, [to.port], clock) as world:
            await _set_up(world, to)
            for number in range(DEAD_JOBS):
                await world.new_job(f"dead{number}", tenant="acme")
                await world.move(f"job_dead{number}", JobState.CANCELLED)
            await _jobs(world, to, range(100))
            left_first = len(world.parts.deliverer.queue)
        async with restartable(tmp_path, [to.port], clock) as world:
            await _jobs(world, to, range(100, JOBS))
            left_second = len(world.parts.deliverer.queue)
        async with restartable(tmp_path, [to.port], clock) as world:
            await _deliver_all(world)
            rows = await world.rows_of_all()
        to.released.set()

    by_id = {row.delivery_id: row for row in rows}
    bytes_of: defaultdict[str, set[bytes]] = defaultdict(set)
    for one in to.got:
        bytes_of[one.id].add(one.body)
    made = Counter(row.url.removeprefix(to.url("")).partition("?")[0] for row in rows)
    states = Counter((row.url.removeprefix(to.url("")).partition("?")[0], row.state) for row in rows)

    assert made["/fast"] == JOBS * EVENTS_OF_A_JOB
    assert {made[path] for path in BAD} == {JOBS}
    assert made["/own"] == JOBS // 5
    for path in ("/fast", "/own", *BAD):
        assert states[path, DeliveryState.DELIVERED] == made[path], path
    assert states["/dead", DeliveryState.DEAD] == DEAD_JOBS
    assert [row.attempts for row in rows if row.url == to.url("/dead")] == [10] * DEAD_JOBS
    assert 0 < made["/gone"] < JOBS
    assert len(to.at("/gone")) <= 4

    assert bytes_of.keys() <= by_id.keys()
    assert all(found == {by_id[delivery_id].payload.encode()} for delivery_id, found in bytes_of.items())
    assert {row.delivery_id for row in rows if row.state == DeliveryState.DELIVERED} == {one.id for one in to.taken}
    assert _in_order(to.got, by_id)

    tries = Counter(one.id for one in to.got)
    assert sum(count > 1 for count in tries.values()) >= 100
    assert left_first >= 20
    assert left_second >= 100
    assert to.most_flying["/failing"] <= 2
    assert len({one.id for one in to.at("/holding")[:HELD]} & {one.id for one in to.at("/holding")[HELD:]}) == HELD
