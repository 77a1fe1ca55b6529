"""How FFmpeg and ffprobe are called: what an input of a client may use, and how a file of our own is read back."""

from __future__ import annotations

from protocol.recipes import InputLimits

FORMATS = ("mov", "matroska", "webm", "avi", "flv", "asf", "mpegts", "mpeg", "mxf", "ogg", "wav", "mp3", "aac", "flac")
"""Demuxers an input may use. None of them opens another file when the only protocol is `fd`."""

DECODERS = (
    *("h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp8", "vp9", "libvpx", "libvpx-vp9", "mpeg4", "mpeg2video", "mpegvideo"),
    *("mpeg1video", "h263", "flv", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2", "wmv3", "vc1", "theora", "vp6", "vp6f"),
    *("mjpeg", "prores", "dnxhd", "dvvideo", "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "png", "cfhd", "svq3"),
    *("aac", "aac_latm", "mp3", "mp3float", "mp2", "mp2float", "mp1", "mp1float", "ac3", "eac3", "dca", "truehd", "flac", "alac"),
    *("opus", "libopus", "vorbis", "libvorbis", "wmav1", "wmav2", "wmapro", "wmalossless", "amrnb", "amrwb", "nellymoser"),
    *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_u8", "pcm_f32le", "pcm_f32be"),
    *("pcm_f64le", "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_swf"),
)
"""Decoders an input may use; what is left out is rare, and each one is surface for hostile files."""

SUBTITLES = ("ass", "ssa", "subrip", "srt", "mov_text", "webvtt", "text", "dvdsub", "dvbsub", "pgssub", "cc_dec")
"""Decoders that are opened, and given nothing: ffprobe refuses the whole file where it may not open one of a stream."""

MAX_PIXELS, MAX_STREAMS, MAX_ALLOC = 8192 * 4352, 64, 256 << 20

PROBED_ENTRIES = "format:stream:stream_side_data_list:stream_tags:stream_disposition:format_tags"


def untrusted(limits: InputLimits | None = None, also: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What stands before every input that a client made; `also` are decoders of a GPU that it may use besides."""
    pixels = MAX_PIXELS if limits is None else limits.max_width * limits.max_height
    streams = MAX_STREAMS if limits is None else limits.max_streams
    return (
        *(
            "-protocol_whitelist",
            "fd",
            "-format_whitelist",
            ",".join(FORMATS),
            "-codec_whitelist",
            ",".join((*DECODERS, *SUBTITLES, *also)),
        ),
        *("-max_pixels", str(pixels), "-max_streams", str(streams)),
    )


def quiet(max_alloc: int = MAX_ALLOC) -> tuple[str, ...]:
    """What every FFmpeg process begins with: no questions, errors alone, and a cap in bytes on a single allocation."""
    return ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+error", "-max_alloc", str(max_alloc))


def own_file(path: str, *options: str) -> tuple[str, ...]:
    """An input that a tool of ours made, by its path below the work directory; damage is an error."""
    return ("-protocol_whitelist", "file", "-err_detect", "explode", *options, "-i", f"file:{path}")


def facts(ffprobe: str, path: str) -> tuple[str, ...]:
    """ffprobe's view of a file of our own as JSON, with the codecs' own headers."""
    options = ("-show_data", "-show_entries", PROBED_ENTRIES, "-of", "json=compact=1")
    return (ffprobe, "-hide_banner", "-loglevel", "level+error", *options, *own_file(path))


def text(ffmpeg: str, path: str) -> tuple[str, ...]:
    """A text file as it is: the `data` demuxer and muxer copy bytes, so no other tool is needed to read it."""
    return (ffmpeg, *quiet(), *own_file(path, "-f", "data"), "-map", "0", "-c", "copy", "-f", "data", "pipe:1")
