"""Pages of any list in SQL: by offset, or after the place a cursor names, which an index finds at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, func, literal, tuple_

from dispatch.core.paging import Slice, Wanted
from dispatch.store.statements import Found

R = TypeVar("R")
MANY = 5000
"""From here on walking a million rows in order until a page is full is quicker than sorting those that fit."""

Column = ColumnElement[Any]  # of any type


class Order:
    """The columns that place a row, the last of them unique, all rising or all falling."""

    def __init__(self, *columns: Column, is_descending: bool = False) -> None:
        self.columns, self._is_descending = columns, is_descending

    def sorted(self, statement: Select[Any]) -> Select[Any]:
        return statement.order_by(*(column.desc() if self._is_descending else column.asc() for column in self.columns))

    def beyond(self, place: tuple[Any, ...]) -> ColumnElement[bool]:
        """A comparison of whole places: a chain of ORs would keep the planner from the index."""
        ours, theirs = tuple_(*self.columns), tuple_(*(literal(value) for value in place))
        return ours < theirs if self._is_descending else ours > theirs


def load_slice(
    connection: Connection,
    statement: Select[Any],
    order: Order,
    wanted: Wanted,
    load: Callable[[Found], R],
    *,
    of_many: Select[Any] | None = None,
) -> Slice[R]:
    """The page of what `statement` selects; one row more is read to know whether more follow.

    `of_many` asks the same in a way that walks a long answer in its order, where the planner would collect and sort it.
    """
    counted = statement.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)
    total = int(connection.execute(counted).scalar_one())
    if of_many is not None and total > MANY:
        statement = of_many
    page = order.sorted(statement.add_columns(*order.columns)).limit(wanted.limit + 1).offset(wanted.offset)
    if wanted.after is not None:
        page = page.where(order.beyond(wanted.after))
    found = [tuple(row) for row in connection.execute(page)]
    kept, width = found[: wanted.limit], len(order.columns)
    last = kept[-1][-width:] if len(found) > len(kept) else None
    return Slice(tuple(load(row[:-width]) for row in kept), total, last)
