"""Which encoder makes each rendition, and where the film is decoded for it: the profile's wishes, as one GPU can fulfil them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, takewhile

from protocol.encoding import (
    DECODED_ON_DEVICE,
    DEVICE_DECODERS,
    HARDWARE_ENCODERS,
    SOFTWARE_ENCODERS,
    VideoCodec,
    family_of,
)
from protocol.media import VideoStream
from protocol.profiles import Profile, Rendition
from protocol.recipes import PicturePlan, TranscodeRecipe

PLAIN_FORMATS = frozenset({"yuv420p", "yuv420p10le"})
FULL_RANGE = "pc"


@dataclass(frozen=True, slots=True)
class Gpu:
    """What is asked of one GPU: some encoders of a family; with `decodes` the film is decoded and scaled there, too."""

    encoders: frozenset[str]
    decodes: bool = False


def gpus(profile: Profile) -> Iterator[Gpu]:
    """What could be asked, the best first: the family wished for first, as many of its encoders as can be had, frames that
    stay on the device. A GPU may lack an encoder of the profile's codecs; that rendition is made on processors then.
    """
    wished = list(dict.fromkeys(encoder for rendition in profile.renditions for encoder in wishes(rendition)))
    for family in dict.fromkeys(family_of(encoder) for encoder in wished):
        known = [encoder for encoder in wished if family_of(encoder) == family]
        for count in range(len(known), 0, -1):
            for encoders in combinations(known, count):
                yield from (Gpu(frozenset(encoders), decodes) for decodes in (True, False))


def wishes(rendition: Rendition) -> tuple[str, ...]:
    """The hardware encoders it would rather have than a software one. None of them makes H.264 of 10 bits."""
    if rendition.codec is VideoCodec.H264 and rendition.bit_depth > 8:
        return ()
    return tuple(takewhile(HARDWARE_ENCODERS.__contains__, rendition.encoders))


def encoder_of(rendition: Rendition, gpu: Gpu | None) -> str:
    """Its first wish that `gpu` fulfils, else the first on processors; one that knows none of those gets its first wish."""
    wanted = rendition.encoders or (SOFTWARE_ENCODERS[rendition.codec],)
    fulfilled = [name for name in wishes(rendition) if gpu is not None and name in gpu.encoders]
    on_processors = [name for name in wanted if name not in HARDWARE_ENCODERS]
    return [*fulfilled, *on_processors, wanted[0]][0]


def decoder_of(recipe: TranscodeRecipe) -> str | None:
    """What decodes the film on the GPU of its encoders; None where a processor must touch the pictures, or may have to."""
    video, families = recipe.source.video, {family_of(planned.encoder) for planned in recipe.renditions}
    family = families.pop() if len(families) == 1 else None
    if video is None or family is None or video.codec not in DECODED_ON_DEVICE or recipe.parts or recipe.cut:
        return None
    shows = bool(recipe.thumbnails or recipe.sprite)  # which are never HDR
    is_mapped = not _is_bt709(video) and (shows or not all(planned.keeps_hdr for planned in recipe.renditions))
    if is_mapped or not _is_plain(video) or _needs_processor(recipe.picture, video):
        return None
    return f"{video.codec}_{DEVICE_DECODERS[family]}"


def filters_of(recipe: TranscodeRecipe) -> frozenset[str]:
    """What an engine must have proven besides encoders: that it changes colours, that it draws letters."""
    video, is_shown = recipe.source.video, bool(recipe.renditions or recipe.thumbnails or recipe.sprite)
    if video is None or not is_shown:
        return frozenset()
    keeps = recipe.renditions and all(planned.keeps_hdr for planned in recipe.renditions)
    is_kept = keeps and not (recipe.thumbnails or recipe.sprite)
    is_changed = bool(recipe.parts) or not (is_kept or _is_bt709(video))
    found = (("filter:zscale", is_changed), ("filter:ass", recipe.picture.burn_in is not None))
    return frozenset(name for name, is_needed in found if is_needed)


def _is_bt709(video: VideoStream) -> bool:
    """All else is converted, but what is kept as HDR; what tells nothing is left as it is."""
    told = {video.colour.primaries, video.colour.matrix}
    return not video.is_hdr and told <= {"", "bt709"}


def _is_plain(video: VideoStream) -> bool:
    """As GPUs decode and scale it without a change of anything but its size."""
    return video.pixel_format in PLAIN_FORMATS and video.colour.range != FULL_RANGE and not video.rotation


def _needs_processor(picture: PicturePlan, video: VideoStream) -> bool:
    deinterlaced = video.is_interlaced if picture.deinterlace is None else picture.deinterlace
    shaped = (picture.crop, picture.pad, picture.overlay, picture.burn_in)
    return bool(deinterlaced or picture.rotate or any(part is not None for part in shaped))
