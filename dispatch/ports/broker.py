"""The broker as the services need it: messages that are kept, in order, and messages that may be lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class BrokerAway(Exception):
    """The broker did not take it: not connected, too late, or refused. What was sent may have arrived or not."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message with the same `message_id` as an earlier one is dropped by the broker."""

    subject: str
    body: bytes
    message_id: str


class Broker(Protocol):
    """The farm works without it: whatever it carries, the database holds, and HTTP carries too."""

    @property
    def problem(self) -> str | None:
        """Why it is away, as a clause for people; None while it is there."""
        ...

    @property
    def largest(self) -> int:
        """Bytes of a body that it takes."""
        ...

    async def keep(self, messages: Sequence[Outgoing]) -> None:
        """All of them on the broker's disk, in this order. Raises BrokerAway: some of the first ones may be there then."""
        ...

    async def hand_out(self, engine_id: str, messages: Sequence[Outgoing]) -> None:
        """The same, on the queue of one engine."""
        ...

    async def tell(self, subject: str, body: bytes) -> None:
        """To whoever listens now. Never waits for an answer, and is silent when the broker is away."""
        ...
