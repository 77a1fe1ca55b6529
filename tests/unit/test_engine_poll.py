"""The long poll and its reports: what is repeated, what is superseded, what is never sent twice or lost."""

from __future__ import annotations

import itertools

from engine.core.attempts import Key
from engine.core.outbox import Outbox
from engine.core.poll import Poll
from engine.core.slots import Room, SlotPlan, plan_slots
from protocol.errors import ErrorCode
from protocol.leases import Ack, LeaseReply, LeaseRequest, Settlement

ROOM = Room(2, 1)
REPORTS = tuple(Ack(task_id=f"tsk_{n}", token=n) for n in range(1, 6))


class Polling:
    def __init__(self) -> None:
        names = itertools.count(1)
        self.outbox = Outbox()
        self.poll = Poll(self.outbox, chance=lambda: 0.5, new_id=lambda: f"r{next(names)}", wait_s=25.0)

    def ask(self, room: Room = ROOM) -> LeaseRequest:
        assert self.poll.is_due(room)
        return self.poll.ask("boot-0001", room, is_draining=False)


def test_a_poll_is_due_when_none_is_open_when_the_room_changed_and_when_a_report_waits() -> None:
    one = Polling()
    first = one.poll.is_due(ROOM)
    one.ask()
    same, other = one.poll.is_due(ROOM), one.poll.is_due(Room(1, 1))
    one.outbox.add(REPORTS[0])

    assert (first, same, other, one.poll.is_due(ROOM)) == (True, False, True, True)


def test_changes_wait_while_a_superseded_request_is_still_unanswered() -> None:
    one = Polling()
    first = one.ask()
    one.ask(Room(1, 1))
    while_two = one.poll.is_due(Room(0, 0))
    one.poll.answered(first.request_id, LeaseReply(), 1.0)

    assert (while_two, one.poll.is_due(Room(0, 0))) == (False, True)


def test_a_lost_request_is_repeated_as_it_was_and_nothing_new_is_asked_before() -> None:
    one = Polling()
    one.outbox.add(REPORTS[0])
    lost = one.ask()

    pause = one.poll.failed(lost.request_id, None, None)
    one.outbox.add(REPORTS[1])

    assert pause == 0.25
    assert not one.poll.is_due(Room(0, 0))
    assert one.poll.retry() == lost
    assert one.ask().reports == (REPORTS[1],)


def test_the_reports_of_a_lost_superseded_request_ride_on_the_next_one() -> None:
    one = Polling()
    one.outbox.add(REPORTS[0])
    older = one.ask()
    one.ask(Room(1, 1))

    pause = one.poll.failed(older.request_id, None, None)
    one.outbox.add(REPORTS[1])

    assert pause is None
    assert one.ask().reports == REPORTS[:2]


def test_a_dropped_attempts_report_does_not_come_back_from_a_lost_request() -> None:
    one = Polling()
    one.outbox.add(REPORTS[0])
    older = one.ask()
    one.ask(Room(1, 1))
    one.outbox.discard(Key("tsk_1", 1))

    one.poll.failed(older.request_id, None, None)

    assert not one.outbox.has_due


def test_pauses_grow_with_failures_and_end_at_half_a_minute() -> None:
    one = Polling()
    pauses = []
    request = one.ask()
    for _ in range(10):
        pauses.append(one.poll.failed(request.request_id, None, None))
        one.poll.retry()

    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0]


def test_dispatch_may_say_how_long_to_wait() -> None:
    one = Polling()

    assert one.poll.failed(one.ask().request_id, ErrorCode.SHUTTING_DOWN, 3.0) == 3.0


def test_a_refused_request_is_sent_in_halves_until_the_bad_report_stands_alone() -> None:
    one = Polling()
    for report in REPORTS:
        one.outbox.add(report)
    sizes = []
    for _ in range(3):
        request = one.ask()
        sizes.append(len(request.reports))
        one.poll.failed(request.request_id, ErrorCode.VALIDATION_FAILED, None)

    assert sizes == [5, 2, 1]


def test_an_empty_answer_at_once_pauses_the_poll_unless_something_is_to_be_told() -> None:
    one = Polling()
    _, pause = one.poll.answered(one.ask().request_id, LeaseReply(), 0.01)
    idle = one.poll.is_due(ROOM)
    one.outbox.add(REPORTS[0])

    assert (pause, idle, one.poll.is_due(ROOM)) == (0.25, False, True)


def test_an_answer_after_waiting_or_with_content_does_not_pause_the_poll() -> None:
    one = Polling()
    settled = LeaseReply(settled=(Settlement(task_id="tsk_1", token=1),))

    assert one.poll.answered(one.ask().request_id, LeaseReply(), 25.0)[1] is None
    assert one.poll.answered(one.ask().request_id, settled, 0.01)[1] is None


def test_starting_over_makes_all_travelling_reports_due() -> None:
    one = Polling()
    one.outbox.add(REPORTS[0])
    one.ask()
    one.outbox.add(REPORTS[1])
    one.poll.failed(one.ask().request_id, None, None)

    one.poll.abandon()

    assert set(one.ask().reports) == set(REPORTS[:2])


def test_slots_follow_from_the_cores_unless_they_are_given() -> None:
    assert [plan_slots(cores) for cores in (1, 2, 4, 6, 8, 32)] == [
        SlotPlan(1, 2, 1),
        SlotPlan(1, 2, 2),
        SlotPlan(1, 2, 4),
        SlotPlan(1, 2, 6),
        SlotPlan(2, 2, 4),
        SlotPlan(8, 2, 4),
    ]
    assert plan_slots(2, asked=16) == SlotPlan(16, 2, 1)
