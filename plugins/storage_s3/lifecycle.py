"""The two rules that the bucket keeps for us: unfinished writes end, what staging forgot goes. Foreign rules stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from plugins.storage_s3.faults import code_of, told_as
from plugins.storage_s3.settings import S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import LifecycleRuleOutputTypeDef, LifecycleRuleTypeDef

OURS = "reelyard-"


def rules_of(settings: S3Settings) -> list[LifecycleRuleTypeDef]:
    prefix = f"{settings.prefix}/" if settings.prefix else ""
    name = f"{OURS}{settings.prefix.replace('/', '-')}-" if settings.prefix else OURS
    return [
        {
            "ID": f"{name}unfinished",
            "Status": "Enabled",
            "Filter": {"Prefix": prefix},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": settings.abort_days},
        },
        {
            "ID": f"{name}staging",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{prefix}staging/"},
            "Expiration": {"Days": settings.staging_days},
        },
    ]


def merged(
    found: Sequence[LifecycleRuleOutputTypeDef], ours: Sequence[LifecycleRuleTypeDef]
) -> list[LifecycleRuleTypeDef | LifecycleRuleOutputTypeDef] | None:
    """What the bucket is to be given; None where our rules stand there already."""
    names = [rule.get("ID") for rule in ours]
    if [rule for rule in found if rule.get("ID") in names] == list(ours):
        return None
    return [*(rule for rule in found if rule.get("ID") not in names), *ours]


def put_rules(client: S3Client, settings: S3Settings) -> bool:
    """Whether something had to be changed. Raises StorageError."""
    with told_as("."):
        try:
            found = client.get_bucket_lifecycle_configuration(Bucket=settings.bucket).get("Rules", [])
        except ClientError as error:
            if code_of(error) != "NoSuchLifecycleConfiguration":
                raise
            found = []
        rules = merged(found, rules_of(settings))
        if rules is None:
            return False
        client.put_bucket_lifecycle_configuration(Bucket=settings.bucket, LifecycleConfiguration={"Rules": rules})
    return True
