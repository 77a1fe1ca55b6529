"""Views that were built once, by id and version. Never wrong: the version is read from the database with each call."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from pydantic import BaseModel

V = TypeVar("V", bound=BaseModel)
MOST_BYTES = 16_000_000
"""As JSON; as objects they take about five times as much."""


class _Kept(NamedTuple, Generic[V]):
    version: int
    view: V
    size: int


class ViewCache(Generic[V]):
    """What was asked for last stays, up to so many bytes of JSON. Asked by the threads that read the database."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[str, _Kept[V]] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str, version: int) -> V | None:
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or kept.version != version:
                return None
            self._kept.move_to_end(name)
            return kept.view

    def put(self, name: str, version: int, view: V) -> V:
        """In place of another version, unless that is a newer one: a reader may be late."""
        size = len(view.model_dump_json())
        with self._lock:
            known = self._kept.get(name)
            if size <= self._most and (known is None or known.version < version):
                self._forget(name)
                self._kept[name] = _Kept(version, view, size)
                self._bytes += size
                while self._bytes > self._most:
                    self._forget(next(iter(self._kept)))
        return view

    def _forget(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        self._bytes -= 0 if kept is None else kept.size
