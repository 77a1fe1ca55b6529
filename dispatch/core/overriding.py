"""A profile with the parts a submission wants otherwise. Pure."""

from __future__ import annotations

from dispatch.core.paging import refuse
from protocol.profiles import Name, OutputOverrides, Profile, Rendition


def overridden(profile: Profile, wanted: OutputOverrides) -> Profile:
    """What is left out stays, null takes a part away. Raises VALIDATION_FAILED when nothing would be made, or not so."""
    if profile.is_noop:
        raise refuse("outputs", "profile noop makes nothing that could be other")
    parts: dict[str, object] = {name: getattr(wanted, name) for name in wanted.model_fields_set}
    if "renditions" in parts:
        parts["renditions"] = _renditions(profile, wanted.renditions or ())
    made = profile.model_copy(update=parts)
    if not (made.renditions or made.audio or made.thumbnails):
        raise refuse("outputs", "leaves nothing to make: keep a rendition, the audio or the thumbnails")
    if made.hls is not None and not made.renditions:
        raise refuse("outputs.hls", "needs a rendition to cut into segments; take it away with null")
    if made.thumbnails is not None and made.thumbnails.primary_percent not in made.thumbnails.percents:
        raise refuse("outputs.thumbnails", "primary_percent must be one of percents")
    return made


def _renditions(profile: Profile, wanted: tuple[Name | Rendition, ...]) -> tuple[Rendition, ...]:
    """Smallest first, as profiles have them: what a rendition may be scaled from lies behind it."""
    known = {rendition.name: rendition for rendition in profile.renditions}
    found: dict[str, Rendition] = {}
    for each in wanted:
        if isinstance(each, str) and each not in known:
            raise refuse("outputs.renditions", f"profile {profile.name} has no {each}; it has {', '.join(known) or 'none'}")
        rendition = known[each] if isinstance(each, str) else each
        if rendition.name in found:
            raise refuse("outputs.renditions", f"names {rendition.name} more than once")
        found[rendition.name] = rendition
    return tuple(sorted(found.values(), key=lambda rendition: rendition.height))
