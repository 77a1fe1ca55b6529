"""A NATS JetStream broker beside HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from config.sections import Section

NatsUrl = Annotated[str, Field(pattern=r"^(nats|tls|ws|wss)://[!-~]+$", max_length=2048)]


class Nats(Section):
    """`servers` are tried in turn; without any there is no broker. `prefix` begins every subject and stream.

    `credentials_file` is a .creds file; `user` and `password_file` where the broker knows users.
    """

    servers: tuple[NatsUrl, ...] = ()
    prefix: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9-]{0,31}$")] = "reelyard"
    credentials_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
