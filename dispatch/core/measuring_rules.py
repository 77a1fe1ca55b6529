"""What a profile may ask to be measured, beyond its fields: by FFmpeg, with something to measure. Pure."""

from __future__ import annotations

from collections import Counter

from dispatch.core.paging import refuse
from protocol.encoding import HARDWARE_ENCODERS
from protocol.profiles import Compare, Profile, Tool


def check(profile: Profile, below: str = "") -> None:
    """Raises VALIDATION_FAILED."""
    if profile.quality_metrics is not None and not profile.renditions:
        raise refuse(f"{below}quality_metrics", "scores renditions, and there are none")
    if profile.per_title is not None and len(profile.renditions) < 2:
        raise refuse(f"{below}per_title", "leaves rungs of a ladder out, and there are not two of them")
    if profile.tool is Tool.HANDBRAKE:
        _check_handbrake(profile, below)
    if profile.compare is not None:
        if any(rendition.name == "compare" for rendition in profile.renditions):
            raise refuse(f"{below}renditions", "compare is where the files of compare lie; choose another name")
        _check_compare(profile.compare, below)


def _check_handbrake(profile: Profile, below: str) -> None:
    for part in ("quality_metrics", "per_title"):
        if getattr(profile, part) is not None:
            raise refuse(f"{below}{part}", "is measured against what FFmpeg's encoders are given; HandBrake scales by itself")
    aimed = next((rendition.name for rendition in profile.renditions if rendition.target is not None), None)
    if aimed is not None:
        raise refuse(f"{below}renditions", f"{aimed} has a target; HandBrake is given a crf, a bitrate or a quality")


def _check_compare(compare: Compare, below: str) -> None:
    field = f"{below}compare"
    twice = [name for name, count in Counter(one.name for one in compare.renditions).items() if count > 1]
    if twice:
        raise refuse(field, f"{twice[0]} is there twice; each setting needs a name of its own")
    for rendition in compare.renditions:
        if rendition.target is not None:
            raise refuse(field, f"{rendition.name} has a target; settings are compared by crf, bitrate or quality")
        if any(encoder in HARDWARE_ENCODERS for encoder in rendition.encoders):
            raise refuse(field, f"{rendition.name} wishes a GPU's encoder; settings are compared on processors")
