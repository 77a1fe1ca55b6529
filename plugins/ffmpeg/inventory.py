"""What this machine can do, proven: each encoder listed has encoded 10 frames here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from plugins.ffmpeg import picture_trials
from plugins.ffmpeg.device_chain import decoding, scaled
from plugins.ffmpeg.encoders import ENCODERS, HARDWARE_ROWS, PICTURE_TRIAL, EncoderRow, device_arguments, environment
from plugins.ffmpeg.encoders.rows import GPU_TRIAL
from protocol.encoding import DEVICE_DECODERS, is_nvenc
from protocol.plugins import Invocation, Limits, Outcome

TRIAL_LIMITS = Limits(wall_s=30.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=1 << 20)

TRANSCODE_NEEDS = frozenset({"libx264", "aac", "libmp3lame", "mjpeg"})
"""The encoders without which an engine takes no transcode task."""

FILTERS = frozenset({"scale", "fps", "split", "select", "setsar", "format", "bwdif", "aresample", "asplit", "trim", "atrim"})
"""The filters every graph of ours is made of."""

_FILTER = re.compile(r"^ [TSC.]{2,3} (\w+) ", re.MULTILINE)


_QUIET = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+error")

STREAMING_TRIALS = ("trial:write_hls", "trial:read_hls")
"""Segments are written and read back: some builds (a static 7.0.2) crash on every playlist they read."""


def probes(ffmpeg: str, ffprobe: str, directory: str) -> tuple[Invocation, ...]:
    """Lists what the build has, tries each encoder and what pictures may need besides, and writes a few frames as HLS below
    `directory` and reads them."""
    listings = (
        ("version", (ffprobe, "-version")),
        ("build", (ffmpeg, "-version")),
        ("filters", (ffmpeg, "-hide_banner", "-filters")),
    )
    listed = [Invocation(name=f"inventory:{name}", argv=argv, limits=TRIAL_LIMITS) for name, argv in listings]
    encoders = (_trial(ffmpeg, row) for row in ENCODERS)
    return (*listed, *encoders, *picture_trials.trials(ffmpeg), *_streaming(ffmpeg, directory))


def _trial(ffmpeg: str, row: EncoderRow, device: tuple[str, ...] = ()) -> Invocation:
    head = (ffmpeg, *_QUIET, *device)
    argv = (*head, *row.trial, "-f", "null", "-")
    return Invocation(name=f"trial:{row.name}", argv=argv, limits=TRIAL_LIMITS, env=environment((row.name,)))


def _nvidia_environment(device: str) -> tuple[tuple[str, str], ...]:
    return (("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), ("CUDA_VISIBLE_DEVICES", device if device.isdecimal() else ""))


def hardware_trials(ffmpeg: str, devices: Sequence[str]) -> tuple[Invocation, ...]:
    """Tries each hardware encoder on each GPU that it may know: numbers are NVIDIA's, names are render nodes."""
    return tuple(
        replace(
            _trial(ffmpeg, row, device_arguments((row.name,), device)),
            name=f"trial:{row.name}@{device}",
            env=_nvidia_environment(device),
        )
        for device in devices
        for row in HARDWARE_ROWS
        if is_nvenc(row.name) == device.isdecimal()
    )


DECODE_TRIALS = {"h264": ("libx264", "-preset", "ultrafast"), "hevc": ("libx265", "-preset", "ultrafast")}
"""What makes the file of a trial, by the codec that a GPU is tried with; x265 says on stderr who it is, whatever one does."""


def decoding_trials(ffmpeg: str, device: str) -> tuple[Invocation, ...]:
    """Makes a short film of each codec, and has the GPU decode and scale it by each way it may know. Where FFmpeg would go on
    with processors, their frames do not fit the GPU's scaler, and the trial fails.
    """
    families = [family for family in DEVICE_DECODERS if (family == "nvenc") == device.isdecimal()]
    head, env = (ffmpeg, "-y", *_QUIET), _nvidia_environment(device)
    made: list[Invocation] = []
    for codec, encoder in DECODE_TRIALS.items():
        path = f"file:trial-{codec}.mp4"
        made.append(_decoding(f"make_{codec}@{device}", (*head, *GPU_TRIAL, "-pix_fmt", "yuv420p", "-c:v", *encoder, path), env))
        for family in families:
            decoder = f"{codec}_{DEVICE_DECODERS[family]}"
            chain = f"{scaled(decoder, 128, 72)},hwdownload,format=nv12"
            chosen = (*device_arguments((f"h264_{family}",), device), *decoding(decoder))
            argv = (*head, *chosen, "-i", path, "-vf", chain, "-f", "null", "-")
            made.append(_decoding(f"decode_{decoder}@{device}", argv, env))
    return tuple(made)


def _decoding(name: str, argv: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> Invocation:
    return Invocation(name=f"trial:{name}", argv=argv, limits=TRIAL_LIMITS, env=env)


def device_decoders(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Those that decoded in `decoding_trials`."""
    done = {name.partition("@")[0] for name in _succeeded(outcomes)}
    known = (f"{codec}_{place}" for codec in DECODE_TRIALS for place in DEVICE_DECODERS.values())
    return tuple(name for name in known if f"trial:decode_{name}" in done)


def hardware_encoders(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Those that encoded in `hardware_trials`."""
    done = {name.partition("@")[0] for name in _succeeded(outcomes)}
    return tuple(row.name for row in HARDWARE_ROWS if f"trial:{row.name}" in done)


def _streaming(ffmpeg: str, directory: str) -> tuple[Invocation, ...]:
    head = (ffmpeg, "-y", *_QUIET)
    playlist = f"file:{directory}/trial.m3u8"
    encode = (*PICTURE_TRIAL, "-frames:v", "10", "-c:v", "libx264", "-f", "hls", playlist)
    argvs = ((*head, *encode), (*head, "-i", playlist, "-f", "null", "-"))
    named = zip(STREAMING_TRIALS, argvs, strict=True)
    return tuple(Invocation(name=name, argv=argv, limits=TRIAL_LIMITS) for name, argv in named)


def _succeeded(outcomes: Iterable[Outcome]) -> dict[str, Outcome]:
    return {outcome.invocation.name: outcome for outcome in outcomes if outcome.exit_code == 0 and not outcome.timed_out}


def proven_encoders(outcomes: Sequence[Outcome]) -> tuple[EncoderRow, ...]:
    done = _succeeded(outcomes)
    return tuple(row for row in ENCODERS if f"trial:{row.name}" in done)


def operations(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """The task kinds this machine can do: to analyze needs the tools, to transcode all they are used for."""
    done = _succeeded(outcomes)
    if "inventory:version" not in done or "inventory:filters" not in done:
        return ()
    filters = set(_FILTER.findall(done["inventory:filters"].stdout.decode("utf-8", "replace")))
    encoders = {row.name for row in proven_encoders(outcomes)}
    is_whole = filters >= FILTERS and encoders >= TRANSCODE_NEEDS and done.keys() >= set(STREAMING_TRIALS)
    return ("analyze", "transcode") if is_whole else ("analyze",)


def capabilities(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    encoders = [f"encoder:{row.name}" for row in proven_encoders(outcomes)]
    filters = [f"filter:{name}" for name in picture_trials.proven(outcomes)]
    return tuple(sorted([*encoders, *filters, *(f"operation:{operation}" for operation in operations(outcomes))]))


def build(outcomes: Sequence[Outcome]) -> str:
    """A digest of what FFmpeg says of itself: its version, compiler, configuration and libraries."""
    told = _succeeded(outcomes).get("inventory:build")
    return hashlib.sha256(told.stdout).hexdigest()[:16] if told is not None else ""


def supported_codecs(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return tuple(sorted({row.codec for row in proven_encoders(outcomes)}))


def missing(outcomes: Sequence[Outcome]) -> str | None:
    """What keeps this machine from transcoding, for people; None when nothing does."""
    if "transcode" in operations(outcomes):
        return None
    lacking = sorted(TRANSCODE_NEEDS - {row.name for row in proven_encoders(outcomes)})
    if lacking:
        return f"FFmpeg cannot encode with: {', '.join(lacking)}"
    if not _succeeded(outcomes).keys() >= set(STREAMING_TRIALS):
        return "FFmpeg cannot write HLS and read it back; use another build"
    return "FFmpeg lacks filters that every transcode needs"
