"""The files there are, from the keys there are; and what goes with a directory. Blocking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from plugins.storage_s3.faults import told_as
from plugins.storage_s3.growing import chain
from plugins.storage_s3.keys import PIECES, Keys
from plugins.storage_s3.objects import Object, Objects
from protocol.storage import Stat


class Listing:
    def __init__(self, objects: Objects, keys: Keys) -> None:
        self._objects, self._keys = objects, keys

    def below(self, prefix: str) -> Sequence[Stat]:
        found = list(self._objects.list(self._keys.below(prefix)))
        if prefix and not any("/." not in one.key.removeprefix(self._keys.below(prefix)) for one in found):
            key = self._keys.of(prefix)
            found += [one for one in self._objects.list(key, most=1) if one.key == key]
        return sorted(self._files(found), key=lambda file: file.path)

    def delete(self, path: str) -> None:
        """The file of this name, and all below it with what is kept beside them."""
        key = self._keys.of(path)
        self._objects.delete_all([*(one.key for one in self._objects.list(f"{key}/")), key])

    def sweep(self, *, before: float) -> int:
        client, swept = self._objects.client, 0
        with told_as("."):
            for page in client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._objects.bucket, Prefix=self._keys.root
            ):
                for upload in page.get("Uploads", []):
                    begun = upload.get("Initiated")
                    if begun is not None and begun.timestamp() < before:
                        self._objects.abort(upload.get("Key", ""), upload.get("UploadId", ""))
                        swept += 1
        return swept

    def _files(self, found: Iterable[Object]) -> Iterable[Stat]:
        growing: dict[str, list[Object]] = {}
        for one in found:
            whole, is_piece, _ = one.key.rpartition(PIECES)
            path = self._keys.path(one.key)
            if is_piece:
                growing.setdefault(whole, []).append(one)
            elif not any(name.startswith(".") or not name for name in path.split("/")):
                yield Stat(path, one.size, one.modified)
        for key, pieces in growing.items():
            if whole_pieces := chain(pieces):
                yield Stat(self._keys.path(key), sum(one.size for one in whole_pieces), whole_pieces[-1].modified)
