"""What this server does of what S3 promises, found out by trying it: some take a condition and ignore it."""

from __future__ import annotations

from contextlib import suppress

from plugins.storage_s3.keys import TRIAL, Keys
from plugins.storage_s3.objects import Made, Objects
from plugins.storage_s3.parts import InParts
from protocol.storage import AlreadyExists, StorageError, StorageUnavailable


class Unfit(ValueError):
    """This server cannot keep what a storage must promise."""


class Trial:
    """`run` sets what `objects` may trust. Its objects are gone afterwards."""

    def __init__(self, objects: Objects, keys: Keys, *, unique: str) -> None:
        self._objects, self._first, self._second = objects, keys.own(f"{TRIAL}{unique}"), keys.own(f"{TRIAL}{unique}-2")

    def run(self) -> None:
        """Raises Unfit, and StorageUnavailable where nothing can be found out now."""
        try:
            self._objects.put(self._first, b"trial", Made("first"), create_only=True)
            self._refuses_a_second()
            self._refuses_a_second_in_parts()
            self._objects.vouches = self._checks_digests()
            self._objects.copies_new = self._copies_create_only()
        finally:
            with suppress(StorageError):
                self._objects.delete_all([self._first, self._second])

    def _refuses_a_second(self) -> None:
        try:
            self._objects.put(self._first, b"trial", Made("second"), create_only=True)
        except AlreadyExists:
            return
        raise Unfit("the storage ignores If-None-Match on PUT, so files could be overwritten; use one that honours it")

    def _refuses_a_second_in_parts(self) -> None:
        parts = InParts(self._objects, self._first, Made("third"))
        try:
            parts.begin()
            parts.send(1, b"trial")
            parts.complete()
        except AlreadyExists:
            return
        finally:
            with suppress(StorageError):
                parts.abort()
        raise Unfit(
            "the storage ignores If-None-Match on CompleteMultipartUpload, so files could be overwritten; use one that honours it"
        )

    def _checks_digests(self) -> bool:
        self._objects.vouches = True
        if self._objects.head(self._first).sha256 is None:
            return False
        try:
            self._objects.put(self._second, b"trial", Made("fourth"), create_only=True, sha256="0" * 64)
        except StorageUnavailable as refused:
            return "BadDigest" in refused.reason or "400" in refused.reason
        return False

    def _copies_create_only(self) -> bool:
        source = self._objects.head(self._first)
        self._objects.put(self._second, b"other", Made("fifth"), create_only=False)
        try:
            self._objects.copy(source, self._second, Made("sixth"))
        except AlreadyExists:
            return True
        return False
