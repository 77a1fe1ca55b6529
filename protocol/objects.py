"""The interface of S3 inputs: objects in somebody's buckets, looked at here and read in place by links made for each grant.

The settings of a source and its credentials stay with dispatch; engines get links, each a key to one object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectReach:
    """How the buckets of a source are reached; links name `public_endpoint` where engines go by another host.

    Without `credentials_file` the chain of the machine is asked. It has the form of AWS: a section `[default]`, or the one
    that `profile` names, with `aws_access_key_id` and `aws_secret_access_key`.
    """

    endpoint: str | None = None
    public_endpoint: str | None = None
    region: str | None = None
    path_style: bool = False
    credentials_file: str | None = None
    profile: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """`etag` names the version of the bytes, as the store tells it but for quotes; `head` are the first bytes."""

    size: int
    etag: str
    head: bytes


class ObjectSource(Protocol):
    """Loaded by the entry point group `reelyard.sources`, called with an ObjectReach."""

    async def look(self, bucket: str, key: str, *, head_bytes: int) -> ObjectFacts:
        """Raises NotFound, also where reading is not permitted, and StorageUnavailable (both of `protocol.storage`)."""
        ...

    def read_link(self, bucket: str, key: str, *, seconds: int) -> str:
        """A link for GET, with ranges. Signing needs no call: whether there is such an object is not asked."""
        ...
