"""What an encoder must know to be given its arguments, beyond what the profile says of its rendition."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.media import VideoStream
from protocol.recipes import PlannedRendition


@dataclass(frozen=True, slots=True)
class Turn:
    """One of two passes over the same film: the first writes what it saw to `stats`, the second spends its bits by that.

    `stats` is a path below the work directory, of letters, digits and `._-/`.
    """

    number: int
    stats: str


@dataclass(frozen=True, slots=True)
class Settings:
    """`video` is the source as it is shown, None where nothing is known of it. `turn` is None for an encode in one pass."""

    planned: PlannedRendition
    threads: int
    video: VideoStream | None = None
    turn: Turn | None = None

    @property
    def crf(self) -> float:
        return self.planned.spends.crf or 0.0

    def kept(self) -> VideoStream | None:
        """The source, where its dynamic range is kept."""
        return self.video if self.planned.keeps_hdr else None


def shape(profile: str | None, level: str | None) -> tuple[str, ...]:
    return (*(("-profile:v", profile) if profile else ()), *(("-level:v", level) if level else ()))


def buffer(settings: Settings) -> tuple[str, ...]:
    """The cap on what a decoder's buffer must take, where there is one."""
    cap, seconds = settings.planned.spends.max_bitrate, settings.planned.spends.buffer_seconds
    return ("-maxrate", str(cap), "-bufsize", str(round(cap * seconds))) if cap else ()


def joined(**options: object) -> str:
    """The parameters of an encoder's own library, in the order given; None is left out, and `_` stands for `-`."""
    return ":".join(f"{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None)
