"""What a transaction knows of the servers on its database, and who leads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from dispatch.core.cluster import Leadership, ServerRow


class ClusterRows(Protocol):
    """Part of `dispatch.ports.Transaction`."""

    def moment(self) -> float:
        """The database's own clock, Unix seconds: the one clock all servers share."""
        ...

    def leadership(self) -> Leadership | None: ...
    def put_leadership(self, row: Leadership, *, was: Leadership | None) -> None:
        """Guarded by the epoch and the server of `was`. Raises StaleRow."""
        ...

    def servers(self) -> list[ServerRow]: ...
    def put_server(self, row: ServerRow) -> None: ...
    def drop_servers(self, server_ids: Iterable[str]) -> None: ...

    def forget_rate_windows(self) -> None:
        """Those that have ended."""
        ...

    def drop_changes(self) -> None:
        """What each commit touched, where every server that runs has long heard of it."""
        ...

    def fact(self, name: str) -> str | None:
        """A word about the whole farm, such as the digest of its registration token."""
        ...

    def put_fact(self, name: str, value: str) -> None: ...


class Leading(Protocol):
    """Whether this server leads now, by its own belief; the epoch is what a transaction holds against the row."""

    @property
    def is_leading(self) -> bool: ...
    @property
    def epoch(self) -> int: ...
    @property
    def leader_url(self) -> str | None: ...
