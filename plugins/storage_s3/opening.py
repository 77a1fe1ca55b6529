"""The storage as its settings ask for it: connected, tried out, with the bucket's rules in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError

from plugins.storage_s3.connecting import connect
from plugins.storage_s3.lifecycle import put_rules
from plugins.storage_s3.provider import S3Storage
from plugins.storage_s3.settings import S3Settings
from protocol.storage import StorageError

log = structlog.get_logger("storage")


def open_storage(options: Mapping[str, Any]) -> S3Storage:  # Any: the settings' own values, by the names of S3Settings
    """Raises ValueError, in one line, where this server is unfit or the settings are. One that is away is tried later."""
    settings = S3Settings(**options)
    try:
        client, signer = connect(settings)
    except BotoCoreError as wrong:
        raise ValueError(f"storage.s3: {wrong}") from wrong
    storage = S3Storage(client, signer, settings)
    try:
        storage.try_out()
        if settings.manage_lifecycle and put_rules(client, settings):
            log.info("lifecycle_rules_put", bucket=settings.bucket)
    except StorageError as away:
        log.warning("storage_not_tried_yet", bucket=settings.bucket, reason=away.reason)
    return storage
