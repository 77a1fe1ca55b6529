"""What all tables share: how constraints are named, and the type of great numbers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, MetaData, cast, func

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

LONG = BigInteger().with_variant(Integer(), "sqlite")
"""Bytes, tokens and sequences outgrow the four bytes PostgreSQL gives an Integer; SQLite's have eight anyway."""


def total(column: ColumnElement[Any]) -> ColumnElement[Any]:  # whole numbers, or floats
    """The sum in the column's own type: PostgreSQL's sum of great numbers is a decimal."""
    return cast(func.sum(column), column.type)
