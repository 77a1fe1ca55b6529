"""From the event to the receiver: tries, order, room, breaker, and what is left when something is gone."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from dispatch.core.purging import Reason, everything
from dispatch.core.records import Delivery
from dispatch.core.webhooks import DELAYS_S
from dispatch.ports import Transaction
from dispatch.services.purging import save_purge
from dispatch.services.webhooks import DISCARDED_AT_ONCE
from protocol.errors import ErrorCode, ReelyardError
from protocol.states import JobState
from protocol.webhooks import DeliveryDetail, DeliveryState, EndpointPatch, WebhookEvent
from tests.contract.services_world import CLIENT, OTHER
from tests.contract.store_adapters import job
from tests.contract.webhook_receiver import Received, raw_server, receiver
from tests.contract.webhooks_world import TO_COMPLETED, webhooks_world
from tests.unit.dispatch_jobs import NOW


def told_of(received: list[Received]) -> list[tuple[str, str]]:
    return [(one.told["data"]["job_id"], one.event) for one in received]


async def test_ten_tries_of_the_same_message_at_their_moments(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.always["/in"] = 500
        await world.endpoint(to.url("/in"))
        await world.finish("a")
        for number, delay in enumerate(DELAYS_S[1:], start=1):
            await world.tried(number)
            await world.advance(delay - 1.0)
            assert len(to.got) == number
            await world.advance(1.0)
            await to.until(number + 1)
        (row,) = await world.over()

    assert (row.state, row.attempts) == (DeliveryState.DEAD, 10)
    assert len({(one.id, one.body) for one in to.got}) == 1
    assert len({one.headers["webhook-timestamp"] for one in to.got}) == 10
    assert [entry["status"] for entry in orjson.loads(row.log_json)] == [500] * 10


async def test_a_receiver_may_ask_for_more_time(tmp_path: Path) -> None:
    async def later(_: Received) -> web.StreamResponse:
        return web.Response(status=503, headers={"Retry-After": "90"})

    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.answers["/in"] = [later]
        await world.endpoint(to.url("/in"))
        await world.finish("a")
        first = await world.tried(1)
        await world.advance(89.0)
        assert len(to.got) == 1
        await world.advance(1.0)
        (row,) = await world.over()

    assert first.next_at - first.created_at == 90.0
    assert (row.state, row.attempts) == (DeliveryState.DELIVERED, 2)


def _tried(rows: list[Delivery], tries: int) -> bool:
    return tries in [row.attempts for row in rows]


async def test_a_jobs_events_arrive_in_order_though_the_first_fails(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.answers["/in"] = [500, 500]
        await world.endpoint(to.url("/in"), WebhookEvent.JOB_CREATED, WebhookEvent.JOB_ASSIGNED, WebhookEvent.JOB_COMPLETED)
        await world.finish("a")
        for tries, delay in enumerate((5.0, 300.0), start=1):
            await world.until(partial(_tried, tries=tries))
            await world.advance(delay)
        await world.over()

    assert told_of(to.got) == [("job_a", "job.created")] * 3 + [("job_a", "job.assigned"), ("job_a", "job.completed")]
    assert [one.event for one in to.taken] == ["job.created", "job.assigned", "job.completed"]


async def test_a_dead_delivery_lets_the_next_of_its_job_go(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.answers["/own"] = [410]
        job_id = await world.new_job("a", webhook_url=to.url("/own"))
        failure = '{"failure_class":"input","code":"INPUT_CORRUPT","message":"damaged"}'
        await world.move(job_id, JobState.FAILED, error_json=failure)
        await world.until(lambda rows: [row.state for row in rows] == [DeliveryState.DEAD])
        await world.move(job_id, JobState.RETRYING, error_json=None)
        await world.move(job_id, *TO_COMPLETED)
        rows = await world.over()

    assert {row.event: row.state for row in rows} == {
        "job.failed": DeliveryState.DEAD,
        "job.completed": DeliveryState.DELIVERED,
    }
    assert [one.event for one in to.got] == ["job.failed", "job.completed"]


async def test_one_jobs_trouble_holds_up_no_other_job(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.answers["/in"] = [500]
        await world.endpoint(to.url("/in"))
        await world.finish("a")
        await world.tried(1)
        await world.finish("b")
        await to.until(2)

    assert told_of(to.got) == [("job_a", "job.completed"), ("job_b", "job.completed")]


async def test_a_receiver_is_sent_two_at_once_and_a_slow_one_delays_no_other(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(_: Received) -> web.StreamResponse:
        await gate.wait()
        return web.Response()

    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.always["/slow"] = slow
        await world.endpoint(to.url("/slow"))
        await world.endpoint(to.url("/fast"))
        for number in range(12):
            await world.finish(f"j{number}")
        await to.until(14)
        reached = len(to.at("/fast")), len(to.at("/slow"))
        gate.set()
        await world.over()

    assert reached == (12, 2)
    assert to.most_flying["/slow"] == 2
    assert len(to.at("/slow")) == 12


async def test_an_open_breaker_burns_no_tries(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port], in_flight_per_endpoint=1) as world:
        to.always["/in"] = 500
        await world.endpoint(to.url("/in"))
        for number in range(30):
            await world.new_job(f"j{number}")
            await world.move(f"job_j{number}", JobState.CANCELLED)
        await world.until(lambda rows: sum(row.attempts for row in rows) == 5)
        await world.advance(29.0)
        assert len(to.got) == 5
        to.always["/in"] = 200
        await world.advance(1.0)
        rows = await world.over()

    assert sorted(row.attempts for row in rows) == [1] * 25 + [2] * 5


async def test_a_receiver_that_is_gone_disables_its_endpoint_until_it_is_enabled(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.answers["/in"] = [410]
        endpoint_id, _ = await world.endpoint(to.url("/in"))
        await world.finish("a")
        await world.tried(1)
        view = await world.parts.service.get(CLIENT, endpoint_id)
        await world.finish("b")
        await world.advance(3600.0)
        assert len(to.got) == 1
        enabled = await world.parts.service.patch(CLIENT, endpoint_id, EndpointPatch(enabled=True))
        (row,) = await world.over()

    assert (view.enabled, view.disabled_reason) == (False, "the receiver answered 410: it is gone")
    assert (enabled.enabled, enabled.disabled_reason) == (True, None)
    assert (row.job_id, row.state, row.attempts) == ("job_a", DeliveryState.DELIVERED, 2)


async def test_what_waits_goes_to_the_new_url(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.always["/typo"] = 404
        endpoint_id, _ = await world.endpoint(to.url("/typo"))
        await world.finish("a")
        await world.tried(1)
        await world.parts.service.patch(CLIENT, endpoint_id, EndpointPatch(url=to.url("/in")))
        await world.advance(5.0)
        (row,) = await world.over()

    assert (row.url, [one.path for one in to.got]) == (to.url("/in"), ["/typo", "/in"])


async def test_what_waits_for_a_deleted_endpoint_is_discarded(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.always["/in"] = 500
        endpoint_id, _ = await world.endpoint(to.url("/in"))
        await world.finish("a")
        await world.tried(1)
        await world.parts.service.delete(CLIENT, endpoint_id)
        row = await world.one()
        await world.advance(600.0)
        with pytest.raises(ReelyardError) as refused:
            await world.parts.service.redeliver(CLIENT, row.delivery_id)

    assert (row.state, len(to.got)) == (DeliveryState.DISCARDED, 1)
    assert refused.value.code is ErrorCode.ENDPOINT_DISABLED


async def test_however_much_waits_for_a_deleted_endpoint_it_is_discarded_in_parts(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.always["/in"] = 500
        endpoint_id, _ = await world.endpoint(to.url("/in"))
        for number in range(DISCARDED_AT_ONCE + 1):
            await world.finish(f"{number:03}")
        await world.parts.service.delete(CLIENT, endpoint_id)
        waiting = await world.store.read(lambda tx: tx.pending_deliveries())
        rows = await world.rows()

    assert (waiting, {row.state for row in rows}) == ([], {DeliveryState.DISCARDED})


async def test_a_delivery_is_sent_again_when_it_is_asked_for(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        await world.endpoint(to.url("/in"))
        await world.finish("a")
        (row,) = await world.over()
        answer = await world.parts.service.redeliver(CLIENT, row.delivery_id)
        again = DeliveryDetail.model_validate_json(answer.body)
        await to.until(2)
        (after,) = await world.over()

    assert (again.state, again.attempts) == (DeliveryState.PENDING, 0)
    assert (to.got[0].id, to.got[0].body) == (to.got[1].id, to.got[1].body)
    assert (after.state, len(orjson.loads(after.log_json))) == (DeliveryState.DELIVERED, 2)


async def test_an_address_that_is_refused_is_a_failed_try_with_its_reason(tmp_path: Path) -> None:
    async with webhooks_world(tmp_path, [443], allow_private_addresses=False) as world:
        await world.finish("a", webhook_url="https://127.0.0.1/in")
        row = await world.tried(1)

    (entry,) = orjson.loads(row.log_json)
    assert (entry["status"], entry["error"]) == (None, "the URL is refused: 127.0.0.1 is not a public address")
    assert row.state == DeliveryState.PENDING


async def test_a_wall_clock_that_jumps_neither_hurries_nor_delays(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.answers["/in"] = [500, 500]
        await world.endpoint(to.url("/in"))
        await world.finish("a")
        await world.tried(1)
        world.clock.jump(+7200.0)
        await world.advance(4.0)
        assert len(to.got) == 1
        await world.advance(1.0)
        await world.tried(2)
        world.clock.jump(-86_400.0)
        await world.advance(300.0)
        await world.over()

    assert len(to.got) == 3


async def test_what_nobody_reached_for_a_week_is_given_up(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        endpoint_id, _ = await world.endpoint(to.url("/in"))
        await world.parts.service.patch(CLIENT, endpoint_id, EndpointPatch(enabled=False))
        await world.parts.service.patch(CLIENT, endpoint_id, EndpointPatch(enabled=True))
        to.answers["/in"] = [410]
        await world.finish("a")
        await world.tried(1)
        await world.advance(6 * 86_400.0)
        await world.parts.deliverer.give_up()
        waits = await world.one()
        await world.advance(2 * 86_400.0)
        await world.parts.deliverer.give_up()
        row = await world.one()

    assert (waits.state, row.state) == (DeliveryState.PENDING, DeliveryState.DEAD)
    assert len(world.parts.deliverer.queue) == 0


async def test_a_clock_that_jumps_by_a_week_gives_nothing_up(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.always["/in"] = 500
        await world.endpoint(to.url("/in"))
        await world.finish("a")
        await world.tried(1)
        world.clock.jump(8 * 86_400.0)
        await world.parts.deliverer.give_up()
        row = await world.one()

    assert row.state == DeliveryState.PENDING


async def test_black_holes_delay_no_other_receiver(tmp_path: Path) -> None:
    async with (
        receiver() as to,
        raw_server(b"", holds=True) as hole,
        webhooks_world(tmp_path, [to.port, hole], timeout_s=0.2, in_flight=4) as world,
    ):
        for number in range(6):
            await world.endpoint(f"http://127.0.0.1:{hole}/{number}")
        await world.endpoint(to.url("/in"))
        for number in range(10):
            await world.finish(f"j{number}")
        await world.until(lambda rows: len(rows) == 10, state="delivered")
        rows = await world.rows_of_all()

    assert [one.path for one in to.got] == ["/in"] * 10
    assert sum(row.state == DeliveryState.PENDING for row in rows) == 60


async def test_nothing_is_made_for_a_transaction_that_is_undone(tmp_path: Path) -> None:
    async with webhooks_world(tmp_path, [80], runs=False) as world:
        await world.endpoint("http://127.0.0.1/in", WebhookEvent.JOB_CREATED)
        with pytest.raises(ReelyardError):
            await world.store.transact(_inserts_and_fails)
        rows = await world.rows()

    assert rows == []


def _inserts_and_fails(tx: Transaction) -> None:
    tx.insert([job("a")])
    raise ReelyardError(ErrorCode.JOB_NOT_FOUND)


async def test_a_commit_tells_what_was_made(tmp_path: Path) -> None:
    async with webhooks_world(tmp_path, [80], runs=False) as world:
        endpoint_id, _ = await world.endpoint("http://127.0.0.1/in", WebhookEvent.JOB_CREATED)
        await world.new_job("a")
        (made,) = world.commits[-1].deliveries

    assert (made.endpoint_id, made.event, made.seq) == (endpoint_id, "job.created", world.commits[-1].events[-1].seq)


async def test_one_tenants_endpoint_hears_nothing_of_another(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        await world.endpoint(to.url("/theirs"), who=OTHER)
        await world.endpoint(to.url("/ours"))
        await world.finish("a")
        await world.over()

    assert [one.path for one in to.got] == ["/ours"]


# --- of a job that is purged


def _purged(tx: Transaction, job_id: str) -> None:
    save_purge(tx, everything(tx.graphs([job_id])[job_id], Reason.ASKED, now=NOW), now=NOW)


async def test_a_purge_takes_what_was_told_of_the_job_and_nothing_of_another(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        await world.endpoint(to.url("/in"), WebhookEvent.JOB_CREATED, WebhookEvent.JOB_COMPLETED)
        purged, kept = await world.finish("a", user_metadata_json='{"who":"me"}'), await world.finish("b")
        before = await world.over()
        await world.store.transact(partial(_purged, job_id=purged))
        await world.idle()
        after = await world.rows_of_all()

    assert sorted({row.job_id for row in before}) == [purged, kept]
    assert sorted(row.event for row in after if row.job_id == kept) == ["job.completed", "job.created"]
    assert [row for row in after if row.job_id == purged] == []


async def test_what_still_waits_when_its_job_is_purged_is_told_and_goes_then(tmp_path: Path) -> None:
    async with receiver() as to, webhooks_world(tmp_path, [to.port]) as world:
        to.answers["/in"] = [500]
        await world.endpoint(to.url("/in"))
        job_id = await world.finish("a")
        await world.tried(1)
        await world.store.transact(partial(_purged, job_id=job_id))
        waits = await world.rows_of_all()
        await world.advance(5.0)
        await world.until(lambda rows: not rows)
        await world.idle()

    assert [(row.event, row.state) for row in waits] == [("job.completed", DeliveryState.PENDING)]
    assert told_of(to.taken) == [(job_id, "job.completed")]
