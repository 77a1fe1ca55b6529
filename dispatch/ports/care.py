"""What a transaction knows of care: purges, retention and deletions."""

from __future__ import annotations

from typing import Protocol


class CareRows(Protocol):
    """Part of `dispatch.ports.Transaction`."""
