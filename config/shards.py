"""Several whole farms, each with its tenants."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from config.sections import Section, Url

ShardName = Annotated[str, Field(pattern="^[a-z][a-z0-9]{0,15}$")]


class Shards(Section):
    """`own` is the name of this farm, `urls` where all of them are reached: `[shards.urls]`, a line each, this one's too.

    Every tenant lives in one farm, found by a hash of its name; `pins` names another for single tenants. All farms have the
    same secrets (`cluster.secrets`), and calls of clients may come to any of them.
    """

    own: ShardName | None = None
    urls: dict[ShardName, Url] = {}
    pins: dict[str, ShardName] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Shards:
        if (self.own is None) != (not self.urls):
            raise ValueError("own and urls go together: the name of this farm, and the addresses of all")
        if self.own is not None and self.own not in self.urls:
            raise ValueError(f"urls has no {self.own!r}, which is the name of this farm")
        if unknown := sorted(set(self.pins.values()) - set(self.urls)):
            raise ValueError(f"pins name {unknown[0]!r}, and urls has no such farm")
        return self
