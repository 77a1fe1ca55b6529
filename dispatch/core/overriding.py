"""A profile with the parts a submission wants otherwise. Pure."""

from __future__ import annotations

from dispatch.core.paging import refuse
from dispatch.core.profile_rules import check_whole
from protocol.pictures import Name
from protocol.profiles import OutputOverrides, Profile, Rendition


def overridden(profile: Profile, wanted: OutputOverrides) -> Profile:
    """What is left out stays, null takes a part away. Raises VALIDATION_FAILED when nothing would be made, or not so."""
    if profile.is_noop:
        raise refuse("outputs", "profile noop makes nothing that could be other")
    parts: dict[str, object] = {name: getattr(wanted, name) for name in wanted.model_fields_set}
    if "renditions" in parts:
        parts["renditions"] = _renditions(profile, wanted.renditions or ())
    made = profile.model_copy(update=parts)
    check_whole(made, below="outputs.")
    return made


def _renditions(profile: Profile, wanted: tuple[Name | Rendition, ...]) -> tuple[Rendition, ...]:
    """Smallest first, as profiles have them: what a rendition may be scaled from lies behind it."""
    known = {rendition.name: rendition for rendition in profile.renditions}
    for each in wanted:
        if isinstance(each, str) and each not in known:
            raise refuse("outputs.renditions", f"profile {profile.name} has no {each}; it has {', '.join(known) or 'none'}")
    found = (known[each] if isinstance(each, str) else each for each in wanted)
    return tuple(sorted(found, key=lambda rendition: rendition.height))
