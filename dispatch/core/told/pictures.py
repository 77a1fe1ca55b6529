"""Single pictures: thumbnails, the sprite sheet, frames."""

from __future__ import annotations

from dispatch.core import thumbnails
from dispatch.core.told.made import Fields, Made, Output, place
from dispatch.core.told.renditions import resolution_of
from protocol import steps as step_names
from protocol.results import FileRole


def tell_thumbnails(made: Made) -> Fields:
    """The client's own where it sent one, which then is the primary one; and those of the film."""
    told: Fields = {}
    if (own := _own(made)) is not None:
        told["custom"] = own
    shots = [shot for shot in made.of(FileRole.THUMBNAIL) if not shot.facts.is_own]
    if shots:
        told["auto_generated"] = [_shot(made, shot) for shot in sorted(shots, key=_moment)]
    return {"thumbnails": told} if told else {}


def tell_sprite(made: Made) -> Fields:
    sheet, index = made.first(FileRole.SPRITE), made.first(FileRole.SPRITE_INDEX)
    if sheet is None or index is None:
        return {}
    told = {
        **place(sheet),
        "resolution": resolution_of(sheet.facts),
        "count": sheet.facts.frame_count,
        "index": place(index),
        "processing_time_seconds": made.took.get(step_names.GENERATE_SPRITE),
    }
    return {"sprite": told}


def tell_frames(made: Made) -> Fields:
    found = made.first(FileRole.FRAMES)
    if found is None:
        return {}
    took = made.took.get(step_names.EXTRACT_FRAMES)
    return {"frames": {**place(found), "count": found.facts.frame_count, "processing_time_seconds": took}}


def own_of(made: Made) -> Output | None:
    """The client's picture as it was encoded anew."""
    return next((one for one in made.of(FileRole.THUMBNAIL) if one.facts.is_own), None)


def _own(made: Made) -> Fields | None:
    """A job whose task was planned before pictures were encoded anew publishes its own as it was sent."""
    told = {"source": "upload", "is_primary": True}
    if (encoded := own_of(made)) is not None:
        return {**place(encoded), **told}
    sent = thumbnails.of_job(made.job)
    return None if sent is None else {"path": thumbnails.published_name(sent), "size_bytes": sent.size, **told}


def _moment(shot: Output) -> tuple[float, int]:
    return shot.facts.at or 0.0, shot.facts.percent or 0


def _shot(made: Made, shot: Output) -> Fields:
    """`position_percent` is null for one that was asked for by its second."""
    wanted, percent = made.profile.thumbnails, shot.facts.percent
    is_chosen = wanted is not None and percent is not None and percent == wanted.primary_percent
    return {
        "position_percent": percent,
        "timestamp": shot.facts.at,
        **place(shot),
        "is_primary": is_chosen and made.job.thumbnail_json is None,
    }
