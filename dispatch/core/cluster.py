"""Several servers on one database: who leads, who is there, what each commit touched. Records only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leadership:
    """One row: the server that leads. `epoch` rises with each change of the leader; `until` is by the database's clock."""

    server_id: str
    url: str
    epoch: int
    until: float


@dataclass(frozen=True, slots=True)
class ServerRow:
    """A dispatch server that runs, or did: `boot_id` is that of its run, `seen_at` by the database's clock."""

    server_id: str
    boot_id: str
    url: str
    version: str
    started_at: float
    seen_at: float


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit touched, for the other servers: names of kinds of rows to their ids. `seq` rises in commit order."""

    seq: int
    server_id: str
    at: float
    refs: Mapping[str, tuple[str, ...]]
