"""What a transaction knows of accounts: usage, audit, profiles and quotas."""

from __future__ import annotations

from typing import Protocol


class AccountRows(Protocol):
    """Part of `dispatch.ports.Transaction`."""
