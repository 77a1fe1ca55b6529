"""What a transaction knows of resumable uploads."""

from __future__ import annotations

from typing import Protocol


class UploadRows(Protocol):
    """Part of `dispatch.ports.Transaction`."""
