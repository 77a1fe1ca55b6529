"""What an engine tells of a live stream while it lasts, and what a client sees of it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from protocol.base import Message, Seconds


class LiveState(StrEnum):
    WAITING = "waiting"
    """Nobody publishes yet."""
    STARTING = "starting"
    """Pictures come in; nothing can be shown yet."""
    STREAMING = "streaming"
    """Players can read it."""
    ENDED = "ended"
    """The recording is being finished."""


class LiveTold(Message):
    """`ingest_url` holds the stream key: who knows it may publish. `seconds` of the stream have come in so far."""

    state: LiveState
    ingest_url: str | None = Field(default=None, repr=False)
    seconds: Seconds = 0.0


class LiveView(LiveTold):
    """`playback` is where a link to the stream is asked for; None while nothing can be shown."""

    playback: str | None = None
    stop_asked_at: str | None = None


class LiveLink(Message):
    """`url` is the master playlist below a signed prefix; whoever has it can watch until it expires or the stream ends."""

    url: str
    expires_at: str
