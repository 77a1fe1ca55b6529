"""Makes one local file of a playlist's track: every piece fetched by the one fetcher, decrypted, put in order."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from engine.core.fetching import InputFailed
from engine.core.tracks import Key, Piece, Track, refused
from engine.shell.fetch import BLOCK, Fetching, Limit, OnShare, unheard
from engine.shell.scratch import watching_for_space
from protocol.errors import ErrorCode

AT_ONCE = 4
"""Pieces under way: latency is hidden, and only so many lie on the disk twice."""

KEY_BYTES, BLOCK_BITS = 16, 128


class Flattening:
    """Tracks of one input. `directory` takes the pieces on their way."""

    def __init__(self, fetching: Fetching, directory: Path) -> None:
        self._fetching, self._directory = fetching, directory
        self._keys: dict[str, bytes] = {}

    async def write(self, track: Track, target: Path, on_share: OnShare = unheard) -> None:
        """Raises InputFailed, TransferFailed or ScratchFull."""
        with watching_for_space(), target.open("wb") as file:
            for begin in range(0, len(track.pieces), AT_ONCE):
                batch = track.pieces[begin : begin + AT_ONCE]
                for piece, part in zip(batch, await self._fetched(batch), strict=True):
                    if part is not None:
                        await asyncio.to_thread(_append, file, part, self._cipher(piece.key))
                on_share(min(1.0, (begin + AT_ONCE) / len(track.pieces)))

    async def _fetched(self, batch: Sequence[Piece]) -> list[Path | None]:
        for key in (piece.key for piece in batch):
            if key is not None and key.url not in self._keys:
                self._keys[key.url] = await self._key(key.url)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._part(piece, n)) for n, piece in enumerate(batch)]
        except ExceptionGroup as broken:  # the first to fail tells why; it has ended the others
            raise broken.exceptions[0] from broken
        return [task.result() for task in tasks]

    async def _part(self, piece: Piece, n: int) -> Path | None:
        part = self._directory / f"part-{n}"
        try:
            await self._fetching.get(piece.url, part, piece.span)
        except InputFailed as failed:
            if piece.is_optional and failed.code is ErrorCode.INPUT_NOT_FOUND:
                return None
            raise
        return part

    async def _key(self, url: str) -> bytes:
        kept = self._directory / "key"
        await self._fetching.get(url, kept, limit=Limit(KEY_BYTES))
        key = kept.read_bytes()
        kept.unlink()
        if len(key) != KEY_BYTES:
            raise refused(f"a key of the playlist has {len(key)} bytes instead of {KEY_BYTES}")
        return key

    def _cipher(self, key: Key | None) -> Cipher[modes.CBC] | None:
        return None if key is None else Cipher(algorithms.AES128(self._keys[key.url]), modes.CBC(key.iv))


def _append(file: BinaryIO, part: Path, cipher: Cipher[modes.CBC] | None) -> None:
    with part.open("rb") as source:
        if cipher is None:
            shutil.copyfileobj(source, file, BLOCK)
        else:
            _decrypt(source, file, cipher)
    part.unlink()


def _decrypt(source: BinaryIO, file: BinaryIO, cipher: Cipher[modes.CBC]) -> None:
    decryptor, unpadder = cipher.decryptor(), PKCS7(BLOCK_BITS).unpadder()
    try:
        while block := source.read(BLOCK):
            file.write(unpadder.update(decryptor.update(block)))
        file.write(unpadder.update(decryptor.finalize()) + unpadder.finalize())
    except ValueError:
        raise InputFailed(ErrorCode.INPUT_CORRUPT, "an encrypted segment does not decrypt with its key") from None
