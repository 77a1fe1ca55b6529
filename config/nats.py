"""A NATS JetStream broker beside HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from config.sections import Section

NatsUrl = Annotated[str, Field(pattern=r"^(nats|tls|ws|wss)://[!-~]+$", max_length=2048)]
TenantName = Annotated[str, Field(min_length=1, max_length=64)]


class NatsConnection(Section):
    """`servers` are tried in turn; without any there is no broker. `prefix` begins every subject and stream.

    `credentials_file` is a .creds file; `user` and `password_file` where the broker knows users.
    """

    servers: tuple[NatsUrl, ...] = ()
    prefix: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9-]{0,31}$")] = "reelyard"
    credentials_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None


class Nats(NatsConnection):
    """`tenants` are those that a VideoUploaded event may name; the first is meant where it names none.

    `replicas` of each stream; days that events and dead letters are kept.
    """

    tenants: Annotated[tuple[TenantName, ...], Field(min_length=1)] = ("default",)
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    events_days: Annotated[float, Field(gt=0)] = 7.0
    dead_days: Annotated[float, Field(gt=0)] = 14.0
