"""The part of a transaction about care: purges, retention and deletions."""

from __future__ import annotations

from sqlalchemy import Connection


class CareQueries:
    """Mixed into SqlTransaction."""

    _connection: Connection
