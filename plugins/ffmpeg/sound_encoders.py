"""How a profile's words on sound become an encoder's arguments."""

from __future__ import annotations

from protocol.sounds import AudioFile, RenditionAudio


def sound_arguments(audio: RenditionAudio, channels: int) -> tuple[str, ...]:
    """AAC beside a picture. More than two channels are mixed down to stereo; mono stays mono."""
    return (
        *("-c:a", "aac", "-b:a", str(audio.bitrate), "-ar", str(audio.sample_rate)),
        *("-ac", str(min(channels, 2)), "-flags:a", "+global_header"),
    )


def audio_file_arguments(audio: AudioFile, channels: int) -> tuple[str, ...]:
    return ("-c:a", "libmp3lame", "-b:a", str(audio.bitrate), "-ar", str(audio.sample_rate), "-ac", str(min(channels, 2)))
