"""The content keys of grants that are not done, beside the local queue: a file each, for the owner alone, gone with its work."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

import structlog
from pydantic import ValidationError

from engine.core.attempts import Key, key_of
from engine.shell import secrets
from engine.shell.space import watching_for_space
from protocol.leases import Grant
from protocol.packaging import ContentKeys

log = structlog.get_logger()


def without_keys(grant: Grant) -> Grant:
    return grant if grant.keys is None else grant.model_copy(update={"keys": None})


class KeyFiles:
    """All below `folder`, which is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, key: Key, keys: ContentKeys) -> None:
        """On the disk when it returns. Raises ScratchFull."""
        path = self._path(key)
        beside = path.with_suffix(".tmp")
        with watching_for_space():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            secrets.write(str(self._folder), ((beside.name, keys.model_dump_json().encode()),))
            _settle(beside)
            beside.replace(path)
            _settle(self._folder)

    def put_back(self, grant: Grant) -> Grant:
        """The grant with the keys that came with it, where it had any."""
        try:
            keys = ContentKeys.model_validate_json(self._path(key_of(grant)).read_bytes())
        except FileNotFoundError:
            return grant
        except (OSError, ValidationError) as fault:
            log.error("content_keys_unreadable", task=grant.task_id, token=grant.token, problem=type(fault).__name__)
            return grant
        return grant.model_copy(update={"keys": keys})

    def forget(self, done: Iterable[Key]) -> None:
        for key in done:
            self._path(key).unlink(missing_ok=True)

    def sweep(self, held: Collection[Key]) -> None:
        """Remove what belongs to no work that is held: an engine that died between two writes leaves such a file."""
        wanted = {self._path(key) for key in held}
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            if path not in wanted:
                path.unlink()

    def _path(self, key: Key) -> Path:
        return self._folder / f"{key.task_id}-{key.token}.json"


def _settle(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
