"""What sections of settings share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LAST_PORT = 65_535
Share = Annotated[float, Field(ge=0, le=1)]
Span = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""Seconds."""

Port = Annotated[int, Field(ge=1, le=LAST_PORT)]
Url = Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=2048)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
