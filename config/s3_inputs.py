"""Buckets whose objects may be named as inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from config.sections import Section, Url

Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9\-]*(\.[a-z0-9][a-z0-9\-]*)*$", min_length=3, max_length=63)]


class S3Inputs(Section):
    """One store with its `buckets`. `tenants` may name objects in them; without any, all tenants may.

    `endpoint` is AWS where none is given; links name `public_endpoint` where engines go by another host. `path_style` puts
    the bucket into the path, as MinIO and the like want it.
    `credentials_file` has the form of AWS, `profile` is its section; without it the machine's own chain is asked.
    """

    buckets: Annotated[tuple[Bucket, ...], Field(min_length=1)]
    tenants: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    endpoint: Url | None = None
    public_endpoint: Url | None = None
    region: str | None = None
    path_style: bool = False
    credentials_file: Path | None = None
    profile: str | None = None
    ca_file: Path | None = None
