"""The part of a transaction about accounts: usage, audit, profiles and quotas."""

from __future__ import annotations

from sqlalchemy import Connection


class AccountQueries:
    """Mixed into SqlTransaction."""

    _connection: Connection
