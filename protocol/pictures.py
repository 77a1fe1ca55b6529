"""What a profile may ask of the picture before it is encoded: its part of the film, its shape, what is laid over it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from protocol.base import Message

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]{0,39}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
Pixels = Annotated[int, Field(ge=0, le=8192)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Moment = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
"""Seconds from the start."""


class Deinterlace(StrEnum):
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Crop(Message):
    """Pixels taken away on each side of the picture as it is shown."""

    left: Pixels = 0
    right: Pixels = 0
    top: Pixels = 0
    bottom: Pixels = 0


class Picture(Message):
    """`crop_black` finds black bars and takes them away. `pad_to` is the shape that black bars make it, as "16:9".

    `rotate` is clockwise, on top of what the file says of itself.
    """

    deinterlace: Deinterlace = Deinterlace.AUTO
    crop: Crop | None = None
    crop_black: bool = False
    pad_to: Annotated[str, Field(pattern=r"^[1-9]\d?:[1-9]\d?$")] | None = None
    rotate: Literal[0, 90, 180, 270] = 0


class Position(StrEnum):
    TOP_LEFT = "top-left"
    TOP_RIGHT = "top-right"
    BOTTOM_LEFT = "bottom-left"
    BOTTOM_RIGHT = "bottom-right"
    CENTER = "center"


class Watermark(Message):
    """A picture that the job brings as an attachment of this name. Width and margin in percent of the film's width."""

    attachment: Name = "watermark"
    position: Position = Position.BOTTOM_RIGHT
    opacity: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.8
    width_percent: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = 12.0
    margin_percent: Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)] = 2.0


class BurnIn(Message):
    """Subtitles drawn into the picture: an attachment, or the source's text track in this language; exactly one."""

    attachment: Name | None = None
    language: Language | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> BurnIn:
        if (self.attachment is None) == (self.language is None):
            raise ValueError("give either attachment or language")
        return self


class Clip(Message):
    """The part of the film that is taken, in seconds; `end` None is the film's own."""

    start: Moment = 0.0
    end: Moment | None = None

    @model_validator(mode="after")
    def _forwards(self) -> Clip:
        if self.end is not None and self.end <= self.start:
            raise ValueError("end must lie behind start")
        return self
