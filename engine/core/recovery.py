"""What becomes of the attempts found in the local queue at the start of the engine. On disk before the engine takes part."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.core.attempts import Key, key_of
from engine.core.messages import Saved, SavedAttempt
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Fail, Release
from protocol.results import Failure

LOG_TAIL = 4000


@dataclass(frozen=True, slots=True)
class Death:
    """What the run before wrote when a fatal signal ended it, and the attempt whose code it was just executing, if any."""

    note: str
    culprit: Key | None = None

    @property
    def signal(self) -> str:
        return self.note.strip().partition("\n")[0][:200]


def recovered(saved: Saved, death: Death | None, *, max_starts: int) -> Saved:
    """The attempts as the new run holds them. What differs from `saved` goes to disk first.

    A final report is sent as it stands. A started attempt is taken over: its tool may still run, or have ended well.
    One that never started waits. The attempt that crashed the engine is reported with the evidence; so is one that was
    found unfinished at `max_starts` starts, and a waiting one is then handed back: an engine that dies again and again
    keeps no work.
    """
    return replace(saved, attempts=tuple(_recovered(row, death, max_starts) for row in saved.attempts))


def changed(before: Saved, after: Saved) -> tuple[SavedAttempt, ...]:
    """The rows to be saved."""
    return tuple(row for row, old in zip(after.attempts, before.attempts, strict=True) if row != old)


def _recovered(saved: SavedAttempt, death: Death | None, max_starts: int) -> SavedAttempt:
    if saved.final is not None:
        return saved
    row = replace(saved, retry_count=saved.retry_count + 1)
    task_id, token = key_of(row.grant)
    if death is not None and row.is_started and death.culprit == (task_id, token):
        return replace(row, final=_died(row, "The engine crashed while it worked on this task.", death))
    if row.retry_count < max_starts:
        return row
    if row.is_started:
        unclear = death if death is not None and death.culprit is None else None
        return replace(row, final=_died(row, f"The engine died {row.retry_count} times while it worked on this task.", unclear))
    reason = f"not started over {row.retry_count} starts of the engine"
    return replace(row, final=Release(task_id=task_id, token=token, reason=reason))


def _died(saved: SavedAttempt, message: str, death: Death | None) -> Fail:
    """It counts as the engine's death by this task only with evidence: a fatal signal that the engine noted itself."""
    failure = Failure(
        failure_class=FailureClass.INFRA if death is None else FailureClass.ENGINE,
        code=ErrorCode.ENGINE_DIED,
        message=message,
        evidence={} if death is None else {"fatal_signal": death.signal},
        log_tail=(death.note if death else "")[-LOG_TAIL:],
        is_engine_death=death is not None,
    )
    return Fail(task_id=saved.grant.task_id, token=saved.grant.token, failure=failure)
