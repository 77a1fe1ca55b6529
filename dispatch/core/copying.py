"""`dataclasses.replace` at a little more than half its price: the hot path copies ten records for each job."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import replace as replace  # the same to callers; mypy knows this one and checks its arguments
else:

    def replace(record: Any, /, **changes: Any) -> Any:
        """The record with these fields changed. Raises KeyError for a field it has not."""
        places, read = _plan(type(record))
        values = list(read(record))
        for name, value in changes.items():
            values[places[name]] = value
        return type(record)(*values)


@lru_cache(maxsize=32)
def _plan(kind: type[Any]) -> tuple[dict[str, int], attrgetter[tuple[Any, ...]]]:
    """Where each field of this kind of record stands in its constructor, and what reads them all."""
    names = [field.name for field in fields(kind)]
    return {name: at for at, name in enumerate(names)}, attrgetter(*names)
