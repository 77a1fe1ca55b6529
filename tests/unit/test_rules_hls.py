"""Every rule of RFC 8216 that the checker holds: kept by a package made by hand, and told where it is broken."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.rules import hls_rules, samples

MASTER, SMALL, LARGE = "hls/master.m3u8", "cmaf/180p/playlist.m3u8", "cmaf/360p/playlist.m3u8"
KEY, IV = bytes(range(16)), "0x" + "ab" * 16


def test_a_right_package_breaks_no_rule() -> None:
    assert hls_rules.broken(samples.package()) == []


def test_an_encrypted_package_breaks_no_rule() -> None:
    files = samples.package(scheme="cbcs")
    tag = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://1",KEYFORMAT="com.apple.streamingkeydelivery",KEYFORMATVERSIONS="1"\n#EXTINF'
    for path in (SMALL, LARGE, "cmaf/audio/playlist.m3u8"):
        files[path] = files[path].replace(b"#EXTINF", tag.encode(), 1)

    assert hls_rules.broken(files) == []


BROKEN = [
    (MASTER, "#EXTM3U\n", "", "does not begin with #EXTM3U"),
    (MASTER, "#EXT-X-INDEPENDENT-SEGMENTS", "#EXT-X-INDEPENDENT", "is no tag"),
    (MASTER, "#EXT-X-VERSION:6", "#EXT-X-VERSION:6\n#EXT-X-VERSION:6", "stands there twice"),
    (MASTER, "#EXT-X-VERSION:6", "#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:1", "of a master and of a media playlist"),
    (MASTER, 'NAME="English",DEFAULT=NO', 'NAME="Eng"lish",DEFAULT=NO', "is no attribute list"),
    (MASTER, "BANDWIDTH=4000,", "", "has no BANDWIDTH"),
    (MASTER, "BANDWIDTH=4000", "BANDWIDTH=3k", "BANDWIDTH of"),
    (MASTER, 'CODECS="avc1.42c01e,mp4a.40.2",', "", "has no CODECS"),
    (MASTER, "RESOLUTION=320x180", "RESOLUTION=320", "RESOLUTION of"),
    (MASTER, "FRAME-RATE=10.000", "FRAME-RATE=10.00001", "FRAME-RATE of"),
    (MASTER, "../cmaf/360p/playlist.m3u8\n", "", "is not followed by a URI"),
    (MASTER, "../cmaf/360p/playlist.m3u8\n", "../cmaf/360p/playlist.m3u8\nmore.m3u8\n", "a URI without EXT-X-STREAM-INF"),
    (MASTER, 'GROUP-ID="text",', "", "has no GROUP-ID"),
    (MASTER, "TYPE=SUBTITLES", "TYPE=TEXT", "TYPE of English is TEXT"),
    (MASTER, 'TYPE=SUBTITLES,URI="../cmaf/text/playlist.m3u8",', "TYPE=SUBTITLES,", "subtitles English have no URI"),
    (MASTER, "DEFAULT=YES,AUTOSELECT=YES", "DEFAULT=YES,AUTOSELECT=NO", "DEFAULT and not AUTOSELECT"),
    (MASTER, "DEFAULT=YES,AUTOSELECT=YES", "DEFAULT=YES,FORCED=YES", "FORCED and no subtitles"),
    (MASTER, "DEFAULT=NO", "DEFAULT=MAYBE", "DEFAULT of English is MAYBE"),
    (MASTER, 'LANGUAGE="en"', 'LANGUAGE="english language"', "LANGUAGE of English is"),
    (MASTER, 'AUDIO="audio"', 'AUDIO="other"', "AUDIO group other is named and is not there"),
    (MASTER, 'GROUP-ID="text"', 'GROUP-ID="words"', "SUBTITLES group words is there and no variant names it"),
    (MASTER, "BANDWIDTH=4000", "BANDWIDTH=3550", "has peaks of 3552 bit/s"),
    (MASTER, "AVERAGE-BANDWIDTH=3900", "AVERAGE-BANDWIDTH=3500", "bit/s on average"),
    (MASTER, "AVERAGE-BANDWIDTH=3900", "AVERAGE-BANDWIDTH=4100", "above its BANDWIDTH"),
    (MASTER, "avc1.42c01e,mp4a.40.2", "avc1.42c01e", "holds mp4a"),
    (MASTER, "avc1.42c01e,mp4a.40.2", "avc1.42c01e,mp4a.40.2,ac-3", "holds no ac-3"),
    (MASTER, "avc1.42c01e", "avc1.64001f", "is avc1.42c01e, and CODECS"),
    (MASTER, "RESOLUTION=320x180,", "", "a picture and no RESOLUTION"),
    (MASTER, "RESOLUTION=320x180", "RESOLUTION=322x180", "is 320x180, and RESOLUTION"),
    (MASTER, "../cmaf/180p/playlist.m3u8", "../cmaf/181p/playlist.m3u8", "is not there"),
    (SMALL, "#EXT-X-TARGETDURATION:1\n", "", "has no EXT-X-TARGETDURATION"),
    (SMALL, "#EXTINF:1.000,", "#EXTINF:1.600,", "the target duration is 1"),
    (SMALL, "#EXTINF:1.000,", "#EXTINF:1.300,", "says 1.300 s and takes 1.000"),
    (SMALL, "#EXTINF:1.000,\nsegment_002", "segment_002", "has no EXTINF"),
    (SMALL, "segment_002.m4s", "segment_001.m4s", "names a segment twice"),
    (SMALL, "segment_002.m4s", "segment_009.m4s", "segment_009.m4s is not there"),
    (SMALL, "#EXT-X-ENDLIST\n", "", "does not end with EXT-X-ENDLIST"),
    (SMALL, "#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-PLAYLIST-TYPE:EVENT", "is not EXT-X-PLAYLIST-TYPE:VOD"),
    (SMALL, "#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-PLAYLIST-TYPE:FILM", "is no type"),
    (SMALL, "#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:7", "begins at 7"),
    (SMALL, "segment_002", "segment_002.m4s\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:1.0,\nsegment_002", "stands behind a segment"),
    (SMALL, "#EXT-X-VERSION:6", "#EXT-X-VERSION:3", "is of version 3, and needs 6"),
    (SMALL, '#EXT-X-MAP:URI="init.mp4"\n', "", "no EXT-X-MAP stands above it"),
    (SMALL, '#EXT-X-MAP:URI="init.mp4"', "#EXT-X-MAP:BYTERANGE=1", "EXT-X-MAP has no URI"),
    (SMALL, "#EXT-X-MAP", '#EXT-X-KEY:METHOD=AES-256,URI="k"\n#EXT-X-MAP', "METHOD AES-256 is none"),
    (SMALL, "#EXT-X-MAP", '#EXT-X-KEY:METHOD=NONE,URI="k"\n#EXT-X-MAP', "METHOD=NONE has other attributes"),
    (SMALL, "#EXT-X-MAP", "#EXT-X-KEY:METHOD=SAMPLE-AES\n#EXT-X-MAP", "has no URI"),
    (SMALL, "#EXT-X-MAP", '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k",IV=0xab\n#EXT-X-MAP', "no hexadecimal number of 128 bits"),
]


@pytest.mark.parametrize(("path", "old", "new", "told"), BROKEN)
def test_a_playlist_that_breaks_a_rule_is_told(path: str, old: str, new: str, told: str) -> None:
    files = samples.package()
    assert old in files[path].decode()
    files[path] = files[path].decode().replace(old, new, 1).encode()

    assert [fault for fault in hls_rules.broken(files) if told in fault]


SEGMENTS = [
    (b"", "is empty"),
    (samples.fragment(1, "vide", first=samples.SLICE), "does not begin with an IDR picture"),
    (samples.fragment(1, "vide", is_sync=False), "does not begin with an IDR picture"),
    (samples.fragment(2, "vide"), "and takes"),
    (samples.fragment(1, "vide")[:-1], "bytes"),
    (samples.fragment(1, "vide").replace(b"mdat", b"free"), "is none"),
]


@pytest.mark.parametrize(("segment", "told"), SEGMENTS)
def test_a_segment_that_breaks_a_rule_is_told(segment: bytes, told: str) -> None:
    files = samples.package() | {"cmaf/180p/segment_002.m4s": segment}

    assert [fault for fault in hls_rules.broken(files) if told in fault]


def test_variants_cut_otherwise_are_told() -> None:
    files = samples.package()
    files[LARGE] = files[LARGE].replace(b"#EXTINF:1.000,\nsegment_003.m4s\n", b"")

    assert [fault for fault in hls_rules.broken(files) if "is cut otherwise than" in fault]


def test_a_right_transport_stream_breaks_no_rule() -> None:
    assert hls_rules.broken_media(samples.ts_package(), "playlist.m3u8") == []


@pytest.mark.parametrize(
    ("segment", "told"),
    [
        (samples.ts_segment(2, unit=b"\x41abcd"), "does not begin with an IDR picture"),
        (samples.ts_segment(4), "and takes"),
        (samples.ts_segment(2)[:-8], "no whole packets"),
        (samples.ts_segment(2)[188:], "no PAT at the start"),
    ],
)
def test_a_transport_stream_that_breaks_a_rule_is_told(segment: bytes, told: str) -> None:
    files = samples.ts_package() | {"segment_002.ts": segment}

    assert [fault for fault in hls_rules.broken_media(files, "playlist.m3u8") if told in fault]


def sealed(data: bytes) -> bytes:
    padding, cipher = PKCS7(128).padder(), Cipher(algorithms.AES(KEY), modes.CBC(bytes.fromhex(IV[2:]))).encryptor()
    return cipher.update(padding.update(data) + padding.finalize()) + cipher.finalize()


def encrypted() -> dict[str, bytes]:
    head = f'#EXT-X-KEY:METHOD=AES-128,URI="../key/1",IV={IV}\n'
    files = {path: sealed(data) for path, data in samples.ts_package().items() if path.endswith(".ts")}
    return files | {"playlist.m3u8": samples.ts_playlist(head=head)}


def test_segments_of_aes_128_are_read_with_their_key() -> None:
    assert hls_rules.broken_media(encrypted(), "playlist.m3u8", keys={"../key/1": KEY}) == []


def test_a_segment_of_aes_128_that_does_not_begin_with_a_keyframe_is_told() -> None:
    files = encrypted() | {"segment_002.ts": sealed(samples.ts_segment(2, unit=b"\x41abcd"))}

    assert hls_rules.broken_media(files, "playlist.m3u8", keys={"../key/1": KEY}) == [
        "playlist.m3u8: segment_002.ts does not begin with an IDR picture"
    ]


def test_a_segment_that_another_key_encrypted_is_told() -> None:
    assert hls_rules.broken_media(encrypted(), "playlist.m3u8", keys={"../key/1": bytes(16)})


def test_a_segment_in_the_clear_where_one_is_encrypted_is_told() -> None:
    files = encrypted() | {"segment_002.ts": samples.ts_segment(2)}

    assert hls_rules.broken_media(files, "playlist.m3u8") == [
        "playlist.m3u8: segment_002.ts is no whole blocks, though AES-128 encrypts it"
    ]


def test_a_live_playlist_needs_no_end() -> None:
    files = samples.ts_package()
    files["playlist.m3u8"] = files["playlist.m3u8"].replace(b"#EXT-X-ENDLIST\n", b"").replace(b"#EXT-X-PLAYLIST-TYPE:VOD\n", b"")

    assert hls_rules.broken_media(files, "playlist.m3u8", live=True) == []
