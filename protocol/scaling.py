"""What tells how many engines a farm needs: work that waits, by what it asks of an engine."""

from __future__ import annotations

from protocol.base import Message
from protocol.capabilities import SlotKind


class BacklogClass(Message):
    """Tasks with equal requirements. `name` is for people and for labels: equal requirements always have the same.

    `queued` tasks may be granted now or once their backoff has passed; `waiting` ones need the result of another task
    first. `work_seconds` is what all of them take on one slot, of `running` ones the half that is left of them on the
    average. `backlog_seconds` is when all is done by the engines that fit and take work, while these do other work too;
    null where there is none. `engines` are those.
    """

    name: str
    needs: tuple[str, ...]
    tags: tuple[str, ...]
    slots: SlotKind
    queued: int
    waiting: int
    running: int
    work_seconds: float
    backlog_seconds: float | None
    engines: int
    desired_engines: int


class Scaling(Message):
    """`queue_depth` are all queued tasks. `backlog_seconds` is the longest of the classes, null where no engine fits one.

    `desired_engines` is how many there must be for all work that is known to be done within `target_seconds`, and never
    less than hold a task now; between `min_engines` and `max_engines`. `engines` are those there now that take work.
    """

    queue_depth: int
    waiting: int
    running: int
    backlog_seconds: float | None
    engines: int
    desired_engines: int
    target_seconds: float
    min_engines: int
    max_engines: int
    classes: tuple[BacklogClass, ...] = ()
