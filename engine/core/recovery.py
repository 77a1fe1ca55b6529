"""What becomes of the attempts found in the local queue at the start of the engine."""

from __future__ import annotations

from dataclasses import replace

from engine.core.attempts import Attempt, Phase
from engine.core.messages import SavedAttempt
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Fail, Release
from protocol.results import Failure

LOG_TAIL = 4000


def died(saved: SavedAttempt, fatal_note: str | None) -> Fail:
    """The report on an attempt that was started and never ended.

    It counts as the engine's death by this task only with evidence: a fatal signal that the engine noted itself.
    """
    message = "The engine was killed while the tool ran." if fatal_note is None else "The engine crashed while the tool ran."
    failure = Failure(
        failure_class=FailureClass.INFRA if fatal_note is None else FailureClass.ENGINE,
        code=ErrorCode.ENGINE_DIED,
        message=message,
        evidence={} if fatal_note is None else {"fatal_signal": fatal_note.strip().partition("\n")[0][:200]},
        log_tail=(fatal_note or "")[-LOG_TAIL:],
        is_engine_death=fatal_note is not None,
    )
    return Fail(task_id=saved.grant.task_id, token=saved.grant.token, failure=failure)


def recovered(saved: SavedAttempt, *, fatal_note: str | None, max_starts: int) -> tuple[Attempt, SavedAttempt | None]:
    """The attempt as the new run takes it over, and its row if it changed.

    A final report is sent as it stands; a started attempt is reported dead, never run again here; one that never
    started waits, but not over more than `max_starts` starts: an engine that dies again and again keeps no work.
    """
    if saved.final is not None:
        return _taken_over(saved, Phase.FINISHED), None
    if saved.is_started:
        row = replace(saved, final=died(saved, fatal_note), retry_count=saved.retry_count + 1)
        return _taken_over(row, Phase.ENDING), row
    row = replace(saved, retry_count=saved.retry_count + 1)
    if row.retry_count >= max_starts:
        reason = f"not started over {row.retry_count} starts of the engine"
        row = replace(row, final=Release(task_id=saved.grant.task_id, token=saved.grant.token, reason=reason))
        return _taken_over(row, Phase.ENDING), row
    return _taken_over(row, Phase.WAITING), row


def _taken_over(saved: SavedAttempt, phase: Phase) -> Attempt:
    return Attempt(saved.grant, phase, saved.order, final=saved.final)
