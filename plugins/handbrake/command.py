"""Argument lists for HandBrakeCLI. Every word comes from a typed value; the input is opened by its descriptor."""

from __future__ import annotations

from fractions import Fraction

from plugins.media.calling import own_file, quiet
from plugins.media.lengths import output_rate
from protocol.errors import ErrorCode, ReelyardError
from protocol.media import MediaFacts, VideoStream
from protocol.recipes import HandbrakeRecipe, PlannedRendition

INPUT = "/dev/fd/{fd0}"

ENCODERS = {"libx264": "x264"}
"""HandBrake's name for each encoder that a profile may ask for."""

SAMPLE_RATES = {
    8_000: "8",
    11_025: "11.025",
    12_000: "12",
    16_000: "16",
    22_050: "22.05",
    24_000: "24",
    32_000: "32",
    44_100: "44.1",
    48_000: "48",
}
"""The sample rates HandBrake knows, in its own words."""

DEFAULT_GROUP_SECONDS = 10
MADE = "handbrake"


def encode(handbrake: str, recipe: HandbrakeRecipe, planned: PlannedRendition, threads: int) -> tuple[str, ...]:
    """One rendition: a whole decode, one encode, an MP4 that `clean` turns into the one that is published.

    Raises ReelyardError(PLUGIN_FAILED) for what HandBrake cannot be told.
    """
    video = recipe.source.video
    if video is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The HandBrake plugin was given an input without a picture.")
    return (
        *(handbrake, "--json", "--no-dvdnav", "--input", INPUT, "--title", "1", "--previews", "2:0"),
        *("--output", made(planned), "--format", "av_mp4", "--no-markers", "--subtitle", "none"),
        *_picture(recipe, planned, video, threads),
        *_sound(recipe.source, planned),
    )


def clean(ffmpeg: str, planned: PlannedRendition) -> tuple[str, ...]:
    """The same streams without the tags of the source, which HandBrake copies, and with the index in front."""
    copied = ("-map", "0", "-c", "copy", "-map_metadata", "-1", "-map_chapters", "-1", "-movflags", "+faststart")
    return (ffmpeg, "-y", *quiet(), *own_file(made(planned)), *copied, "-f", "mp4", f"file:{planned.path}")


def made(planned: PlannedRendition) -> str:
    """Where HandBrake writes a rendition, below the work directory."""
    return f"{MADE}/{planned.rendition.name}.mp4"


def _picture(recipe: HandbrakeRecipe, planned: PlannedRendition, video: VideoStream, threads: int) -> tuple[str, ...]:
    rendition, rate = planned.rendition, Fraction(planned.frame_rate) if planned.frame_rate else output_rate(video)
    slowed = () if rate == Fraction(video.frame_rate) else ("--rate", f"{float(rate):.6g}")
    return (
        *("--encoder", _encoder(planned), "--encoder-preset", planned.preset.value),
        *(("--encoder-profile", rendition.profile) if rendition.profile else ()),
        *(("--encoder-level", rendition.level) if rendition.level else ()),
        *("--quality", f"{planned.spends.crf or 0:g}"),
        *("--encopts", _encoder_options(recipe, rate, threads)),
        *("--width", str(planned.width), "--height", str(planned.height), "--non-anamorphic", "--modulus", "2"),
        *("--crop-mode", "none", *slowed, "--cfr", *(("--bwdif",) if video.is_interlaced else ())),
    )


def _encoder(planned: PlannedRendition) -> str:
    try:
        return ENCODERS[planned.encoder]
    except KeyError as error:
        raise ReelyardError(
            ErrorCode.PLUGIN_FAILED, f"The HandBrake plugin does not drive the encoder {planned.encoder}."
        ) from error


def _encoder_options(recipe: HandbrakeRecipe, rate: Fraction, threads: int) -> str:
    """Threads, and where keyframes stand: exactly a group apart where segments are to be cut later, else at most."""
    group = max(1, round(rate * (recipe.group_seconds or DEFAULT_GROUP_SECONDS)))
    fixed = f":min-keyint={group}:scenecut=0" if recipe.group_seconds else ""
    return f"threads={threads}:keyint={group}{fixed}"


def _sound(source: MediaFacts, planned: PlannedRendition) -> tuple[str, ...]:
    if not source.audio:
        return ("--audio", "none")
    audio, mix = planned.rendition.audio, "mono" if source.audio[0].channels == 1 else "stereo"
    if audio.sample_rate not in SAMPLE_RATES:
        known = ", ".join(str(rate) for rate in SAMPLE_RATES)
        message = f"HandBrake makes no sound at {audio.sample_rate} Hz. Use one of {known} in the profile."
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, message)
    return (
        *("--audio", "1", "--aencoder", "av_aac", "--ab", str(round(audio.bitrate / 1000))),
        *("--arate", SAMPLE_RATES[audio.sample_rate], "--mixdown", mix),
    )
