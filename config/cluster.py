"""Several dispatch servers on one database."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from config.sections import Section, Span, Url


class Cluster(Section):
    """`url`: where engines and the other servers reach this one; the address it listens on, where none is given.

    The leader renews its row every `renew_s`, for `lease_s`. `secrets` is a directory all servers have the same content of;
    `<data>/secrets` by default.
    """

    url: Url | None = None
    renew_s: Span = 3.0
    lease_s: Span = 7.0
    secrets: Path | None = None

    @model_validator(mode="after")
    def _outlives_a_lost_renewal(self) -> Cluster:
        if 2 * self.renew_s >= self.lease_s:
            raise ValueError(f"renew_s {self.renew_s:g} must be less than half of lease_s {self.lease_s:g}")
        return self
