"""What an error of S3 says to the caller. No text of a request gets into it: links and headers carry signatures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from urllib3.exceptions import HTTPError

from protocol.storage import AlreadyExists, InvalidPath, NotFound, StorageError, StorageFull, StorageUnavailable


class Conflict(StorageUnavailable):
    """Two create-only writes of one name met; S3 tells neither of them who has won."""


BY_CODE: dict[str, tuple[type[StorageError], str]] = {
    "NoSuchKey": (NotFound, "there is no such file"),
    "NoSuchUpload": (NotFound, "there is no such write in parts"),
    "NoSuchBucket": (StorageUnavailable, "there is no such bucket; make it, or correct storage.s3.bucket"),
    "PreconditionFailed": (AlreadyExists, "there is a file of this name"),
    "ConditionalRequestConflict": (Conflict, "another write of this name is under way"),
    "KeyTooLongError": (InvalidPath, "the path, with the prefix, is too long for this storage"),
    "XMinioInvalidObjectName": (InvalidPath, "this storage refuses the name"),
    "XMinioParentIsObject": (InvalidPath, "a file stands where a directory is needed"),
    "XMinioStorageFull": (StorageFull, "the storage is full"),
    "QuotaExceeded": (StorageFull, "the quota is used up"),
    "XMinioAdminBucketQuotaExceeded": (StorageFull, "the bucket's quota is used up"),
    "InvalidAccessKeyId": (StorageUnavailable, "the storage does not know this access key"),
    "SignatureDoesNotMatch": (StorageUnavailable, "the secret key is wrong, or a proxy changes requests"),
    "RequestTimeTooSkewed": (StorageUnavailable, "the clocks of this machine and of the storage disagree"),
    "ExpiredToken": (StorageUnavailable, "the credentials have expired"),
}
BY_STATUS: dict[int, tuple[type[StorageError], str]] = {
    404: (NotFound, "there is no such file"),
    412: (AlreadyExists, "there is a file of this name"),
    403: (StorageUnavailable, "the storage refuses these credentials"),
    507: (StorageFull, "the storage is full"),
}


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def meaning(path: str, error: Exception) -> StorageError:
    """Any error that is not named (5xx, SlowDown, a broken line, ...) is the storage's own trouble: try again."""
    if isinstance(error, ClientError):
        code, status = code_of(error), status_of(error)
        kind, reason = BY_CODE.get(code) or BY_STATUS.get(status) or (StorageUnavailable, "the storage fails")
        return kind(path, f"{reason} ({code or 'no code'}, {status})")
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StorageUnavailable(path, "there are no credentials; set storage.s3.credentials_file, or AWS_ACCESS_KEY_ID")
    return StorageUnavailable(path, f"the storage cannot be reached ({type(error).__name__})")


@contextmanager
def told_as(path: str) -> Iterator[None]:
    """Raise an error of boto3 as the StorageError it means for `path`."""
    try:
        yield
    except (ClientError, BotoCoreError, HTTPError, OSError) as error:
        raise meaning(path, error) from error
