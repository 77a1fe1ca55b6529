"""The part of a transaction about resumable uploads."""

from __future__ import annotations

from sqlalchemy import Connection


class UploadQueries:
    """Mixed into SqlTransaction."""

    _connection: Connection
