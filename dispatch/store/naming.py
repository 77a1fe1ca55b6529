"""What all tables share: how constraints are named, and the type of great numbers."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData

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
