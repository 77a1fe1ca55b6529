"""Facts about the long poll while dispatch is away."""

from __future__ import annotations

from itertools import count

from engine.core.outbox import Outbox
from engine.core.poll import Poll
from engine.core.slots import Room
from protocol.leases import Ack

ROOM = Room(1, 2)


def acknowledge(number: int) -> Ack:
    return Ack(task_id=f"tsk_{number}", token=number)


def test_requests_that_fail_by_turns_pause_and_lose_no_report() -> None:
    outbox, ids = Outbox(), count(1)
    poll = Poll(outbox, chance=lambda: 0.5, new_id=lambda: f"r{next(ids)}", wait_s=25.0)
    outbox.add(acknowledge(1))
    poll.ask("boot-0001", ROOM, is_draining=False)
    outbox.add(acknowledge(2))
    poll.ask("boot-0001", ROOM, is_draining=False)

    pauses = [poll.failed("r1", None, None)]
    due_between = poll.is_due(ROOM)
    pauses.append(poll.failed("r2", None, None))

    assert (pauses, due_between, poll.is_due(ROOM)) == ([0.25, 0.25], False, False)
    again = poll.retry()
    assert again is not None
    assert (again.request_id, again.reports, poll.is_due(ROOM)) == ("r2", (acknowledge(2),), True)
    assert poll.ask("boot-0001", ROOM, is_draining=False).reports == (acknowledge(1),)
