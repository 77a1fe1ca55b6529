"""The storages there are, and how the suites look into them."""

from __future__ import annotations

import atexit
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.storage_local.provider import LocalStorage
from plugins.storage_s3.connecting import connect
from plugins.storage_s3.provider import S3Storage
from plugins.storage_s3.settings import S3Settings
from protocol.storage import StorageProvider
from tests.servers import seaweed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ADAPTERS = ("local", "s3")


@contextmanager
def opened(adapter: str, directory: Path) -> Iterator[StorageProvider]:
    """An empty storage."""
    if adapter == "s3":
        with s3() as storage:
            yield storage
    else:
        root = directory / "storage"
        root.mkdir()
        yield LocalStorage(str(root))


@contextmanager
def s3(server: seaweed.SeaweedServer | None = None, **changed: Any) -> Iterator[S3Storage]:  # Any: fields of S3Settings
    """Below a prefix of its own, or the one that is given."""
    settings = replace((server or seaweed.shared()).settings(seaweed.own_prefix()), **changed)
    storage = S3Storage(*connected(replace(settings, prefix="")), settings)
    try:
        yield storage
    finally:
        storage.close()


@cache
def connected(settings: S3Settings) -> tuple[S3Client, S3Client]:
    """Making a client takes a tenth of a second: those of one server are shared. They are closed when the process ends."""
    clients = connect(settings)
    for client in clients:
        atexit.register(client.close)
    return clients


async def blocks(*given: bytes) -> AsyncIterator[bytes]:
    for block in given:
        yield block


async def content(storage: StorageProvider, path: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([block async for block in await storage.read(path, start, length)])


async def names(storage: StorageProvider, prefix: str = "") -> list[str]:
    return [file.path for file in await storage.list(prefix)]


def digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()
