"""The outputs that are sound alone: files for listeners, and what a speech model hears."""

from __future__ import annotations

from plugins.ffmpeg.graph import Sounds
from plugins.ffmpeg.sound_encoders import sound_file
from plugins.media.soundtracks import sound_files
from protocol.recipes import TranscodeRecipe

SPEECH_ARGUMENTS = ("-c:a", "pcm_s16le", "-ar", "16000", "-ac", "1")
"""What speech models hear."""


def sound_alone(recipe: TranscodeRecipe, sounds: Sounds) -> list[tuple[str, ...]]:
    """The arguments of each output."""
    made = [sound_file(file, label) for file, label in zip(sound_files(recipe), sounds.files, strict=True)]
    if recipe.speech is not None and sounds.speech is not None:
        made.append(("-map", f"[{sounds.speech}]", *SPEECH_ARGUMENTS, "-f", "s16le", f"file:{recipe.speech}"))
    return made
