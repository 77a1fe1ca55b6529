"""Pictures as they come out: pixels and samples of real encodes, by a plain decode, against what must be there."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from protocol.errors import ErrorCode
from protocol.results import Failure
from tests.contract.picture_jobs import Ground, frame, pitch, profile, rung, streams
from tests.media import run_ffmpeg

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "5")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "8", "-x265-params")
HDR10 = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400:hdr10=1"

WHITE, GREY = 202, 109
"""What a diffuse white of 203 cd/m2 and a grey of 26 become: 85 % and 42 % of a BT.1886 display, in limited range."""


def halves(path: Path, transfer: str, left: float, right: float) -> Path:
    """HDR of 10 bits: the left half at a share of the signal, the right at another."""
    values = (round(64 + 876 * share) for share in (left, right))
    picture = "color=black:s=320x180:r=25:d=1,format=yuv420p10le,geq=lum='if(lt(X,160),{},{})':cb=512:cr=512".format(*values)
    tags = ("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc", "-color_range", "tv")
    told = f"{HDR10}:log-level=error:transfer={transfer}:colorprim=bt2020:colormatrix=bt2020nc:range=limited"
    run_ffmpeg("-f", "lavfi", "-i", picture, *X265, told, *tags, str(path))
    return path


def clock(path: Path, *, seconds: float = 3, size: str = "320x180", sound: int = 440) -> Path:
    """Frame n has luma 40 + 2n; the sound is one sine, twice as high from the middle on."""
    picture = f"color=black:s={size}:r=25:d={seconds},format=yuv420p,geq=lum='40+2*N':cb=128:cr=128"
    tone = f"aevalsrc='0.2*sin(2*PI*{sound}*t*if(lt(t,{seconds / 2}),1,2))':s=48000:d={seconds}"
    run_ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, *X264, "-g", "250", "-c:a", "aac", str(path))
    return path


@pytest.mark.parametrize(("transfer", "white", "grey"), [("smpte2084", 0.5807, 0.38), ("arib-std-b67", 0.75, 0.38)])
def test_white_and_grey_of_hdr_are_white_and_grey_on_any_screen(tmp_path: Path, transfer: str, white: float, grey: float) -> None:
    clip = halves(tmp_path / "c.mp4", transfer, white, grey)
    kept = rung(90, name="kept", codec="hevc", bit_depth=10, hdr="keep")
    made = Ground(tmp_path, clip, {}).succeed(
        profile(rung(180), rung(90), kept, thumbnails={"percents": [50], "primary_percent": 50})
    )
    both = [made / f"{name}/video_{name}.mp4" for name in ("180p", "90p")]
    mapped = [frame(path, 12) for path in both]
    hdr = frame(made / "kept/video_kept.mp4", 12, bits=10)
    told = streams(both[0])["video"]
    shot = frame(made / "thumbnails/thumb_50.jpg", 0)

    for picture in mapped:
        assert picture.luma(0.25, 0.5) == pytest.approx(WHITE, abs=2)
        assert picture.luma(0.75, 0.5) == pytest.approx(GREY, abs=2)
        assert picture.chroma(0.25, 0.5) == pytest.approx((128, 128), abs=1)
    assert [told.get(f"color_{word}") for word in ("space", "transfer", "primaries", "range")] == [
        "bt709",
        "bt709",
        "bt709",
        "tv",
    ]
    assert (told["pix_fmt"], told.get("side_data_list")) == ("yuv420p", None)
    assert hdr.luma(0.25, 0.5) == pytest.approx(64 + 876 * white, abs=3)
    assert hdr.luma(0.75, 0.5) == pytest.approx(64 + 876 * grey, abs=3)
    assert shot.luma(0.25, 0.5) == pytest.approx((WHITE - 16) * 255 / 219, abs=3)


@pytest.mark.parametrize(
    ("made_by", "tags"),
    [
        ("m=170m:p=709:t=709:r=tv", ("-colorspace", "smpte170m", "-color_range", "tv")),
        ("m=470bg:p=bt470bg:t=601:r=tv", ("-colorspace", "bt470bg", "-color_primaries", "bt470bg", "-color_trc", "smpte170m")),
        (
            "m=2020_ncl:p=2020:t=2020_10:r=tv",
            ("-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "bt2020-10"),
        ),
        ("m=709:p=709:t=709:r=full", ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_range", "pc")),
    ],
)
def test_other_colours_are_converted(tmp_path: Path, made_by: str, tags: tuple[str, ...]) -> None:
    """The red of (192, 32, 64) in BT.709 of limited range is (75, 126, 197)."""
    red = f"color=0xC02040:s=320x180:r=25:d=0.4,format=gbrp,zscale=pin=709:tin=709:{made_by},format=yuv420p"
    run_ffmpeg("-f", "lavfi", "-i", red, *X264, *tags, str(tmp_path / "c.mp4"))
    picture = Ground(tmp_path, tmp_path / "c.mp4", {}).succeed(profile()) / "180p/video_180p.mp4"
    seen = frame(picture, 3)

    assert (seen.luma(0.5, 0.5), *seen.chroma(0.5, 0.5)) == pytest.approx((75, 126, 197), abs=2)
    assert streams(picture)["video"]["color_space"] == "bt709"


def test_a_clip_with_a_mark_and_words_is_exact_in_time_and_place(tmp_path: Path) -> None:
    """From 1.0 s to 2.2 s; the words stand from 1.4 s to 1.8 s of the film; the mark is red, 10 % wide, 5 % from two edges.
    Behind it in its file stand more pictures, in another colour: they are not shown."""
    clip = clock(tmp_path / "c.mp4")
    (tmp_path / "words.srt").write_text("1\n00:00:01,400 --> 00:00:01,800\n{\\fs900}<b>WWWW</b>\n", encoding="utf-8")
    run_ffmpeg("-f", "lavfi", "-i", "color=0xFF0000:s=40x20:d=1,format=rgba", "-frames:v", "1", str(tmp_path / "m.png"))
    run_ffmpeg("-f", "lavfi", "-i", "color=0x0000FF:s=40x20:d=1,format=rgba", "-frames:v", "1", str(tmp_path / "blue.png"))
    with (tmp_path / "m.png").open("ab") as logo:
        logo.write((tmp_path / "blue.png").read_bytes() * 100)
    ground = Ground(tmp_path, clip, {"words": tmp_path / "words.srt", "logo": tmp_path / "m.png"})
    made = ground.succeed(
        profile(
            *(rung(180), rung(90)),
            clip={"start": 1.0, "end": 2.2},
            watermark={"attachment": "logo", "opacity": 1.0, "width_percent": 10, "margin_percent": 5, "position": "top-right"},
            burn_in={"attachment": "words"},
            hls={"segment_seconds": 1},
            audio={},
            thumbnails={"percents": [0, 100], "primary_percent": 0},
        )
    )
    large, small = made / "180p/video_180p.mp4", made / "90p/video_90p.mp4"
    seen = {n: frame(large, n) for n in (0, 9, 10, 11, 19, 20, 29)}
    words = {n: picture.bright() for n, picture in seen.items()}

    assert streams(large)["video"]["nb_read_frames"] == "30"
    assert [seen[n].luma(0.1, 0.2) for n in (0, 10, 29)] == pytest.approx([90, 110, 148], abs=1)
    assert [words[n] > 20 for n in (0, 9, 10, 11, 19, 20, 29)] == [False, False, True, True, True, False, False]
    for picture in (seen[0], seen[29], frame(small, 0)):
        inside, outside = picture.chroma(0.90, 0.13), picture.chroma(0.82, 0.13)
        assert inside[1] > 220
        assert outside == pytest.approx((128, 128), abs=3)
    assert pitch(large, 0.1, 0.4) == pytest.approx(440, abs=15)
    assert pitch(made / "audio/audio.mp3", 0.7, 1.1) == pytest.approx(880, abs=15)
    shots = [frame(made / f"thumbnails/thumb_{name}.jpg", 0).luma(0.1, 0.2) for name in ("00", "100")]
    assert shots == pytest.approx([(90 - 16) * 255 / 219, (148 - 16) * 255 / 219], abs=2)


def test_a_crop_a_turn_and_bars_put_each_corner_where_it_belongs(tmp_path: Path) -> None:
    """Four quarters of an anamorphic picture, 40, 90, 140, 190; the left two are cropped, the rest is turned clockwise."""
    quarters = "if(lt(Y,90),if(lt(X,80),40,90),if(lt(X,80),140,190))"
    picture = f"color=black:s=160x180:r=25:d=0.6,format=yuv420p,geq=lum='{quarters}':cb=128:cr=128,setsar=2"
    run_ffmpeg("-f", "lavfi", "-i", picture, *X264, str(tmp_path / "c.mp4"))
    shape = {"crop": {"left": 160}, "rotate": 90, "pad_to": "16:9"}
    made = Ground(tmp_path, tmp_path / "c.mp4", {}).succeed(profile(rung(90), picture=shape))
    seen = frame(made / "90p/video_90p.mp4", 5)

    assert (seen.width, seen.height) == (160, 90)
    assert [seen.luma(x, 0.5) for x in (0.05, 0.35, 0.65, 0.95)] == pytest.approx([16, 190, 90, 16], abs=3)


def test_several_films_are_one_to_the_frame(tmp_path: Path) -> None:
    """A silent square of 30 frames a second, the input, and one whose sound ends early: joined, then clipped."""
    run_ffmpeg("-f", "lavfi", "-i", "color=white:s=180x180:r=30:d=1", *X264, str(tmp_path / "intro.mp4"))
    short = ("-f", "lavfi", "-i", "sine=f=1760:d=0.4:r=44100", "-ac", "6", "-c:a", "aac")
    run_ffmpeg("-f", "lavfi", "-i", "color=gray:s=160x90:r=25:d=1", *short, *X264, str(tmp_path / "end.mp4"))
    attached = {"intro": tmp_path / "intro.mp4", "end": tmp_path / "end.mp4"}
    ground = Ground(tmp_path, clock(tmp_path / "c.mp4", seconds=2), attached)
    parts = {"concat": ["intro", "input", "end"], "audio": {}, "hls": {"segment_seconds": 2}}
    made = ground.succeed(
        profile(**parts, clip={"start": 0.4, "end": 3.8}, thumbnails={"percents": [0, 100], "primary_percent": 0})
    )
    path = made / "180p/video_180p.mp4"
    seen = {n: frame(path, n) for n in (0, 14, 15, 64, 65, 84)}

    assert streams(path)["video"]["nb_read_frames"] == "85"
    assert [seen[0].luma(x, 0.5) for x in (0.05, 0.5, 0.95)] == pytest.approx([16, 235, 16], abs=2)
    assert [seen[n].luma(0.5, 0.5) for n in (14, 15, 64, 65, 84)] == pytest.approx([235, 40, 138, 126, 126], abs=2)
    sound = made / "audio/audio.mp3"
    assert [pitch(sound, *when) for when in ((0.05, 0.5), (0.7, 1.5), (1.7, 2.5), (2.65, 2.95), (3.1, 3.35))] == pytest.approx(
        [0, 440, 880, 1760, 0], abs=20
    )


def test_a_part_that_breaks_off_is_never_published(tmp_path: Path) -> None:
    whole = clock(tmp_path / "whole.mkv", seconds=2)
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    ground = Ground(tmp_path, clock(tmp_path / "c.mp4", seconds=1), {"more": tmp_path / "cut.mkv"})
    result = ground.make(profile(concat=["more", "input"])).result

    assert isinstance(result, Failure)
    assert result.code is ErrorCode.INPUT_CORRUPT


def test_what_is_wrong_with_a_part_is_told_with_its_name(tmp_path: Path) -> None:
    run_ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", str(tmp_path / "s.m4a"))
    ground = Ground(tmp_path, clock(tmp_path / "c.mp4", seconds=1), {"radio": tmp_path / "s.m4a"})
    found = ground.analyze(profile(concat=["radio", "input"]))

    assert isinstance(found, Failure)
    assert (found.code, found.message) == (
        ErrorCode.INPUT_NO_VIDEO,
        "Part radio: The file has no picture; this profile makes video.",
    )


def png(width: int, height: int) -> bytes:
    """One colour, grey: a small file, however large its picture."""
    row = zlib.compress(bytes((1 + width) * height))

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", row) + part(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"#EXTM3U\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\n",
        png(5000, 5000),
        png(1, 9000),
    ],
    ids=["broken", "a playlist", "a script", "a bomb", "too thin"],
)
def test_a_mark_that_is_no_picture_or_none_that_fits_is_the_clients_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.png").write_bytes(content)
    ground = Ground(tmp_path, clock(tmp_path / "c.mp4", seconds=1), {"watermark": tmp_path / "m.png"})
    result = ground.make(profile(watermark={})).result

    assert isinstance(result, Failure)
    assert (result.code, result.message[:13]) == (ErrorCode.INPUT_FORMAT, "The watermark")
