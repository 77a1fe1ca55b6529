"""Renditions: their files and segments, what they save of the source, and how they score against it."""

from __future__ import annotations

from collections.abc import Mapping

from dispatch.core.told.made import Fields, Made, Output, for_api, kept_back, megabytes, place, url_of
from protocol import steps as step_names
from protocol.results import FileRole, OutputFacts


def in_file(made: Made) -> Fields:
    """As `metadata.json` has them, by their names."""
    told: Fields = {}
    for output in made.of(FileRole.RENDITION):
        playlist = _playlist(made, output)
        segments = {} if playlist is None else {"segments": _segments(playlist)}
        told[name_of(output)] = {**_video(made, output), **segments}
    return told


def in_api(made: Made) -> Fields:
    """The same figures in the shape of the API."""
    told: Fields = {}
    manifest = made.first(FileRole.MANIFEST)
    for output in made.of(FileRole.RENDITION):
        playlist = _playlist(made, output)
        streaming = {} if playlist is None else _streaming(made, playlist)
        if manifest is not None:
            streaming["dash_url"] = url_of(made.job, manifest.row.path)
        video = {"video": for_api(made.job, _video(made, output))}
        told[name_of(output)] = {**video, "streaming": streaming} if streaming else video
    return told


def name_of(output: Output) -> str:
    return output.facts.rendition or output.row.path


def resolution_of(facts: OutputFacts) -> str:
    return f"{facts.width}x{facts.height}"


def ratios(made: Made) -> Mapping[str, float]:
    """Source bytes over rendition bytes; what all renditions together save of the source, in percent."""
    renditions, source = made.of(FileRole.RENDITION), made.job.source.size
    told = {name_of(one): round(source / one.row.size, 4) for one in renditions if one.row.size}
    if renditions and source:
        told["total_saved_percent"] = round(100 * (1 - sum(one.row.size for one in renditions) / source), 2)
    return told


def scores(made: Made) -> Mapping[str, Mapping[str, float]]:
    """PSNR, SSIM and VMAF of each rendition that was measured; those that were not asked for are left out."""
    told = {name_of(one): scores_of(one.facts) for one in made.of(FileRole.RENDITION)}
    return {name: found for name, found in told.items() if found}


def scores_of(facts: OutputFacts) -> Mapping[str, float]:
    found = {"psnr": facts.psnr, "ssim": facts.ssim, "vmaf": facts.vmaf}
    return {name: value for name, value in found.items() if value is not None}


def _video(made: Made, output: Output) -> Fields:
    is_kept = output.facts.role in kept_back(made.profile)
    return {
        **({"size_bytes": output.row.size} if is_kept else place(output)),
        "resolution": resolution_of(output.facts),
        "bitrate": output.facts.bitrate,
        "codec": output.facts.codec,
        "processing_time_seconds": made.took.get(step_names.transcode_step(name_of(output))),
    }


def _playlist(made: Made, rendition: Output) -> Output | None:
    """That of its picture: sound tracks and subtitles have playlists of their own."""
    name = rendition.facts.rendition
    found = (one for one in made.of(FileRole.PLAYLIST) if one.facts.rendition == name and one.facts.track is None)
    return None if name is None else next(found, None)


def _segments(playlist: Output) -> Fields:
    return {
        "count": playlist.facts.segment_count,
        "duration_seconds": playlist.facts.segment_seconds,
        "total_size_bytes": playlist.facts.segments_bytes or 0,
        "playlist_path": playlist.row.path,
    }


def _streaming(made: Made, playlist: Output) -> Fields:
    told = _segments(playlist)
    return {
        "hls_url": url_of(made.job, told["playlist_path"]),
        "segment_count": told["count"],
        "segment_duration": told["duration_seconds"],
        "total_segments_size_bytes": told["total_size_bytes"],
        "total_segments_size_mb": megabytes(told["total_size_bytes"]),
    }
