"""What the trials of a start prove."""

from __future__ import annotations

from dataclasses import replace

from plugins.ffmpeg import inventory, picture_trials
from plugins.ffmpeg.inventory import hardware_encoders, hardware_trials
from protocol.plugins import Invocation, Outcome

FILTERS = b"".join(f" T.. {name}              V->V       What it does.\n".encode() for name in sorted(inventory.FILTERS))

BLACK, LETTERS = bytes(128 * 72), bytes(128 * 71) + b"\xff" * 128
STDOUTS = {"trial:zscale": BLACK, "trial:ass": LETTERS}


def outcomes(failed: str = "", filters: bytes = FILTERS) -> list[Outcome]:
    ended = []
    for probe in inventory.probes("ffmpeg", "ffprobe", "/scratch"):
        stdout = STDOUTS.get(probe.name, filters if probe.name == "inventory:filters" else b"")
        ended.append(Outcome(probe, int(probe.name == failed), stdout, "", wall_seconds=0.1, cpu_seconds=0.1))
    return ended


def test_what_encoded_is_listed() -> None:
    assert inventory.capabilities(outcomes()) == (
        "encoder:aac",
        "encoder:ac3",
        "encoder:libmp3lame",
        "encoder:libopus",
        "encoder:libsvtav1",
        "encoder:libvpx-vp9",
        "encoder:libx264",
        "encoder:libx265",
        "encoder:mjpeg",
        "filter:ass",
        "filter:zscale",
        "operation:analyze",
        "operation:transcode",
    )
    assert inventory.missing(outcomes()) is None


def test_a_filter_counts_by_what_it_drew() -> None:
    fontless = [replace(one, stdout=BLACK) if one.invocation.name == "trial:ass" else one for one in outcomes()]

    assert picture_trials.proven(outcomes()) == ("zscale", "ass")
    assert picture_trials.proven(fontless) == ("zscale",)
    assert picture_trials.proven(outcomes(failed="trial:zscale")) == ("ass",)


def test_an_encoder_that_fails_its_trial_takes_the_transcodes_with_it() -> None:
    proven = outcomes(failed="trial:libx264")

    assert inventory.operations(proven) == ("analyze",)
    assert inventory.supported_codecs(proven) == ("aac", "ac3", "av1", "hevc", "mjpeg", "mp3", "opus", "vp9")
    assert inventory.missing(proven) == "FFmpeg cannot encode with: libx264"


def test_a_build_without_a_filter_takes_no_transcodes() -> None:
    proven = outcomes(filters=FILTERS.replace(b" bwdif ", b" other "))

    assert inventory.operations(proven) == ("analyze",)
    assert inventory.missing(proven) == "FFmpeg lacks filters that every transcode needs"


def test_a_build_that_cannot_read_playlists_takes_no_transcodes() -> None:
    proven = outcomes(failed="trial:read_hls")

    assert inventory.operations(proven) == ("analyze",)
    assert inventory.missing(proven) == "FFmpeg cannot write HLS and read it back; use another build"


def test_without_working_tools_there_is_no_operation() -> None:
    broken = [Outcome(Invocation("inventory:version", ("ffprobe",)), -9, b"", "", wall_seconds=0.1, cpu_seconds=0.1)]

    assert inventory.operations(broken) == ()


def test_each_gpu_is_tried_with_the_encoders_it_may_know() -> None:
    trials = hardware_trials("ffmpeg", ["0", "1", "renderD128"])
    nvenc = ("h264_nvenc", "hevc_nvenc", "av1_nvenc")
    others = tuple(f"{codec}_{family}" for codec in ("h264", "hevc", "av1", "vp9") for family in ("qsv", "vaapi"))

    assert {(trial.name, dict(trial.env)["CUDA_VISIBLE_DEVICES"]) for trial in trials} == {
        *((f"trial:{name}@{device}", device) for name in nvenc for device in ("0", "1")),
        *((f"trial:{name}@renderD128", "") for name in others),
    }
    assert len(trials) == 2 * len(nvenc) + len(others)
    assert all(("/dev/dri/renderD128" in trial.argv) == trial.name.endswith("@renderD128") for trial in trials)
    assert {trial.argv[-3:] for trial in trials} == {("-f", "null", "-")}


def test_a_gpu_has_the_encoders_that_encoded_on_it() -> None:
    nvenc, other = hardware_trials("ffmpeg", ["0"])[0], hardware_trials("ffmpeg", ["renderD128"])[1]
    done = [Outcome(trial, code, b"", "", wall_seconds=0.1, cpu_seconds=0.1) for trial, code in ((nvenc, 0), (other, 1))]

    assert hardware_encoders(done) == ("h264_nvenc",)


def test_a_build_is_known_by_what_it_says_of_itself() -> None:
    def told(text: bytes, code: int = 0) -> str:
        listing = Invocation("inventory:build", ("ffmpeg",))
        return inventory.build([Outcome(listing, code, text, "", wall_seconds=0.1, cpu_seconds=0.1)])

    assert told(b"9.0 --enable-gpl") == told(b"9.0 --enable-gpl") != told(b"9.0 --disable-asm")
    assert told(b"9.0", code=-9) == ""
