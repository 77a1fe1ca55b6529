"""Which single pictures are made of a film, and where they go."""

from __future__ import annotations

from fractions import Fraction

from protocol.media import MediaFacts
from protocol.profiles import Profile
from protocol.recipes import ThumbnailShot


def thumbnails(profile: Profile, facts: MediaFacts) -> tuple[ThumbnailShot, ...]:
    if profile.thumbnails is None or facts.video is None:
        return ()
    duration = Fraction(facts.video.duration or facts.duration)
    return tuple(
        ThumbnailShot(percent=percent, at=str(duration * percent / 100), path=f"thumbnails/thumb_{percent:02d}.jpg")
        for percent in sorted(set(profile.thumbnails.percents))
    )
