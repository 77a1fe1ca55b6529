"""What a job can make of a damaged input, where its client wants that published. Pure."""

from __future__ import annotations

from collections.abc import Callable

from dispatch.core.paging import refuse
from protocol.profiles import Profile, Tool

STRICT: tuple[tuple[Callable[[Profile], bool], str], ...] = (
    (lambda profile: profile.live is not None, "is not for live streams"),
    (
        lambda profile: profile.tool is Tool.HANDBRAKE,
        "is not for renditions by HandBrake: what it makes is held against the input",
    ),
    (lambda profile: profile.frames is not None, "is not for frames: their number is held against the input"),
)


def check_damage_allowed(profile: Profile) -> None:
    """Raises VALIDATION_FAILED for a profile of which some task takes no damage."""
    for is_strict, message in STRICT:
        if is_strict(profile):
            raise refuse("allow_damaged", message)
