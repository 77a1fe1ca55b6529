"""Whether work may come in: the storage answers and has room. Submissions ask it; a duty keeps it true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import ErrorCode, ReelyardError
from protocol.storage import Space, StorageFull, StorageProvider, StorageUnavailable

RETRY_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Shares of the storage that must stay free, and the free bytes above which a share is not looked at."""

    warn: float = 0.15
    grants: float = 0.10
    uploads: float = 0.05
    plenty_bytes: int = 50 << 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """None where it is open, else the code that tells why it is closed."""

    grants: ErrorCode | None = None
    submissions: ErrorCode | None = None
    message: str = "ok"


def judge(space: Space, marks: Watermarks) -> Verdict:
    """Pure: what so much room allows."""
    share = space.free / space.total if space.total else 0.0
    if space.free >= marks.plenty_bytes or share >= marks.warn:
        return Verdict()
    message = f"{share:.0%} of the storage is free"
    if share >= marks.grants:
        return Verdict(message=f"{message}; no new work below {marks.grants:.0%}")
    if share >= marks.uploads:
        return Verdict(grants=ErrorCode.STORAGE_FULL, message=f"{message}; no new work until some is freed")
    return Verdict(ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_FULL, f"{message}; nothing is accepted until some is freed")


class StorageGate:
    """A duty: `run_once` probes the storage and tells `changed` when grants have to stop (a reason) or may go on (None)."""

    def __init__(self, storage: StorageProvider, marks: Watermarks, changed: Callable[[str | None], None]) -> None:
        self._storage, self._marks, self._changed = storage, marks, changed
        self.verdict = Verdict()

    async def run_once(self) -> None:
        before = self.verdict
        self.verdict = await self._look()
        if self.verdict.grants is not before.grants:
            self._changed(None if self.verdict.grants is None else self.verdict.message)

    async def _look(self) -> Verdict:
        try:
            await self._storage.probe()
            return judge(await self._storage.space(), self._marks)
        except StorageFull as full:
            return Verdict(ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_FULL, f"the storage is full ({full.reason})")
        except StorageUnavailable as away:
            return Verdict(ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_UNAVAILABLE, f"the storage is away ({away.reason})")

    async def check_room(self, size: int) -> None:
        """Raises STORAGE_FULL when so many bytes more would leave less than what must stay free for uploads."""
        space = await self._storage.space()
        if judge(Space(max(0, space.free - size), space.total), self._marks).submissions is not None:
            raise ReelyardError(ErrorCode.STORAGE_FULL, retry_after=RETRY_AFTER_S)

    def check_submission(self) -> None:
        """Raises STORAGE_UNAVAILABLE or STORAGE_FULL while nothing can be accepted."""
        code = self.verdict.submissions
        if code is not None:
            raise ReelyardError(code, retry_after=RETRY_AFTER_S)
