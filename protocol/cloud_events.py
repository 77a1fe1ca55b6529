"""CloudEvents 1.0 in structured JSON: how events go over a broker, out of the farm and into it.

The attributes are those of the specification (cloudevents.io, version 1.0.2); `data` has a model of its own for each type.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from protocol.base import Message

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
TYPE_PREFIX = "io.reelyard."
"""Goes before the name of the event in `type`: `io.reelyard.JobFinished`."""


class CloudEvent(Message):
    """`source` and `id` together are one event, however often it comes. Attributes nobody here knows are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Field(min_length=1, max_length=200)]
    source: Annotated[str, Field(min_length=1, max_length=200)]
    type: Annotated[str, Field(min_length=1, max_length=200)]
    subject: Annotated[str, Field(max_length=200)] | None = None
    time: Annotated[str, Field(max_length=64)] | None = None
    datacontenttype: Annotated[str, Field(max_length=100)] | None = "application/json"
    data: JsonValue = None
