"""What a profile may be beyond its fields: it has to make something, each thing once, and its parts fit together."""

from __future__ import annotations

import zlib
from collections import Counter

from dispatch.core import live_planning, measuring_rules, packaging_rules, picture_rules, rendition_rules, sound_rules
from dispatch.core.paging import refuse
from protocol.outputs import RESERVED
from protocol.profiles import INPUT, Profile, Tool

MAKE = ("renditions", "audio", "thumbnails", "sprite", "subtitles", "frames", "transcription", "content", "compare")
"""Parts of which each makes something by itself."""


def check(name: str, profile: Profile) -> None:
    """Raises VALIDATION_FAILED."""
    if profile.name != name:
        raise refuse("name", f"is {profile.name}, but the address says {name}")
    if profile.is_noop:
        raise refuse("noop_seconds", "is for the profile noop alone")
    check_whole(profile)


def check_whole(profile: Profile, below: str = "") -> None:
    """What belongs together, put in whole or overridden for one job; `below` goes before the field. Raises VALIDATION_FAILED."""
    twice = [word for word, count in Counter(rendition.name for rendition in profile.renditions).items() if count > 1]
    if twice:
        raise refuse(f"{below}renditions", f"{twice[0]} is there twice; each needs a name of its own")
    if taken := sorted(RESERVED & {rendition.name for rendition in profile.renditions}):
        raise refuse(f"{below}renditions", f"the name {taken[0]} is that of another output; choose one of your own")
    if not any(getattr(profile, part) for part in MAKE):
        raise refuse(f"{below}renditions", f"nothing would be made: give one of {', '.join(MAKE)}")
    if profile.concat and profile.concat.count(INPUT) != 1:
        raise refuse(f"{below}concat", f"must name {INPUT} once: where the job's own film stands among the others")
    if profile.live is not None:
        live_planning.check(profile, below)
    if profile.hls is not None and not profile.renditions:
        raise refuse(f"{below}hls", "packages renditions, and there are none")
    _check_packaging(profile, below)
    rendition_rules.check(profile, below)
    sound_rules.check(profile, below)
    picture_rules.check(profile, below)
    measuring_rules.check(profile, below)
    _check_thumbnails(profile, below)


def _check_thumbnails(profile: Profile, below: str) -> None:
    """Of those at seconds alone none is the primary one, but for the client's own."""
    wanted = profile.thumbnails
    if wanted is None:
        return
    if not (wanted.percents or wanted.seconds):
        raise refuse(f"{below}thumbnails", "nothing would be made: give percents or seconds")
    if wanted.percents and wanted.primary_percent not in wanted.percents:
        raise refuse(f"{below}thumbnails", "primary_percent must be one of percents")


def _check_packaging(profile: Profile, below: str) -> None:
    packaging = profile.packaging
    if profile.hls is not None and profile.tool is Tool.HANDBRAKE:
        raise refuse(f"{below}hls", "HandBrake makes files alone; give packaging instead")
    if packaging is None:
        return
    if not profile.renditions:
        raise refuse(f"{below}packaging", "packages renditions, and there are none")
    if not (packaging.hls or packaging.dash):
        raise refuse(f"{below}packaging", "nothing would be packaged: give hls or dash")
    if packaging.hls and profile.hls is not None:
        raise refuse(f"{below}packaging", "makes hls/master.m3u8, and so does hls; one of the two is enough")
    packaging_rules.check(profile, packaging, below)


def tag_of(profile_json: str, version: int | None) -> str:
    """The ETag: the version of a profile that was put in, else a sum of what it says."""
    return f'"{version}"' if version is not None else f'"b{zlib.crc32(profile_json.encode()):08x}"'
