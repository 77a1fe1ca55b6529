"""Frozen records made and copied cheaply: the hot path makes some thirty of them for each job.

A frozen class sets every field by `object.__setattr__`, which makes its constructor ten times as slow as that of the
same class unfrozen. So a record is made as its unfrozen twin, with the same slots, and then becomes what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, make_dataclass
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

R = TypeVar("R")


def _twin(kind: type[Any]) -> type[Any]:
    if hasattr(kind, "__post_init__"):
        raise TypeError(f"{kind.__name__} wants to see how it is made")
    return make_dataclass(kind.__name__, [field.name for field in fields(kind)], slots=True, eq=False, repr=False)


def maker(kind: type[R]) -> Callable[..., R]:
    """What makes a frozen, slotted record of this kind from the values of all its fields, in order."""
    twin = _twin(kind)

    def make(*values: Any) -> R:  # each field has its own type
        made = twin(*values)
        made.__class__ = kind
        return made  # type: ignore[no-any-return]  # it is one now

    return make


if TYPE_CHECKING:
    from dataclasses import replace as replace  # the same to callers; mypy knows this one and checks its arguments
else:

    def replace(record: Any, /, **changes: Any) -> Any:
        """The record with these fields changed. Raises AttributeError for a field it has not."""
        kind = record.__class__
        read, twin = _plan(kind)
        made = twin(*read(record))
        for name, value in changes.items():
            setattr(made, name, value)
        made.__class__ = kind
        return made


@lru_cache(maxsize=32)
def _plan(kind: type[Any]) -> tuple[attrgetter[tuple[Any, ...]], type[Any]]:
    """What reads all fields of this kind of record, and its twin."""
    return attrgetter(*(field.name for field in fields(kind))), _twin(kind)
