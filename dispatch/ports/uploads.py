"""What uploads need from the outside: their rows, and what a tenant may still take in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from dispatch.core.records import Upload


class UploadRows(Protocol):
    """Part of `dispatch.ports.Transaction`."""

    def upload(self, upload_id: str) -> Upload | None: ...
    def uploads_of(self, upload_ids: Iterable[str]) -> dict[str, Upload]:
        """Those that exist, by id."""
        ...

    def uploads_in(self, state: str, *, before: float | None = None, limit: int) -> list[Upload]:
        """In this state, the first to expire first; with `before` only those that expire by then."""
        ...

    def count_open_uploads(self, tenant: str) -> int: ...
    def insert_upload(self, upload: Upload) -> None: ...
    def save_upload(self, before: Upload, after: Upload) -> None:
        """Guarded by state and bytes received. Raises StaleRow."""
        ...

    def delete_upload(self, upload_id: str) -> None: ...


class ByteQuota(Protocol):
    """What a tenant may take in this month."""

    async def check_bytes(self, tenant: str, size: int) -> None:
        """Raises QUOTA_EXCEEDED when so many bytes more are too many."""
        ...
