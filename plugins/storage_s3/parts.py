"""One write in parts, from its begin to its end. Blocking steps, in any order and side by side but for the ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugins.storage_s3.objects import Made, Object, Objects

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef


class InParts:
    """`begin`, `send` or `copy` for each number from 1, `complete`; after any failure `abort`."""

    def __init__(self, objects: Objects, key: str, made: Made) -> None:
        self._objects, self._key, self._made = objects, key, made
        self._upload: str | None = None
        self._parts: dict[int, CompletedPartTypeDef] = {}

    def begin(self) -> None:
        self._upload = self._objects.begin(self._key, self._made)

    def send(self, number: int, content: bytes) -> None:
        self._parts[number] = self._objects.put_part(self._key, self._begun(), number, content)

    def copy(self, number: int, source: Object, span: tuple[int, int]) -> None:
        self._parts[number] = self._objects.copy_part(self._key, self._begun(), number, source, span)

    def complete(self, *, create_only: bool = True) -> None:
        parts = [self._parts[number] for number in sorted(self._parts)]
        self._objects.complete(self._key, self._begun(), parts, write=self._made.write, create_only=create_only)

    def abort(self) -> None:
        """Harmless before the begin and after the end."""
        if self._upload is not None:
            self._objects.abort(self._key, self._upload)

    def _begun(self) -> str:
        if self._upload is None:
            raise ValueError(f"{self._key}: not begun")
        return self._upload
