"""Who leads: what to write into the one row of the leader, and how long a server may believe that it leads. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dispatch.core.cluster import Leadership, ServerRow

FORGOTTEN_S = 86_400.0
"""The row of a server that was not seen for so long is removed."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Seconds. The leader renews its row every `renew_s`, for `lease_s`; others look every `look_s` whether it is free."""

    renew_s: float = 3.0
    lease_s: float = 7.0
    look_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Belief:
    """That this server leads under `epoch`, until a monotonic moment of its own: never later than its row says."""

    epoch: int
    until: float

    def holds(self, *, monotonic: float) -> bool:
        return monotonic < self.until


def wanted(row: Leadership | None, me: ServerRow, held: int | None, *, moment: float, lease_s: float) -> Leadership | None:
    """The row this server is to write at the database's `moment`, or None: another server leads.

    `held` is the epoch under which it led until now. A row of its own that it does not hold is of an earlier run in the
    same data directory, in which nobody else can be at work: it is taken at once.
    """
    until = moment + lease_s
    if row is None:
        return Leadership(me.server_id, me.url, 1, until)
    is_mine = row.server_id == me.server_id
    if is_mine and row.epoch == held:
        return Leadership(me.server_id, me.url, row.epoch, until)
    if held is None and (is_mine or row.until <= moment):
        return Leadership(me.server_id, me.url, row.epoch + 1, until)
    return None


def is_over(row: Leadership | None, server_id: str, epoch: int) -> bool:
    """Whether the term of that server under that epoch has ended, by what the row says."""
    return row is None or (row.server_id, row.epoch) != (server_id, epoch)


def forgotten(servers: list[ServerRow], *, moment: float) -> list[str]:
    """Ids of those that were not seen for a day."""
    return [server.server_id for server in servers if server.seen_at < moment - FORGOTTEN_S]
