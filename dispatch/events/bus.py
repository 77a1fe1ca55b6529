"""The bus of commits: the store tells it of each, it tells the listeners, in the order they were added."""

from __future__ import annotations

from dispatch.ports import Commit, CommitListener


class CommitBus:
    """A CommitListener itself. The order matters: what follows state comes before what acts on it."""

    def __init__(self) -> None:
        self._listeners: list[CommitListener] = []

    def add(self, *listeners: CommitListener) -> None:
        self._listeners.extend(listeners)

    def __call__(self, commit: Commit) -> None:
        for listener in self._listeners:
            listener(commit)
