"""Which of the things that can be done to a picture go together in one profile."""

from __future__ import annotations

from dispatch.core.paging import refuse
from protocol.pictures import Picture
from protocol.profiles import Profile, Tool

SHAPED = ("clip", "concat", "watermark", "burn_in")


def check(profile: Profile, below: str = "") -> None:
    """Raises VALIDATION_FAILED."""
    if profile.tool is Tool.HANDBRAKE and profile.renditions:
        _check_handbrake(profile, below)
    if not profile.concat:
        return
    if profile.frames is not None:
        raise refuse(f"{below}frames", "are pictures of one file; leave out concat")
    if profile.burn_in is not None and profile.burn_in.language is not None:
        raise refuse(f"{below}burn_in", "a film of several files has no track of its own; give the subtitles as an attachment")
    if profile.picture is not None and profile.picture.crop_black:
        raise refuse(f"{below}picture", "crop_black looks for the bars of one file; give crop, or leave out concat")


def _check_handbrake(profile: Profile, below: str) -> None:
    asked = [name for name in SHAPED if getattr(profile, name)]
    if asked:
        raise refuse(f"{below}{asked[0]}", "is FFmpeg's work; give tool ffmpeg")
    if profile.picture not in (None, Picture()):
        raise refuse(f"{below}picture", "is FFmpeg's work; give tool ffmpeg")
