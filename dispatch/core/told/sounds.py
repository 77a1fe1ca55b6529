"""Files of sound alone."""

from __future__ import annotations

from dispatch.core.told.made import Fields, Made, Output, place
from protocol import steps as step_names
from protocol.results import FileRole


def tell(made: Made) -> Fields:
    """The first track's, and where there are more, all of them in `tracks`, in order."""
    files = made.of(FileRole.AUDIO)
    if not files:
        return {}
    first = next((one for one in files if one.row.path.startswith("audio/audio.")), files[0])
    others = [one for one in files if one is not first]
    tracks = {"tracks": [_track(one) for one in (first, *others)]} if others else {}
    took = made.took.get(step_names.EXTRACT_AUDIO_MP3)
    return {"audio": {**_file(first), "processing_time_seconds": took, **tracks}}


def _file(output: Output) -> Fields:
    facts = output.facts
    told = {
        **place(output),
        "codec": facts.codec,
        "bitrate": facts.bitrate,
        "sample_rate": facts.sample_rate,
        "channels": facts.channels,
        "duration_seconds": facts.duration,
    }
    return told if facts.loudness is None else {**told, "loudness_lufs": facts.loudness}


def _track(output: Output) -> Fields:
    return {"track": output.facts.track, "language": output.facts.language, **_file(output)}
