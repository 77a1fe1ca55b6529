"""What the packager is told in secret, and what becomes of its playlists and of its words."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from plugins.media.hls import Playlist
from plugins.media.rejected import Rejected
from plugins.packager import command, locks, sealed
from plugins.packager.plugin import PackagerPlugin
from plugins.packager.tracks import Track, key_of, tracks
from protocol.encoding import Preset
from protocol.errors import FailureClass
from protocol.media import AudioStream, MediaFacts, VideoStream
from protocol.packaging import CmafPackaging, ContentKeys, DrmSystem, Encryption, ProtectionScheme, SegmentFormat
from protocol.plugins import Invocation, MadeFile, Outcome, Work
from protocol.recipes import PackageRecipe
from tests.ffmpeg_recipes import planned

KID, KEY = "00112233445566778899aabbccddeeff", "9a0e0d0c0b0a09080706050403020199"
ONE = ContentKeys.model_validate({"keys": ({"key_id": KID, "key": KEY},)})
FOUR = ContentKeys.model_validate(
    {
        "keys": tuple(
            {"key_id": f"{n:032x}", "key": f"{n + 8:032x}", "label": label} for n, label in enumerate(("audio", "sd", "hd"))
        )
    }
)


def recipe(scheme: ProtectionScheme, *systems: DrmSystem) -> PackageRecipe:
    video = VideoStream(index=0, codec="h264", width=1280, height=720, coded_width=1280, coded_height=720, frame_rate="25")
    sound = AudioStream(index=1, codec="aac", channels=2, sample_rate=48_000)
    facts = MediaFacts(container="mp4", duration="20", size_bytes=1, bitrate=1, video=video, audio=(sound,), streams=2)
    is_ts = scheme is ProtectionScheme.AES_128
    return PackageRecipe(
        source=facts,
        packaging=CmafPackaging(
            format=SegmentFormat.TS if is_ts else SegmentFormat.FMP4, encryption=Encryption(scheme=scheme, systems=systems)
        ),
        renditions=tuple(planned(facts, height, hls=None, preset=Preset.MEDIUM) for height in (360, 720)),
        directory="cmaf",
        hls_master="hls/master.m3u8",
    )


CBCS = recipe(ProtectionScheme.CBCS, DrmSystem.FAIRPLAY, DrmSystem.WIDEVINE)


def small(of: PackageRecipe) -> Track:
    return tracks(of)[0]


def test_keys_stand_in_the_file_of_flags_and_in_no_argument() -> None:
    argv = command.package("packager", CBCS, ONE)

    ((name, flags),) = locks.flags(CBCS, ONE)
    assert flags.decode().splitlines() == [
        "--enable_raw_key_encryption",
        f"--keys=label=all:key_id={KID}:key={KEY}",
        "--hls_key_uri=../../content.key",
        "--protection_systems=FairPlay,Widevine",
    ]
    assert argv[-5:] == (f"--flagfile={name}", "--protection_scheme", "cbcs", "--clear_lead", "0")
    assert not [word for word in argv if KEY in word]


def test_a_box_that_was_brought_takes_the_place_of_one_that_would_be_made() -> None:
    widevine = f"0000002070737368{'00' * 4}edef8ba979d64acea3c827dcd51d21ed00000000"

    ((_, flags),) = locks.flags(CBCS, ONE.model_copy(update={"pssh": (widevine,), "iv": "ab" * 16}))

    assert flags.decode().splitlines()[3:] == [f"--iv={'ab' * 16}", f"--pssh={widevine}", "--protection_systems=FairPlay"]


def test_every_track_is_encrypted_by_the_key_of_its_label() -> None:
    labels = {track.name: (track.label, key_of(track, FOUR).key_id[-1]) for track in tracks(CBCS)}
    words = [word.rpartition("drm_label=")[2] for word in command.package("packager", CBCS, FOUR) if "drm_label" in word]

    assert labels == {"360p": ("sd", "1"), "720p": ("hd", "2"), "audio": ("audio", "0")}
    assert words == ["sd", "hd", "audio"]


PLAYLIST = """#EXTM3U
#EXT-X-KEY:METHOD=SAMPLE-AES,URI="../../content.key",IV=0x00,KEYFORMAT="identity"
#EXT-X-KEY:METHOD=SAMPLE-AES,URI="data:text/plain;base64,AAAA",KEYFORMAT="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"
#EXT-X-KEY:METHOD=SAMPLE-AES,URI="../../content.key",KEYFORMATVERSIONS="1",KEYFORMAT="com.apple.streamingkeydelivery"
#EXTINF:1.000,
"""


@pytest.mark.parametrize(
    ("told", "identity", "fairplay"),
    [
        (None, f"../../key/{KID}", f"skd://{KID}"),
        ("skd://films/7", f"../../key/{KID}", "skd://films/7"),
        ("https://keys.example/7", "https://keys.example/7", "https://keys.example/7"),
        ("https://keys.example/\\d\\g<0>", "https://keys.example/\\d\\g<0>", "https://keys.example/\\d\\g<0>"),
    ],
)
def test_players_are_told_the_clients_address_of_a_key_or_ours(told: str | None, identity: str, fairplay: str) -> None:
    text = locks.published(PLAYLIST, small(CBCS), CBCS, ONE.model_copy(update={"key_uri": told}))

    uris = [line.split('URI="')[1].split('"')[0] for line in text.splitlines() if "URI=" in line]
    assert uris == [identity, "data:text/plain;base64,AAAA", fairplay]


def test_what_is_encrypted_is_read_by_a_script_that_tells_the_key_and_lists_segments_as_they_come() -> None:
    files = [MadeFile(f"cmaf/360p/segment_{name}.m4s", 1) for name in ("1000", "002", "999")]

    made = dict(locks.keys_for((small(CBCS),), CBCS, ONE, files))

    assert made["check-360p.list"].decode().split() == [
        "file:cmaf/360p/init.mp4",
        *(f"file:cmaf/360p/segment_{name}.m4s" for name in ("002", "999", "1000")),
    ]
    assert made["check-360p.end.list"].decode().split() == ["file:cmaf/360p/init.mp4", "file:cmaf/360p/segment_1000.m4s"]
    assert made["check-360p.ffconcat"].decode().splitlines()[1:] == [
        "file 'concatf:file:check-360p.list'",
        f"option decryption_key {KEY}",
    ]


def test_segments_of_aes_128_are_read_with_the_key_where_their_playlist_says() -> None:
    aes = recipe(ProtectionScheme.AES_128)

    assert locks.keys_for((small(aes),), aes, ONE, ()) == (("content.key", bytes.fromhex(KEY)),)
    assert "file,crypto" in locks.opened(small(aes), aes)


def read_twice(*sums: tuple[str, str], size: int = 1000, lead: int = 0) -> tuple[PackageRecipe, dict[str, Outcome]]:
    """A package of one picture, as its packets are with the key and without, a second apart."""
    of = CBCS.model_copy(update={"source": CBCS.source.model_copy(update={"audio": ()}), "renditions": CBCS.renditions[:1]})
    encryption = Encryption(scheme=ProtectionScheme.CBCS, systems=(DrmSystem.WIDEVINE,), clear_lead_seconds=lead)
    packaging = of.packaging.model_copy(update={"encryption": encryption, "segment_seconds": 1})
    packets = [f"{n}, {at}, {at}, 1, {size}, {pair[n]}" for at, pair in enumerate(sums) for n in (0, 1)]
    init = b"....schm\0\0\0\0cbcs....tenc" + bytes(8) + bytes.fromhex(KID) + b"pssh" + bytes(4) + bytes.fromhex(WIDEVINE)
    told = {"init:cmaf/360p/init.mp4": init, "bare": "\n".join(["#tb 0: 1/1", "#tb 1: 1/1", *packets]).encode()}
    return of.model_copy(update={"packaging": packaging}), {
        name: Outcome(Invocation(name=name, argv=("ffmpeg",)), 0, out, "", 1.0, 1.0) for name, out in told.items()
    }


WIDEVINE = "edef8ba979d64acea3c827dcd51d21ed"


def test_what_looks_other_without_the_key_is_encrypted() -> None:
    sealed.verify(*read_twice(("0x1", "0x2"), ("0x3", "0x4")), ONE)
    sealed.verify(*read_twice(("0x1", "0x1"), ("0x3", "0x3"), ("0x5", "0x6"), lead=1), ONE)
    sealed.verify(*read_twice(("0x1", "0x1"), size=20), ONE)


@pytest.mark.parametrize(
    ("sums", "told"),
    [
        ((("0x1", "0x2"), ("0x3", "0x3")), "360p was not encrypted"),
        ((), "cannot be read packet by packet"),
    ],
)
def test_a_packet_that_is_the_same_without_the_key_is_refused(sums: tuple[tuple[str, str], ...], told: str) -> None:
    with pytest.raises(Rejected, match=told):
        sealed.verify(*read_twice(*sums), ONE)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"cbcs", b"cenc", "another scheme"),
        (bytes.fromhex(KID), bytes(16), "another key"),
        (bytes.fromhex(WIDEVINE), bytes(16), f"lacks what system {WIDEVINE} needs"),
    ],
)
def test_an_initialization_segment_that_tells_otherwise_is_refused(old: bytes, new: bytes, told: str) -> None:
    of, outcomes = read_twice(("0x1", "0x2"))
    name = "init:cmaf/360p/init.mp4"
    outcomes[name] = replace(outcomes[name], stdout=outcomes[name].stdout.replace(old, new))

    with pytest.raises(Rejected, match=told):
        sealed.verify(of, outcomes, ONE)


def test_a_playlist_that_tells_of_no_key_is_refused_but_where_all_is_in_the_clear() -> None:
    playlist = Playlist((("a", Fraction(1)), ("b", Fraction(1))), "init.mp4")
    of, _ = read_twice()
    short, _ = read_twice(lead=1)

    sealed.tagged(of, "p.m3u8", PLAYLIST, playlist)
    sealed.tagged(short, "p.m3u8", "", playlist)
    with pytest.raises(Rejected, match="does not tell that it is encrypted"):
        sealed.tagged(of, "p.m3u8", "", playlist)


def test_what_a_tool_says_of_a_key_is_not_repeated() -> None:
    work = Work(CBCS, ("package_streams",), "/work", threads=1, keys=ONE)
    invocation = Invocation(name="package", argv=("packager",))
    outcome = Outcome(invocation, 1, b"", f"cannot read key={KEY.upper()}", wall_seconds=1.0, cpu_seconds=1.0)

    failure = PackagerPlugin().judge(work, outcome)

    assert failure is not None
    assert (failure.failure_class, failure.log_tail) == (FailureClass.ENGINE, "cannot read key=<key>")
