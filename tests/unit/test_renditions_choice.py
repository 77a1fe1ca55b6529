"""Which encoder a rendition gets, where its film is decoded, and how fast and in what range it is shown."""

from __future__ import annotations

import pytest

from dispatch.core.encoders import Gpu, decoder_of, encoder_of, gpus
from dispatch.core.followers import plan_job
from dispatch.core.ladder import plan_transcode
from dispatch.core.plans import Film, Planned
from protocol.encoding import Hdr, Preset, VideoCodec
from protocol.media import Colour, MediaFacts, VideoStream
from protocol.pictures import Crop
from protocol.profiles import Profile, Rendition
from protocol.recipes import PicturePlan, Recipe, TranscodeRecipe
from protocol.results import Failure
from protocol.states import TaskKind

HEVC, H264, AV1 = VideoCodec.HEVC, VideoCodec.H264, VideoCodec.AV1


def facts(**video: object) -> MediaFacts:
    size = {"width": 1920, "height": 1080, "coded_width": 1920, "coded_height": 1080}
    words = {"index": 0, "codec": "h264", **size, "frame_rate": "50", "pixel_format": "yuv420p", "duration": "20", **video}
    stream = VideoStream.model_validate(words)
    return MediaFacts(container="mp4", duration="20", size_bytes=1, bitrate=1, video=stream, streams=1)


def rendition(height: int, *encoders: str, codec: VideoCodec = H264, **more: object) -> Rendition:
    words = {"name": f"{codec}-{height}", "height": height, "codec": codec, "encoders": encoders, "crf": 25, **more}
    return Rendition.model_validate(words)


MIXED = Profile(
    name="mixed",
    renditions=(
        rendition(1080, "av1_nvenc", "av1_qsv", "libsvtav1", codec=AV1),
        rendition(720, "hevc_nvenc", "hevc_vaapi", "libx265", codec=HEVC),
        rendition(360, "h264_qsv", "h264_nvenc", "libx264"),
    ),
)


def transcode(profile: Profile, source: MediaFacts, *provided: str) -> TranscodeRecipe:
    """What is planned where one engine has those of the hardware capabilities, and every software encoder."""
    plain = {"encoder:libx264", "encoder:libx265", "encoder:libsvtav1", "encoder:libvpx-vp9"}

    def finds(plan: Planned[Recipe]) -> bool:
        return {*plan.needs} <= {*plain, *provided}

    plans = plan_job(profile, source, finds)
    assert not isinstance(plans, Failure)
    plan = plans[TaskKind.TRANSCODE]
    assert isinstance(plan, Planned)
    assert isinstance(plan.recipe, TranscodeRecipe)
    return plan.recipe


def chosen(*provided: str) -> list[str]:
    return [planned.encoder for planned in transcode(MIXED, facts(), *provided).renditions]


def test_each_rendition_gets_the_first_of_its_wishes_that_one_gpu_fulfils() -> None:
    nvenc = ("encoder:av1_nvenc", "encoder:hevc_nvenc", "encoder:h264_nvenc")

    assert chosen() == ["libsvtav1", "libx265", "libx264"]
    assert chosen(*nvenc) == ["av1_nvenc", "hevc_nvenc", "h264_nvenc"]
    assert chosen(*nvenc[1:]) == ["libsvtav1", "hevc_nvenc", "h264_nvenc"]
    assert chosen("encoder:hevc_vaapi") == ["libsvtav1", "hevc_vaapi", "libx264"]
    assert chosen("encoder:av1_qsv", "encoder:h264_qsv", "encoder:hevc_vaapi") == ["av1_qsv", "libx265", "h264_qsv"]


def test_what_is_asked_first_is_the_first_family_whole_with_its_decoder() -> None:
    asked = list(gpus(MIXED))

    assert asked[0] == Gpu(frozenset({"av1_nvenc", "hevc_nvenc", "h264_nvenc"}), decodes=True)
    assert asked[1] == Gpu(asked[0].encoders)
    assert len(asked) == 2 * (7 + 3 + 1)
    assert asked[-1] == Gpu(frozenset({"hevc_vaapi"}))


def test_h264_of_10_bits_is_made_on_processors() -> None:
    assert encoder_of(rendition(720, "h264_nvenc", "libx264", bit_depth=10), Gpu(frozenset({"h264_nvenc"}))) == "libx264"


ALL_NVENC = ("encoder:av1_nvenc", "encoder:hevc_nvenc", "encoder:h264_nvenc")


@pytest.mark.parametrize(
    ("source", "decoder"),
    [
        (facts(), "h264_cuda"),
        (facts(codec="hevc", pixel_format="yuv420p10le", bit_depth=10), "hevc_cuda"),
        (facts(codec="vp9"), None),
        (facts(pixel_format="yuv422p"), None),
        (facts(rotation=90), None),
        (facts(is_interlaced=True), None),
        (facts(colour=Colour(range="pc")), None),
        (facts(codec="hevc", is_hdr=True, pixel_format="yuv420p10le"), None),
    ],
)
def test_pictures_stay_on_the_device_where_no_processor_must_touch_them(source: MediaFacts, decoder: str | None) -> None:
    proven = ("decoder:h264_cuda", "decoder:hevc_cuda")

    assert transcode(MIXED, source, *ALL_NVENC, *proven).decoder == decoder
    assert transcode(MIXED, source, *ALL_NVENC).decoder is None


def test_a_ladder_of_two_kinds_or_a_picture_that_is_changed_is_decoded_on_processors() -> None:
    recipe = transcode(MIXED, facts(), *ALL_NVENC, "decoder:h264_cuda")
    mixed = [recipe.renditions[0], recipe.renditions[1].model_copy(update={"encoder": "libx265"})]

    assert decoder_of(recipe) == "h264_cuda"
    assert decoder_of(recipe.model_copy(update={"picture": PicturePlan(crop=Crop(left=2))})) is None
    assert decoder_of(recipe.model_copy(update={"picture": PicturePlan(rotate=90)})) is None
    assert decoder_of(recipe.model_copy(update={"picture": PicturePlan(deinterlace=True)})) is None
    assert decoder_of(recipe.model_copy(update={"renditions": tuple(mixed)})) is None
    assert transcode(MIXED, facts(), *ALL_NVENC[1:], "decoder:h264_cuda").decoder is None


@pytest.mark.parametrize(
    ("source_rate", "most", "planned"),
    [
        ("50", 60, None),
        ("50", 30, "25"),
        ("60000/1001", 24, "15000/1001"),
        ("100", 60, None),
        ("100", 120, "100"),
        ("24", 24, None),
    ],
)
def test_a_fast_source_is_halved_until_it_fits(source_rate: str, most: int, planned: str | None) -> None:
    made = plan_transcode(Film(Profile(name="p", renditions=(rendition(720, max_fps=most),)), facts(frame_rate=source_rate)))

    assert isinstance(made, Planned)
    assert made.recipe.renditions[0].frame_rate == planned


def test_the_range_is_kept_where_source_and_rendition_have_it() -> None:
    hdr = rendition(720, codec=HEVC, bit_depth=10, hdr=Hdr.KEEP)
    profile = Profile(name="p", renditions=(hdr, rendition(360)))
    kept = [transcode(profile, facts(is_hdr=is_hdr)).renditions for is_hdr in (True, False)]

    assert [[planned.keeps_hdr for planned in ladder] for ladder in kept] == [[True, False], [False, False]]


def test_dearer_codecs_presets_and_passes_cost_more() -> None:
    def cost(**words: object) -> float:
        codec = words.pop("codec", H264)
        assert isinstance(codec, VideoCodec)
        made = plan_transcode(Film(Profile(name="p", renditions=(rendition(720, codec=codec, **words),)), facts()))
        assert isinstance(made, Planned)
        return made.cost_s

    plain = cost()
    assert cost(codec=HEVC) > cost(codec=AV1) > plain > cost(preset=Preset.FAST) > cost(max_fps=30)
    assert cost(crf=None, bitrate=1_000_000) > plain
