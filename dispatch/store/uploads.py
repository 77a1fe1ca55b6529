"""The part of a transaction about resumable uploads."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from dispatch.core.records import Upload
from dispatch.ports import StaleRow
from dispatch.store import rows, schema
from dispatch.store.statements import Lookup, Statement, by_ids

UPLOADS_BY_ID = Lookup(by_ids(schema.uploads, "upload_id"))
# A duty runs these every few seconds.
IN_STATE = (
    select(schema.uploads)
    .where(schema.uploads.c.state == bindparam("in_state"))
    .order_by(schema.uploads.c.expires_at, schema.uploads.c.upload_id)
    .limit(bindparam("most"))
)
FIRST_TO_EXPIRE = Statement(IN_STATE, ("in_state", "most"))
COUNT_OPEN = Statement(
    select(func.count()).select_from(schema.uploads).where(schema.IS_OPEN, schema.uploads.c.tenant == bindparam("of")), ("of",)
)
EXPIRED = Statement(IN_STATE.where(schema.uploads.c.expires_at <= bindparam("before")), ("in_state", "before", "most"))


class UploadQueries:
    """Mixed into SqlTransaction."""

    _connection: Connection

    def upload(self, upload_id: str) -> Upload | None:
        return self.uploads_of([upload_id]).get(upload_id)

    def uploads_of(self, upload_ids: Iterable[str]) -> dict[str, Upload]:
        loaded = map(rows.UPLOADS.load, UPLOADS_BY_ID.rows(self._connection, upload_ids))
        return {upload.upload_id: upload for upload in loaded}

    def uploads_in(self, state: str, *, before: float | None = None, limit: int) -> list[Upload]:
        """In this state, the first to expire first; with `before` only those that expire by then."""
        if before is None:
            found = FIRST_TO_EXPIRE.rows(self._connection, (state, limit))
        else:
            found = EXPIRED.rows(self._connection, (state, before, limit))
        return [rows.UPLOADS.load(row) for row in found]

    def count_open_uploads(self, tenant: str) -> int:
        return int(COUNT_OPEN.rows(self._connection, (tenant,))[0][0])

    def insert_upload(self, upload: Upload) -> None:
        self._connection.execute(insert(schema.uploads).values(rows.UPLOADS.params(upload)))

    def save_upload(self, before: Upload, after: Upload) -> None:
        """The whole row, if it still stands where it was loaded: same state, same bytes received."""
        table = schema.uploads
        same = (table.c.upload_id == before.upload_id, table.c.state == before.state, table.c.received == before.received)
        met = self._connection.execute(update(table).where(*same).values(rows.UPLOADS.params(after)))
        if met.rowcount != 1:
            raise StaleRow(f"{before.upload_id} had moved on")

    def delete_upload(self, upload_id: str) -> None:
        self._connection.execute(delete(schema.uploads).where(schema.uploads.c.upload_id == upload_id))
