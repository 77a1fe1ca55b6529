"""An encode whose GPU does not decode after all, and what a GPU is tried with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.shell.survey import with_devices
from plugins.ffmpeg import encoding, inventory
from plugins.media.progress import Progress
from protocol.capabilities import Capabilities
from protocol.media import MediaFacts, VideoStream
from protocol.plugins import Limit, Outcome, Work
from protocol.profiles import Rendition
from protocol.recipes import PlannedRendition, TranscodeRecipe

FFMPEG = "/usr/bin/ffmpeg"
VIDEO = VideoStream(
    index=0, codec="h264", width=1280, height=720, coded_width=1280, coded_height=720, frame_rate="25", duration="9"
)
SOURCE = MediaFacts(container="mp4", duration="9", size_bytes=1, bitrate=1, video=VIDEO, streams=1)
RENDITION = Rendition(name="720p", height=720, crf=23, encoders=("h264_nvenc", "libx264"))
PLANNED = PlannedRendition(rendition=RENDITION, encoder="h264_nvenc", width=1280, height=720, path="720p/video_720p.mp4")
RECIPE = TranscodeRecipe(source=SOURCE, renditions=(PLANNED,), decoder="h264_cuda")
WORK = Work(RECIPE, ("transcode_720p",), "/work", threads=2, input_path="/input", device="0")


def ended(code: int, stderr: str = "", recipe: TranscodeRecipe = RECIPE) -> Outcome:
    [invocation] = encoding.invocations(FFMPEG, WORK, recipe, "/input")
    return Outcome(invocation, code, b"", stderr, wall_seconds=2.0, cpu_seconds=1.0)


def following(*outcomes: Outcome) -> list[str]:
    return [one.name for one in encoding.follow(FFMPEG, WORK, RECIPE, "/input", outcomes)]


NO_CUDA = "[h264 @ 0x55] [error] CUDA_ERROR_NOT_SUPPORTED: operation not supported"
NO_SESSIONS = "[h264_nvenc @ 0x55] [error] OpenEncodeSessionEx failed: out of memory (10): (no details)"


def test_a_film_that_the_gpu_does_not_decode_is_decoded_on_processors_by_the_same_encoder() -> None:
    failed = ended(187, "[error] Error while decoding: Invalid data found")

    [again] = encoding.follow(FFMPEG, WORK, RECIPE, "/input", [failed])

    assert encoding.gave_up(RECIPE, failed)
    assert [again] == list(encoding.follow(FFMPEG, WORK, RECIPE, "/input", [failed]))  # as after a crash
    assert again.name == "encode_again"
    assert ("-hwaccel" in failed.invocation.argv, "-hwaccel" in again.argv) == (True, False)
    assert again.argv[again.argv.index("-c:v") + 1] == "h264_nvenc"
    assert following(failed, Outcome(again, 0, b"", "", wall_seconds=3.0, cpu_seconds=1.0)) == []


@pytest.mark.parametrize(
    ("outcome", "is_repeated"),
    [
        (ended(255, NO_CUDA), True),
        (ended(1, "[error] Cannot allocate memory"), True),
        (ended(0), False),
        (ended(255), False),
        (ended(-9), False),
        (ended(187, NO_SESSIONS), False),
        (ended(1, "[error] No space left on device"), False),
        (replace(ended(1), limit=Limit.MEMORY), False),
        (replace(ended(1), timed_out=True), False),
    ],
)
def test_only_what_may_be_the_decoders_fault_is_done_again(outcome: Outcome, is_repeated: bool) -> None:
    assert encoding.gave_up(RECIPE, outcome) is is_repeated
    assert following(outcome) == (["encode_again"] if is_repeated else [])


def test_an_encode_decoded_on_processors_is_not_repeated() -> None:
    plain = RECIPE.model_copy(update={"decoder": None})

    assert not encoding.gave_up(plain, ended(255, NO_CUDA, plain))
    assert not encoding.follow(FFMPEG, WORK, plain, "/input", [ended(255, NO_CUDA, plain)])


def test_progress_goes_on_where_the_gpu_gave_up_and_the_time_of_both_counts() -> None:
    failed = ended(1, "[error] Conversion failed")
    again = replace(ended(0), invocation=replace(failed.invocation, name="encode_again"), wall_seconds=5.0)

    assert encoding.begun({"encode": Progress(fraction=0.4)}, "encode_again").fraction == 0.4
    assert encoding.begun({}, "encode").fraction == 0.0
    whole = encoding.whole({"encode": failed, "encode_again": again})
    assert (whole.exit_code, whole.wall_seconds) == (0, 7.0)


def test_a_gpu_is_told_of_with_what_it_encoded_and_decoded() -> None:
    trials = inventory.decoding_trials(FFMPEG, "0")
    outcomes = [Outcome(one, int("hevc_cuda" in one.name), b"", "", wall_seconds=0.1, cpu_seconds=0.1) for one in trials]
    decoders = {"0": inventory.device_decoders(outcomes), "1": ()}

    told = with_devices(Capabilities(), [{"0": ("h264_nvenc",), "1": ()}], decoders=[decoders])

    names = ["make_h264", "decode_h264_cuda", "make_hevc", "decode_hevc_cuda"]
    assert [one.name for one in trials] == [f"trial:{name}@0" for name in names]
    assert {dict(one.env)["CUDA_VISIBLE_DEVICES"] for one in trials} == {"0"}
    assert told.provided == {"encoder:h264_nvenc", "decoder:h264_cuda"}
    assert [(device.index, device.decoders) for device in told.devices] == [("0", ("h264_cuda",))]


def test_an_encoder_is_not_proven_by_a_decoder_of_its_name() -> None:
    trials = inventory.decoding_trials(FFMPEG, "renderD128")
    outcomes = [Outcome(one, 0, b"", "", wall_seconds=0.1, cpu_seconds=0.1) for one in trials]

    assert inventory.device_decoders(outcomes) == ("h264_qsv", "h264_vaapi", "hevc_qsv", "hevc_vaapi")
    assert inventory.hardware_encoders(outcomes) == ()


def test_a_render_node_is_tried_with_both_ways_to_it() -> None:
    trials = {one.name: one.argv for one in inventory.decoding_trials(FFMPEG, "renderD128")}

    assert [name for name in trials if "make" not in name] == [
        f"trial:decode_{codec}_{place}@renderD128" for codec in ("h264", "hevc") for place in ("qsv", "vaapi")
    ]
    assert "/dev/dri/renderD128" in trials["trial:decode_hevc_vaapi@renderD128"]
    assert ("h264_qsv" in trials["trial:decode_h264_qsv@renderD128"], "-hwaccel" in trials["trial:make_h264@renderD128"]) == (
        True,
        False,
    )
