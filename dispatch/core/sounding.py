"""Which sound tracks of a film are taken, how, and which files of sound alone are made."""

from __future__ import annotations

from dispatch.core.plans import Film
from protocol.recipes import PlannedAudio


def audio_file(film: Film) -> PlannedAudio | None:
    """Of the first track; None where there is none, or none is asked for."""
    audio = film.profile.audio
    return PlannedAudio(audio=audio, path="audio/audio.mp3") if audio and film.facts.audio else None
