"""A film with several sound tracks, and all that becomes of it by the real tools, as dispatch would plan it."""

from __future__ import annotations

from pathlib import Path

from dispatch.core.ladder import plan_transcode
from dispatch.core.measuring import plan_measure
from dispatch.core.planning import limits_of
from dispatch.core.plans import Film, Planned
from plugins.ffmpeg.measuring.plugin import MeasurePlugin
from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.encoding import AudioCodec, Preset
from protocol.media import MediaFacts
from protocol.plugins import Conclusion, Work
from protocol.profiles import Profile, Rendition
from protocol.recipes import InputLimits
from protocol.results import Failure, Measured
from protocol.sounds import RenditionAudio
from tests.integration.ffmpeg_attempts import run_analysis, success
from tests.integration.ffmpeg_runner import run_attempt
from tests.media import run_ffmpeg

SMALLEST = InputLimits(min_duration_s=0.1)


def film_with_tracks(path: Path) -> Path:
    """3 s of 320x180 with English, French in 5.1 (a tone of its own on each loudspeaker), German that ends after 2 s, and
    Swedish subtitles.
    """
    words = path.with_name("words.srt")
    words.write_text("1\n00:00:01,000 --> 00:00:02,000\nHej\n")
    six = "|".join(f"0.1*sin({hertz}*2*PI*t)" for hertz in (300, 400, 500, 60, 700, 800))
    run_ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=3"),
        *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=3,volume=0.3,aformat=channel_layouts=stereo"),
        *("-f", "lavfi", "-i", f"aevalsrc={six}:s=48000:d=3:c=5.1(side)"),
        *("-f", "lavfi", "-i", "sine=frequency=880:sample_rate=44100:duration=2"),
        *("-i", str(words), "-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map", "4"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "flac", "-c:s", "subrip", "-metadata:s:s:0", "language=swe"),
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fre", "-metadata:s:a:2", "language=ger"),
        *("-metadata:s:a:1", 'title=Pour "tous"', "-disposition:a:1", "default", "-disposition:a:0", "0"),
        str(path),
    )
    return path


def make(profile: Profile, source: Path, directory: Path) -> Conclusion | Failure:
    """What becomes of a source: looked at, measured where that is asked for, planned, made and proven."""
    looked = run_analysis(source, directory, limits_of(profile, SMALLEST))
    if isinstance(looked, Failure):
        return looked
    facts = looked.result.analysis
    assert facts is not None
    film = Film(profile, facts, _measure(Film(profile, facts), facts, source, directory))
    planned = plan_transcode(film)
    assert isinstance(planned, Planned), planned
    steps = tuple(step.name for step in planned.steps)
    work = Work(planned.recipe, steps, str(directory), threads=1, input_path=str(source), input_size=source.stat().st_size)
    made = run_attempt(FFmpegPlugin(), work)
    return made.result if isinstance(made.result, Failure) else success(made)


def _measure(film: Film, facts: MediaFacts, source: Path, directory: Path) -> Measured | None:
    planned = plan_measure(film, facts, ())
    if not isinstance(planned, Planned):
        return None
    apart = directory.parent / f"{directory.name}-measured"
    apart.mkdir()
    work = Work(planned.recipe, (), str(apart), threads=1, input_path=str(source), input_size=source.stat().st_size)
    return success(run_attempt(MeasurePlugin(), work)).result.measured


def made(profile: Profile, source: Path, directory: Path) -> Conclusion:
    result = make(profile, source, directory)
    assert isinstance(result, Conclusion), result
    return result


def ladder(codec: AudioCodec, *rates: int) -> tuple[Rendition, ...]:
    return tuple(
        Rendition(
            name=f"{height}p",
            height=height,
            crf=35,
            preset=Preset.ULTRAFAST,
            audio=RenditionAudio(codec=codec, bitrate=96_000 if height == 90 else 128_000, sample_rate=rate),
        )
        for height, rate in zip((90, 180), rates, strict=True)
    )
