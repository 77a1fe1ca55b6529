"""A client of an S3 store for reading objects of others: signed by v4, few tries, short waits."""

from __future__ import annotations

import configparser
from typing import TYPE_CHECKING, TypedDict

import boto3
from botocore.config import Config

from protocol.objects import ObjectReach

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

REGION = "us-east-1"
"""What a signature names where the settings do not: stores other than AWS take it."""

CONNECT_S, READ_S, TRIES = 5.0, 15.0, 3


class _Keys(TypedDict, total=False):
    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str


def client_of(reach: ObjectReach) -> S3Client:
    """Raises ValueError for a credentials file that cannot be used; it says nothing of what stands in it."""
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if reach.path_style else "auto"},
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = boto3.Session(profile_name=None if reach.credentials_file else reach.profile)
    return session.client(
        "s3",
        endpoint_url=reach.endpoint,
        region_name=reach.region or session.region_name or REGION,
        verify=reach.ca_file,
        config=config,
        **keys_of(reach.credentials_file, reach.profile),
    )


def keys_of(credentials_file: str | None, profile: str | None) -> _Keys:
    """A file that the settings name is all that counts: neither the environment nor the machine's role goes before it."""
    if credentials_file is None:
        return {}
    section, read = profile or "default", configparser.ConfigParser(interpolation=None)
    try:
        with open(credentials_file, encoding="utf-8") as file:
            read.read_file(file)
        found = read[section]
        keys: _Keys = {
            "aws_access_key_id": found["aws_access_key_id"].strip(),
            "aws_secret_access_key": found["aws_secret_access_key"].strip(),
        }
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError):
        reason = f"must have a section [{section}] with aws_access_key_id and aws_secret_access_key"
        raise ValueError(f"the credentials file {credentials_file} cannot be read, or {reason}") from None
    if token := found.get("aws_session_token"):
        keys["aws_session_token"] = token.strip()
    return keys
