"""The long poll: which lease requests are open, which one was lost and is repeated, and when a new one is due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.core.attempts import Report
from engine.core.backoff import full_jitter
from engine.core.outbox import MAX_REPORTS, Outbox
from engine.core.slots import Room
from protocol.errors import ErrorCode
from protocol.leases import LeaseReply, LeaseRequest

MAX_OPEN = 2
"""The newest, and the one it supersedes. What changes meanwhile waits for an answer and so rides together."""

REFUSALS = frozenset({ErrorCode.VALIDATION_FAILED, ErrorCode.BODY_TOO_LARGE, ErrorCode.MALFORMED_JSON})
"""Dispatch will not take this request in this form, however often it is sent."""

AT_ONCE_S = 0.5
"""An empty answer to the newest request that came sooner was no long poll: the next one pauses."""


class Poll:
    """Lease requests of one engine. `outbox` gives the reports that ride on them."""

    def __init__(self, outbox: Outbox, *, chance: Callable[[], float], new_id: Callable[[], str], wait_s: float) -> None:
        self._outbox, self._chance, self._new_id, self._wait_s = outbox, chance, new_id, wait_s
        self._open: dict[str, LeaseRequest] = {}
        self._lost: LeaseRequest | None = None
        self._limit = MAX_REPORTS
        self._failures = self._idle_answers = 0
        self._is_paused = self._is_silenced = False

    @property
    def may_bring_work(self) -> bool:
        """Whether a request under way still offers slots."""
        return any(r.slots or r.light_slots or r.gpu_slots or r.prefetch for r in self._open.values())

    def is_due(self, room: Room) -> bool:
        """Whether anything has changed since the newest request that is open."""
        if self._lost is not None or self._is_silenced or len(self._open) >= MAX_OPEN:
            return False
        return self._outbox.has_due or not (self._is_paused or self._is_current(room))

    def _is_current(self, room: Room) -> bool:
        if not self._open:
            return False
        newest = next(reversed(self._open.values()))
        told = Room(newest.slots, newest.light_slots, newest.gpu_slots, newest.prefetch)
        return told in (room, self._offer(room))

    def _offer(self, room: Room) -> Room:
        """Nothing is asked for ahead of time while another request may bring it, or what takes the slot."""
        is_coming = room.ahead and any(request.slots or request.prefetch for request in self._open.values())
        return replace(room, ahead=False) if is_coming else room

    def ask(self, boot_id: str, room: Room, *, is_draining: bool) -> LeaseRequest:
        """The request to send now."""
        room, request_id = self._offer(room), self._new_id()
        reports = self._outbox.take(request_id, self._limit)
        request = LeaseRequest(
            boot_id=boot_id,
            slots=room.encoding,
            light_slots=room.light,
            gpu_slots=room.gpu,
            prefetch=room.ahead,
            wait_s=0.0 if is_draining and reports else self._wait_s,
            request_id=request_id,
            reports=reports,
        )
        self._open[request_id] = request
        return request

    def answered(self, request_id: str, reply: LeaseReply, waited: float) -> tuple[tuple[Report, ...], float | None]:
        """The reports that travelled on the request, and the pause before the next one if it was answered idly at once."""
        is_newest = bool(self._open) and next(reversed(self._open)) == request_id
        request = self._open.pop(request_id, None)
        reports = request.reports if request else ()
        self._outbox.landed(request_id)
        self._failures = 0
        self._limit = min(MAX_REPORTS, self._limit * 2)
        is_idle = not (reply.tasks or reply.orders or reply.settled)
        if not (is_newest and is_idle and waited < AT_ONCE_S):
            self._idle_answers = 0
            return reports, None
        self._idle_answers += 1
        self._is_paused = True
        return reports, full_jitter(self._idle_answers, self._chance())

    def failed(self, request_id: str, code: ErrorCode | None, retry_after: float | None) -> float | None:
        """The pause before `retry`; None if nothing is to be repeated.

        The same request goes again, since dispatch may have granted something on it. A request that a newer one has
        superseded does not: its reports ride on the next, its unacked grants return by themselves. The next waits too:
        sent at once it would supersede the other one, and both would fail by turns without a pause.
        """
        if request_id not in self._open:
            return None
        is_newest = next(reversed(self._open)) == request_id and self._lost is None
        request = self._open.pop(request_id)
        if code in REFUSALS:
            self._limit = max(1, len(request.reports) // 2)
        if not is_newest:
            self._outbox.give_back(request_id)
            self._is_silenced = True
            return retry_after if retry_after is not None else full_jitter(max(1, self._failures), self._chance())
        if code in REFUSALS:
            self._outbox.give_back(request_id)
            self._is_paused = True
        else:
            self._lost = request
        self._failures += 1
        return retry_after if retry_after is not None else full_jitter(self._failures, self._chance())

    def reports_of(self, request_id: str) -> tuple[Report, ...]:
        """What travels on a request that is open."""
        request = self._open.get(request_id)
        return request.reports if request else ()

    def retry(self) -> LeaseRequest | None:
        """The lost request, to be sent once more as it was."""
        request, self._lost = self._lost, None
        self._is_paused = self._is_silenced = False
        if request is not None:
            self._open[request.request_id] = request
        return request

    def abandon(self) -> None:
        """Start over: what was under way counts as unanswered, and its reports are due again."""
        for request_id in [*self._open, *([self._lost.request_id] if self._lost else [])]:
            self._outbox.give_back(request_id)
        self._open.clear()
        self._lost, self._is_paused, self._is_silenced = None, False, False

    def forget_lost(self) -> None:
        """Do not repeat a lost request that offered slots: a draining engine wants none of its grants."""
        if self._lost is not None:
            self._outbox.give_back(self._lost.request_id)
            self._lost = None
