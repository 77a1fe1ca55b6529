"""A disk without room, by one name."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from engine.ports import ScratchFull

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def watching_for_space() -> Iterator[None]:
    """Turns a write that found no room into ScratchFull."""
    try:
        yield
    except OSError as fault:
        if fault.errno in NO_ROOM:
            raise ScratchFull(str(fault)) from fault
        raise
