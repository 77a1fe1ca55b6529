"""The outputs that are sound alone: files for listeners, and what a speech model hears."""

from __future__ import annotations

from collections.abc import Iterator

from plugins.ffmpeg.sound_encoders import audio_file_arguments
from protocol.recipes import TranscodeRecipe

SPEECH_ARGUMENTS = ("-c:a", "pcm_s16le", "-ar", "16000", "-ac", "1")
"""What speech models hear."""


def sound_files(recipe: TranscodeRecipe, sounds: Iterator[str]) -> list[tuple[str, ...]]:
    """`sounds` are the labels of the graph that renditions have left."""
    made: list[tuple[str, ...]] = []
    audio = next(sounds, None) if recipe.audio is not None else None
    speech = next(sounds, None)
    if recipe.audio is not None and audio is not None:
        arguments = audio_file_arguments(recipe.audio.audio, recipe.source.audio[0].channels)
        made.append(("-map", f"[{audio}]", *arguments, "-f", "mp3", f"file:{recipe.audio.path}"))
    if recipe.speech is not None and speech is not None:
        made.append(("-map", f"[{speech}]", *SPEECH_ARGUMENTS, "-f", "s16le", f"file:{recipe.speech}"))
    return made
