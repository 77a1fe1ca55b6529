"""What the S3 adapter is told, and the limits of S3 that it works within."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
SMALLEST_PART = 5 * MIB
"""S3 refuses a smaller part anywhere but at the end of a multipart upload."""

MOST_PARTS = 10_000
LARGEST_PART = 5 << 30
LARGEST_COPY = 5 << 30
"""What one CopyObject may copy; more is copied in parts."""

LONGEST_LINK_S = 7 * 86_400
"""A signature of version 4 holds no longer."""


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Spans in seconds, sizes in bytes.

    `part_bytes` is what a streamed write holds of each part, `whole_bytes` the largest file a link takes by one PUT, and
    `link_part_bytes` the parts of larger ones. `copy_bytes` is the most that is copied by one call.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    public_endpoint: str | None = None
    cdn_url: str | None = None
    region: str | None = None
    path_style: bool = False
    credentials_file: Path | None = None
    profile: str | None = None
    ca_file: Path | None = None
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    attempts: int = 3
    connections: int = 32
    part_bytes: int = 8 * MIB
    whole_bytes: int = 64 * MIB
    link_part_bytes: int = 64 * MIB
    copy_bytes: int = LARGEST_COPY
    direct: bool = True
    manage_lifecycle: bool = False
    abort_days: int = 7
    staging_days: int = 30
