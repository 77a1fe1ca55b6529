"""A finished local file becomes one of the storage's, without copying its bytes where the filesystem allows. Blocking."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from plugins.storage_local.tree import READ, told_as
from plugins.storage_local.writing import Incoming, blocks_of
from protocol.storage import NotFound, Written


def adopt(incoming: Incoming, path: str, source: str) -> Written:
    """Move `source` in, create-only. It stays where it was when that fails."""
    try:
        incoming.refuse_existing()
        with _source(path, source) as descriptor:
            # A file with more names may still be changed through them; its bytes are taken, not the file.
            if os.fstat(descriptor).st_nlink > 1 or not incoming.link(source, descriptor):
                _copy(incoming, descriptor)
        written = incoming.seal()
        incoming.commit_new()
    except BaseException:
        incoming.discard()
        raise
    with suppress(OSError):
        os.unlink(source)
    return written


def _copy(incoming: Incoming, descriptor: int) -> None:
    incoming.open()
    for block in blocks_of(descriptor):
        incoming.append([block])
        incoming.count([block])


@contextmanager
def _source(path: str, source: str) -> Iterator[int]:
    with told_as(path):
        descriptor = os.open(source, READ)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotFound(path, "what should be taken in is not a file")
        yield descriptor
    finally:
        os.close(descriptor)
