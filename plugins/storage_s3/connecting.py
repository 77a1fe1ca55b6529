"""The clients of boto3: one for calls, one for links, whose host others reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from plugins.storage_s3.reaching import REGION, keys_of
from plugins.storage_s3.settings import S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def connect(settings: S3Settings) -> tuple[S3Client, S3Client]:
    """The second is never called, only asked to sign: it names the host that engines and clients reach.

    Raises ValueError for a credentials file that cannot be used.
    """
    file = None if settings.credentials_file is None else str(settings.credentials_file)
    session = boto3.Session(profile_name=None if file else settings.profile)
    calls = _client(settings, session, file, settings.endpoint)
    if settings.public_endpoint in (None, settings.endpoint):
        return calls, calls
    return calls, _client(settings, session, file, settings.public_endpoint)


def _client(settings: S3Settings, session: boto3.Session, file: str | None, endpoint: str | None) -> S3Client:
    config = Config(
        signature_version="s3v4",
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": settings.attempts},
        max_pool_connections=settings.connections,
        user_agent_extra="reelyard",
        # Each body carries a checksum anyway; over plain HTTP it would be hashed once more for the signature.
        s3={"addressing_style": "path" if settings.path_style else "auto", "payload_signing_enabled": False},
    )
    return session.client(
        "s3",
        region_name=settings.region or session.region_name or REGION,
        endpoint_url=endpoint,
        verify=None if settings.ca_file is None else str(settings.ca_file),
        config=config,
        **keys_of(file, settings.profile),
    )
