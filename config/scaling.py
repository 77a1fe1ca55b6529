"""What autoscaling signals aim at."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from config.sections import Section, Span


class Scaling(Section):
    """As many engines are wanted as do all known work within `target_s`, from `min_engines` to `max_engines`.

    `slots_per_engine` is how many tasks an engine works on at once, where none is there to be looked at.
    """

    target_s: Span = 600.0
    min_engines: Annotated[int, Field(ge=0, le=100_000)] = 0
    max_engines: Annotated[int, Field(ge=1, le=100_000)] = 100
    slots_per_engine: Annotated[int, Field(ge=1, le=1024)] = 1

    @model_validator(mode="after")
    def _steps_come_in_order(self) -> Scaling:
        if self.min_engines > self.max_engines:
            raise ValueError(f"min_engines {self.min_engines} must be at most max_engines {self.max_engines}")
        return self
