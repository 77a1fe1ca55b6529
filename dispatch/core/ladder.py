"""The ladder that a source allows, by FFmpeg in one process together with everything else it decodes for, or by HandBrake."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from dispatch.core.encoders import Gpu, decoder_of, encoder_of, filters_of
from dispatch.core.plans import Film, LeftOut, Planned, steps_of
from dispatch.core.sounding import audio_file, encoders, more_audio_files, tracks
from dispatch.core.stills import has_stills, with_stills
from dispatch.core.targets import metrics_of, needs_of, rated
from dispatch.core.texts import WHY_NONE, with_subtitles
from protocol import steps as step_names
from protocol.encoding import HARDWARE_ENCODERS, Hdr, Preset, VideoCodec
from protocol.errors import ErrorCode, FailureClass
from protocol.media import MediaFacts, VideoStream
from protocol.packaging import SegmentFormat
from protocol.profiles import Profile, Rendition, Tool
from protocol.rates import capped_rate
from protocol.recipes import HandbrakeRecipe, PlannedRendition, TranscodeRecipe
from protocol.results import Failure
from protocol.states import TaskKind

PIXELS_PER_SECOND = 50e6
"""x264 `medium` on two threads of a common server core, measured on 720p film; only an estimate for queueing."""

CODEC_COSTS = {VideoCodec.H264: 1.0, VideoCodec.HEVC: 2.3, VideoCodec.AV1: 1.3, VideoCodec.VP9: 3.0}
PRESET_COSTS = {
    Preset.ULTRAFAST: 0.4,
    Preset.SUPERFAST: 0.5,
    Preset.VERYFAST: 0.6,
    Preset.FASTER: 0.8,
    Preset.FAST: 0.9,
    Preset.MEDIUM: 1.0,
    Preset.SLOW: 1.8,
    Preset.SLOWER: 3.0,
    Preset.VERYSLOW: 5.0,
}
TWO_PASSES, ON_GPU = 1.5, 0.2
"""As measured when the quality words were calibrated (ADR 28), rounded; that of a GPU is a guess."""

SPEECH_PATH = "speech/speech.s16le"
"""Where `transcode` stages the sound for a later `transcribe`."""


def plan_renditions(film: Film, gpu: Gpu | None = None) -> tuple[PlannedRendition, ...] | Failure:
    """The ladder that the source allows, or why the profile cannot be made of it. `gpu` is one to use."""
    profile, facts = film.profile, film.facts
    wanted = tuple(r for r in profile.renditions if r.name not in film.spared)
    renditions = tuple(r for r in wanted if facts.video is not None and allows(r, facts.video))
    if profile.renditions and not renditions:
        return _too_small(profile, facts.video)
    planned = (_planned_rendition(r, facts.video, profile, gpu) for r in renditions if facts.video is not None)
    return tuple(rated(film, one) for one in planned)


def plan_transcode(film: Film, *, speech: bool = False, gpu: Gpu | None = None) -> Planned[TranscodeRecipe] | LeftOut | Failure:
    """The one decode, with the sound for a transcription besides where `speech` is wanted. Left out where it makes nothing."""
    profile, facts = film.profile, film.facts
    ladder = plan_renditions(film, gpu)
    if isinstance(ladder, Failure):
        return ladder
    planned = () if profile.tool is Tool.HANDBRAKE else ladder
    heard = tracks(film)
    recipe = TranscodeRecipe(
        source=facts,
        parts=film.parts,
        cut=film.cut,
        picture=film.picture,
        renditions=planned,
        hls=profile.hls if planned else None,
        master_playlist="hls/master.m3u8" if profile.hls and planned else None,
        tracks=heard,
        audio=audio_file(film),
        more_audio=more_audio_files(film, heard),
        speech=SPEECH_PATH if speech and facts.audio else None,
        metrics=metrics_of(film, planned),
        group_seconds=_group_seconds(profile),
        allows_damage=film.beside.allows_damage,
    )
    if gpu is not None and gpu.decodes:
        recipe = recipe.model_copy(update={"decoder": decoder_of(recipe)})
    recipe = with_subtitles(film, with_stills(film, ladder, recipe))
    if not (recipe.renditions or recipe.audio or recipe.speech or has_stills(recipe) or recipe.subtitles):
        return LeftOut("the source has no audio" if facts.video is not None else "the source has no picture")
    steps = steps_of(TaskKind.TRANSCODE, profile, _reasons(film, recipe))
    needs = (*_needs(recipe), *needs_of(recipe.metrics.metrics if recipe.metrics else ()))
    return Planned(recipe, needs, _cost(facts, planned), steps)


def plan_handbrake(film: Film) -> Planned[HandbrakeRecipe] | Failure:
    """The MP4s alone, each decoded for itself."""
    profile, facts = film.profile, film.facts
    ladder = plan_renditions(film)
    if isinstance(ladder, Failure):
        return ladder
    steps = steps_of(TaskKind.HANDBRAKE, profile, _reasons_of_ladder(film, ladder))
    recipe = HandbrakeRecipe(source=facts, renditions=ladder, group_seconds=_group_seconds(profile))
    return Planned(recipe, (), _cost(facts, ladder), steps)


def _group_seconds(profile: Profile) -> int | None:
    """Renditions that are packaged later have keyframes where the segments are cut."""
    return profile.packaging.segment_seconds if profile.packaging else None


def allows(rendition: Rendition, video: VideoStream) -> bool:
    """Never upscaled; the source's size is asked for by its long and its short side, so portrait films count too."""
    long, short = max(video.width, video.height), min(video.width, video.height)
    needed_long = max(rendition.min_source_width, rendition.min_source_height)
    needed_short = min(rendition.min_source_width, rendition.min_source_height)
    is_tall_enough = video.height >= rendition.height or rendition.keeps_smaller
    return long >= needed_long and short >= needed_short and is_tall_enough


def _too_small(profile: Profile, video: VideoStream | None) -> Failure:
    if video is None:
        message = f"profile {profile.name} makes video, and the input has none"
        return Failure(failure_class=FailureClass.INPUT, code=ErrorCode.INPUT_NO_VIDEO, message=message)
    smallest = min(profile.renditions, key=lambda r: r.height)
    width, height = smallest.min_source_width, max(smallest.min_source_height, smallest.height)
    size = f"{width}x{height}" if width > 1 else f"{height} lines"
    message = f"the picture is {video.width}x{video.height}; profile {profile.name} needs at least {size}"
    return Failure(failure_class=FailureClass.INPUT, code=ErrorCode.INPUT_TOO_SMALL, message=message)


def _planned_rendition(rendition: Rendition, video: VideoStream, profile: Profile, gpu: Gpu | None) -> PlannedRendition:
    """As `scale=-2:H` does: the width that keeps the shape, rounded to even, a half upwards."""
    height = min(rendition.height, video.height) if rendition.keeps_smaller else rendition.height
    height -= height % 2
    width = max(2, 2 * ((video.width * height + video.height) // (2 * video.height)))
    name = rendition.name
    playlist = segments = None
    if profile.hls is not None:
        ending = "ts" if profile.hls.format is SegmentFormat.TS else "m4s"
        playlist, segments = f"{name}/segments/playlist.m3u8", f"{name}/segments/segment_%03d.{ending}"
    return PlannedRendition(
        rendition=rendition,
        encoder=encoder_of(rendition, gpu),
        width=width,
        height=height,
        path=f"{name}/video_{name}.mp4",
        playlist=playlist,
        segments=segments,
        frame_rate=_frame_rate(rendition, video),
        keeps_hdr=rendition.hdr is Hdr.KEEP and video.is_hdr and not (profile.watermark or profile.burn_in),
    )


def _frame_rate(rendition: Rendition, video: VideoStream) -> str | None:
    """None where it is that of the timeline."""
    rate = Fraction(video.frame_rate)
    capped = capped_rate(rate, rendition.max_fps)
    return None if capped == capped_rate(rate) else str(capped)


def _needs(recipe: TranscodeRecipe) -> tuple[str, ...]:
    needed = {r.encoder for r in recipe.renditions} | encoders(recipe) | ({"mjpeg"} if has_stills(recipe) else set())
    decoders = {f"decoder:{recipe.decoder}"} if recipe.decoder else set()
    return tuple(sorted({f"encoder:{name}" for name in needed} | decoders | filters_of(recipe)))


def _cost(source: MediaFacts, renditions: Iterable[PlannedRendition]) -> float:
    duration = float(Fraction(source.duration))
    rate = float(Fraction(source.video.frame_rate)) if source.video else 0.0
    pixels = sum(r.width * r.height * _dearness(r) * _share_of_frames(r, rate) for r in renditions)
    return 1.0 + duration * rate * pixels / PIXELS_PER_SECOND + duration * 0.005


def _dearness(planned: PlannedRendition) -> float:
    """Against x264 `medium`: by codec and preset on processors, an average kept by two passes half as much again."""
    if planned.encoder in HARDWARE_ENCODERS:
        return ON_GPU
    twice = TWO_PASSES if planned.spends.bitrate is not None else 1.0
    return CODEC_COSTS[planned.rendition.codec] * PRESET_COSTS[planned.preset] * twice


def _share_of_frames(planned: PlannedRendition, rate: float) -> float:
    return float(Fraction(planned.frame_rate)) / rate if planned.frame_rate and rate else 1.0


def _reasons(film: Film, recipe: TranscodeRecipe) -> dict[str, str]:
    reasons = _reasons_of_ladder(film, recipe.renditions)
    if recipe.audio is None:
        reasons[step_names.EXTRACT_AUDIO_MP3] = "the source has no audio"
    if not recipe.thumbnails:
        reasons[step_names.GENERATE_THUMBNAILS] = "the source has no picture"
    if recipe.sprite is None:
        reasons[step_names.GENERATE_SPRITE] = "the source has no picture"
    if not (recipe.subtitles or recipe.chapters):
        reasons[step_names.EXTRACT_SUBTITLES] = WHY_NONE
    return reasons


def _reasons_of_ladder(film: Film, renditions: Iterable[PlannedRendition]) -> dict[str, str]:
    made = {r.rendition.name for r in renditions}
    reasons: dict[str, str] = {}
    for rendition in film.profile.renditions:
        if rendition.name not in made:
            reason = film.spared.get(rendition.name) or _reason(rendition)
            reasons[step_names.transcode_step(rendition.name)] = reasons[step_names.hls_step(rendition.name)] = reason
    return reasons


def _reason(rendition: Rendition) -> str:
    """Why a source goes without it."""
    if rendition.min_source_width > 1 or rendition.min_source_height > 1:
        return f"the source is smaller than {rendition.min_source_width}x{rendition.min_source_height}"
    return f"the source has less than {rendition.height} lines"
