"""A word from one server of a farm to another about a call it passes on: where the client came from.

Sealed with the key they share, so that no client can say so.
"""

from __future__ import annotations

from dispatch.ports import Clock
from dispatch.services.sealing import Sealer

PURPOSE = "passed-on"
GOOD_S = 60.0
"""Clocks of servers may differ by so much."""


class Vouchers:
    def __init__(self, sealer: Sealer, clock: Clock) -> None:
        self._sealer, self._clock = sealer, clock

    def issue(self, address: str) -> str:
        return self._sealer.seal(f"{PURPOSE} {self._clock.now():.3f} {address}")

    def address_in(self, voucher: str) -> str | None:
        """The client's address; None for a voucher that is old, or none of ours."""
        try:
            purpose, at, address = self._sealer.open(voucher).split(" ")
        except ValueError:  # not sealed by us, or other words
            return None
        is_good = purpose == PURPOSE and abs(self._clock.now() - float(at)) <= GOOD_S
        return address if is_good else None
