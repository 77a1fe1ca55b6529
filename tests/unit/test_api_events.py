"""The hub and the text of its streams."""

from __future__ import annotations

import json

import pytest

from dispatch.core.records import Event, NewEvent
from dispatch.events import frames
from dispatch.events.hub import Audience, Ending, EventHub, Progress, Subscription
from dispatch.ports import Commit
from protocol.events import EventType, EventView


def event(seq: int, type_: EventType = EventType.JOB_ASSIGNED, *, job: str | None = "job_a", tenant: str = "default") -> Event:
    return Event(seq, NewEvent(type_, 1_790_000_000.5, tenant, job, None, "pending", "assigned", '{"n":"line\\nbreak"}'))


def commit(*events: Event) -> Commit:
    return Commit(events, (), (), ())


async def taken(subscription: Subscription) -> list[Event | Progress]:
    return await subscription.take()


async def test_reader_of_a_job_gets_its_events_alone() -> None:
    hub = EventHub()
    with hub.subscribe(Audience("default", "job_a")) as reader:
        hub(commit(event(1), event(2, job="job_b"), event(3)))

        assert await taken(reader) == [event(1), event(3)]


async def test_tenant_gets_nothing_of_another() -> None:
    hub = EventHub()
    with hub.subscribe(Audience("acme")) as reader, hub.subscribe(Audience("acme", "job_a")) as nosy:
        hub(commit(event(1), event(2, tenant="acme", job="job_x"), event(3, job=None, tenant="-")))
        hub.publish_progress("job_a", "default", "{}")
        hub.close()

        assert (await taken(reader), await taken(nosy)) == ([], [])


async def test_tenant_gets_all_its_own() -> None:
    hub = EventHub()
    with hub.subscribe(Audience("acme")) as reader:
        hub(commit(event(1), event(2, tenant="acme", job="job_x"), event(3, tenant="acme", job="job_y")))

        assert await taken(reader) == [event(2, tenant="acme", job="job_x"), event(3, tenant="acme", job="job_y")]


async def test_admin_gets_every_tenant_and_the_engines() -> None:
    hub = EventHub()
    engine = event(3, EventType.ENGINE_CHANGED, job=None, tenant="-")
    with hub.subscribe(Audience(None)) as reader:
        hub(commit(event(1), event(2, tenant="acme"), engine))

        assert await taken(reader) == [event(1), event(2, tenant="acme"), engine]


async def test_slow_reader_is_dropped_and_others_are_not() -> None:
    hub = EventHub(capacity=2)
    with hub.subscribe(Audience("default")) as slow, hub.subscribe(Audience("default")) as quick:
        hub(commit(event(1), event(2)))
        first = await taken(quick)
        hub(commit(event(3)))

        assert (first, await taken(quick), quick.ending) == ([event(1), event(2)], [event(3)], None)
        assert (await taken(slow), slow.ending) == ([], Ending.TOO_SLOW)


async def test_progress_gives_way_before_events_do() -> None:
    hub = EventHub(capacity=4)
    with hub.subscribe(Audience("default")) as reader:
        for _ in range(10):
            hub.publish_progress("job_a", "default", "{}")
        hub(commit(event(1), event(2)))

        assert await taken(reader) == [Progress("job_a", "default", "{}")] * 2 + [event(1), event(2)]


async def test_closing_ends_every_reader_now_and_later() -> None:
    hub = EventHub()
    with hub.subscribe(Audience(None)) as early:
        hub.close()
        with hub.subscribe(Audience(None, "job_a")) as late:
            assert (await taken(early), early.ending, await taken(late), late.ending) == (
                [],
                Ending.SHUTDOWN,
                [],
                Ending.SHUTDOWN,
            )


def test_event_is_written_with_its_number() -> None:
    head, _, data = frames.message(event(7)).decode().partition("data: ")

    assert head == "id: 7\nevent: JobAssigned\n"
    assert data.count("\n") == 2
    assert EventView.model_validate_json(data) == EventView(
        seq=7,
        type=EventType.JOB_ASSIGNED,
        job_id="job_a",
        task_id=None,
        from_state="pending",
        to_state="assigned",
        at="2026-09-21T14:13:20.500Z",
        data={"n": "line\nbreak"},
    )


def test_progress_has_no_number() -> None:
    data = json.dumps({"job_id": "job_a"})

    assert frames.message(Progress("job_a", "default", data)) == b'event: ProgressUpdated\ndata: {"job_id": "job_a"}\n\n'


@pytest.mark.parametrize(
    ("types", "has_ended"),
    [
        ([EventType.JOB_CREATED, EventType.JOB_FINISHED], True),
        ([EventType.JOB_CANCELLED, EventType.TASK_CHANGED], True),
        ([EventType.JOB_FAILED, EventType.JOB_RETRYING], False),
        ([EventType.JOB_FAILED, EventType.JOB_RETRYING, EventType.JOB_FAILED], True),
        ([EventType.TASK_CHANGED], False),
    ],
)
def test_job_has_ended_when_its_last_move_ended_it(types: list[EventType], has_ended: bool) -> None:
    items: list[Event | Progress] = [event(n, type_) for n, type_ in enumerate(types)]

    assert frames.has_ended(items, before=False) is has_ended
