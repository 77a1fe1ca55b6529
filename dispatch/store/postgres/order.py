"""In which order commits are told: ours as they land, those of others between them. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Order(Generic[T]):
    """`last` is the number of the last change that was told, or of which nothing is to be told.

    A number below that of a commit of ours belongs to a commit of another server, or was never committed: numbers are
    given out under a lock that is held until the commit. Which of both, the database alone can say: after a crash of it
    a number that nobody committed is given out once more.
    """

    def __init__(self, last: int) -> None:
        self.last = last
        self._landed: dict[int, T | None] = {}

    def land(self, seq: int, item: T) -> bool:
        """A commit of ours. False: it has been told already."""
        if seq <= self.last:
            return False
        self._landed[seq] = item
        return True

    def ready(self) -> list[T]:
        """What may be told now, because nothing that is not known lies before it."""
        found: list[T] = []
        while self.last + 1 in self._landed:
            self.last += 1
            item = self._landed.pop(self.last)
            if item is not None:
                found.append(item)
        return found

    def skip(self, seqs: Iterable[int], upto: int) -> None:
        """All numbers up to `upto`, which was committed, that are not among `seqs` were never and will never be."""
        known = set(seqs)
        for seq in range(self.last + 1, upto + 1):
            if seq not in known:
                self._landed.setdefault(seq, None)

    def jump(self, upto: int) -> list[T]:
        """Everything up to `upto` has been told in another way; those of ours among it."""
        found = [item for seq in sorted(self._landed) if seq <= upto and (item := self._landed[seq]) is not None]
        self._landed = {seq: item for seq, item in self._landed.items() if seq > upto}
        self.last = max(self.last, upto)
        return found

    @property
    def is_waiting(self) -> bool:
        return bool(self._landed)

    def has_beyond(self, seq: int) -> bool:
        """Whether a commit of a higher number waits."""
        return any(known > seq for known in self._landed)

    def drain(self) -> list[T]:
        """What landed and was not told."""
        found = [item for _, item in sorted(self._landed.items()) if item is not None]
        self._landed.clear()
        return found
