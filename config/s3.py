"""Storage in a bucket: AWS, or a server that speaks S3."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from config.s3_inputs import Bucket
from config.sections import Section, Span, Url

MIB = 1 << 20
Prefix = Annotated[str, Field(pattern=r"^([A-Za-z0-9_\-][A-Za-z0-9_.\-]*(/[A-Za-z0-9_\-][A-Za-z0-9_.\-]*)*)?$", max_length=200)]
Days = Annotated[int, Field(ge=1, le=3650)]


class S3(Section):
    """`bucket` must be there; everything lies below `prefix` in it. `endpoint` is AWS where none is given, and `path_style`
    puts the bucket into the path, as MinIO and the like want it.

    `credentials_file` has the form of AWS, `profile` is its section; without it the machine's own chain is asked.
    Engines and clients get links (`direct`) that name `public_endpoint` where they reach the store by another host than
    dispatch does; `cdn_url` replaces the host in links to published files. `attempts` is of one call, `connections` how many
    run at once. A streamed write holds up to nine times `part_bytes`; files of more than `whole_bytes` are written by links
    in parts of `link_part_bytes`, and more than `copy_bytes` is copied in parts.

    With `manage_lifecycle` the bucket is given two rules at the start: unfinished writes end after `abort_days`, what is
    staged goes after `staging_days`.
    """

    bucket: Bucket
    prefix: Prefix = ""
    endpoint: Url | None = None
    public_endpoint: Url | None = None
    cdn_url: Url | None = None
    region: str | None = None
    path_style: bool = False
    credentials_file: Path | None = None
    profile: str | None = None
    ca_file: Path | None = None
    connect_timeout_s: Span = 5.0
    read_timeout_s: Span = 30.0
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    connections: Annotated[int, Field(ge=2, le=500)] = 32
    part_bytes: Annotated[int, Field(ge=5 * MIB, le=512 * MIB)] = 8 * MIB
    whole_bytes: Annotated[int, Field(ge=0, le=5 << 30)] = 64 * MIB
    link_part_bytes: Annotated[int, Field(ge=5 * MIB, le=5 << 30)] = 64 * MIB
    copy_bytes: Annotated[int, Field(ge=5 * MIB, le=5 << 30)] = 5 << 30
    direct: bool = True
    manage_lifecycle: bool = False
    abort_days: Days = 7
    staging_days: Days = 30

    @model_validator(mode="after")
    def _writes_end_before_they_expire(self) -> S3:
        if self.abort_days > self.staging_days:
            raise ValueError("abort_days must be at most staging_days: what is still written must not expire")
        return self
