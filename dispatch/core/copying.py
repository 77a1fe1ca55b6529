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


def maker(kind: type[R]) -> Callable[..., R]:
    """What makes a frozen, slotted record of this kind from the values of all its fields, in order."""
    if hasattr(kind, "__post_init__"):
        raise TypeError(f"{kind.__name__} wants to see how it is made")
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # every record is a dataclass
    twin: Any = make_dataclass(kind.__name__, names, slots=True, eq=False, repr=False)

    def make(*values: Any) -> R:  # each field has its own type
        made = twin(*values)
        made.__class__ = kind
        return made  # type: ignore[no-any-return]  # it is one now

    return make


if TYPE_CHECKING:
    from dataclasses import replace as replace  # the same to callers; mypy knows this one and checks its arguments
else:

    def replace(record: Any, /, **changes: Any) -> Any:
        """The record with these fields changed. Raises KeyError for a field it has not."""
        places, read, make = _plan(type(record))
        values = list(read(record))
        for name, value in changes.items():
            values[places[name]] = value
        return make(*values)


@lru_cache(maxsize=32)
def _plan(kind: type[Any]) -> tuple[dict[str, int], attrgetter[tuple[Any, ...]], Callable[..., Any]]:
    """Where each field of this kind of record stands, what reads them all, and what makes a record of them."""
    names = [field.name for field in fields(kind)]
    return {name: at for at, name in enumerate(names)}, attrgetter(*names), maker(kind)
