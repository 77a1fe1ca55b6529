"""What is found out of a film before it is encoded, and what follows from it for the rest of its job."""

from __future__ import annotations

from fractions import Fraction

from dispatch.core.plans import Film, LeftOut, Planned, steps_of
from dispatch.core.sounding import tracks as planned_tracks
from protocol.profiles import Profile
from protocol.recipes import MeasureRecipe
from protocol.results import Measured
from protocol.states import TaskKind

CONTENT = "analysis/content.json"


def plan_measure(film: Film) -> Planned[MeasureRecipe] | LeftOut:
    """Loudness of every track that is taken, and the content. Left out where there is nothing to measure."""
    profile, facts = film.profile, film.facts
    loudness = profile.sound.loudness if profile.sound else None
    heard = planned_tracks(film) if loudness else ()
    tracks, channels = tuple(track.stream for track in heard), tuple(track.channels for track in heard)
    content = profile.content
    if not tracks and content is None:
        return LeftOut("there is nothing to measure")
    path = CONTENT if content else None
    recipe = MeasureRecipe(source=facts, tracks=tracks, channels=channels, loudness=loudness, content=content, content_path=path)
    return Planned(recipe, (), 1.0 + 0.05 * float(Fraction(facts.duration)), steps_of(TaskKind.MEASURE, profile, {}))


def without(profile: Profile, measured: Measured) -> Profile:
    """The profile without the rungs that this film does not need."""
    dropped = {one.rendition for one in measured.dropped}
    kept = tuple(rendition for rendition in profile.renditions if rendition.name not in dropped)
    return profile.model_copy(update={"renditions": kept})
