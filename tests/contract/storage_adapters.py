"""The storages there are, and how the suites look into them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from plugins.storage_local.provider import LocalStorage
from protocol.storage import StorageProvider

ADAPTERS: dict[str, Callable[[Path], StorageProvider]] = {"local": lambda root: LocalStorage(str(root))}


async def blocks(*given: bytes) -> AsyncIterator[bytes]:
    for block in given:
        yield block


async def content(storage: StorageProvider, path: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([block async for block in await storage.read(path, start, length)])


async def names(storage: StorageProvider, prefix: str = "") -> list[str]:
    return [file.path for file in await storage.list(prefix)]


def digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()
