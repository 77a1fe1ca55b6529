"""Every rule of ISO 23009-1 that the checker holds: kept by a package made by hand, and told where it is broken."""

from __future__ import annotations

import base64

import pytest

from tests.rules import dash_rules, samples

MANIFEST = "dash/manifest.mpd"
KID = "00010203-0405-0607-0809-0a0b0c0d0e0f"
COMMON = f'<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc" cenc:default_KID="{KID}"/>'
BOX = f"<cenc:pssh>{base64.b64encode(samples.pssh()).decode()}</cenc:pssh>"
SYSTEM = f'<ContentProtection schemeIdUri="urn:uuid:1077efec-c0b2-4d02-ace3-3c1e52e2fb4b">{BOX}</ContentProtection>'


def test_a_right_package_breaks_no_rule() -> None:
    assert dash_rules.broken(samples.package()) == []


def test_an_encrypted_package_breaks_no_rule() -> None:
    assert dash_rules.broken(samples.package(scheme="cenc", protection=COMMON + SYSTEM)) == []


BROKEN = [
    ("<MPD ", "<MPDD ", "is no XML"),
    ("urn:mpeg:dash:schema:mpd:2011", "urn:mpeg:dash:schema:mpd:2010", "is no MPD"),
    ("urn:mpeg:dash:profile:isoff-live:2011", "live", "are none"),
    ('type="static"', 'type="dynamic"', "is of type dynamic"),
    ('minBufferTime="PT2S"', "", "has no minBufferTime"),
    ('mediaPresentationDuration="PT3S"', "", "has no mediaPresentationDuration"),
    ('mediaPresentationDuration="PT3S"', 'mediaPresentationDuration="PT5S"', "ends at 3.000 s of 5.000"),
    ('mediaPresentationDuration="PT3S"', 'mediaPresentationDuration="PT2S"', "ends at 3.000 s of 2.000"),
    ('<AdaptationSet id="1"', '<AdaptationSet id="0"', "two of AdaptationSet 0"),
    ('<Representation id="360p"', '<Representation id="180p"', "two of Representation 180p"),
    ('<Representation id="360p"', '<Representation id="360 p"', "without a proper id"),
    ('<Representation id="360p"', '<Representation contentType="text" id="360p"', "holds several kinds"),
    ('id="1" contentType="audio" lang="en"', 'id="1" contentType="audio" lang="in English"', "is in lang"),
    (' value="main"', "", "a Role without scheme or value"),
    ('frameRate="10" segmentAlignment="true"', 'frameRate="10"', "no segmentAlignment"),
    ('frameRate="10" ', "", "has no frameRate"),
    ('bandwidth="2400"', "", "has no bandwidth"),
    ('bandwidth="2400"', 'bandwidth="1000"', "needs more than its bandwidth"),
    ('mimeType="video/mp4"', "", "has no mimeType"),
    ('codecs="avc1.42c01e"', "", "has no codecs"),
    ('codecs="avc1.42c01e"', 'codecs="avc1.64001f"', "and codecs says avc1.64001f"),
    ('width="320"', "", "has no width"),
    ('width="320"', 'width="322"', "and says 322x180"),
    ('audioSamplingRate="48000"', "", "has no audioSamplingRate"),
    ("AudioChannelConfiguration", "Channels", "has no AudioChannelConfiguration"),
    ("segment_$Number%03d$.m4s", "segment.m4s", "no SegmentTemplate with numbers"),
    ('startNumber="1"', 'startNumber="2"', "which is missing or empty"),
    (' initialization="cmaf/180p/init.mp4"', "", "has no initialization"),
    ('initialization="cmaf/180p/init.mp4"', 'initialization="cmaf/180p/segment_001.m4s"', "no ftyp and moov"),
    ("<BaseURL>../</BaseURL>", "", "which is missing or empty"),
    ('<S t="0" d="1000" r="2"/>', '<S t="0" d="1000"/><S t="1100" d="1000" r="1"/>', "goes from 1000 to 1100"),
    ('<S t="0" d="1000" r="2"/>', '<S t="0" d="1000" r="1"/><S d="0"/>', "takes no time"),
    ('<S t="0" d="1000" r="2"/>', '<S t="0" d="900"/><S d="1100"/><S d="1000"/>', "its segments are aligned"),
    ('<S t="0" d="1000" r="2"/>', '<S t="0" d="900"/><S d="1100"/><S d="1000"/>', "takes 1000, and the timeline says 900"),
    ('<S t="0" d="1000" r="2"/>', '<S t="0" d="900"/><S d="1100"/><S d="1000"/>', "begins at 1000, and the timeline says 900"),
]


@pytest.mark.parametrize(("old", "new", "told"), BROKEN)
def test_a_manifest_that_breaks_a_rule_is_told(old: str, new: str, told: str) -> None:
    files = samples.package()
    assert old in files[MANIFEST].decode()
    files[MANIFEST] = files[MANIFEST].decode().replace(old, new, 1).encode()

    assert [fault for fault in dash_rules.broken(files) if told in fault]


PROTECTION = [
    ("", "has no ContentProtection"),
    ("<ContentProtection/>" + COMMON, "without schemeIdUri"),
    (COMMON.replace('"cenc"', '"cbcs"'), "ContentProtection says cbcs"),
    (COMMON.replace(KID, KID[::-1]), "and its initialization 00010203"),
    (COMMON + SYSTEM.replace("1077efec", "2077efec"), "has a pssh of"),
    (COMMON + SYSTEM.replace("<cenc:pssh>AAAA", "<cenc:pssh>AAAB"), "a cenc:pssh that is none"),
]


@pytest.mark.parametrize(("protection", "told"), PROTECTION)
def test_a_protection_that_breaks_a_rule_is_told(protection: str, told: str) -> None:
    files = samples.package(scheme="cenc", protection=protection)

    assert [fault for fault in dash_rules.broken(files) if told in fault]


def test_protection_of_what_is_in_the_clear_is_told() -> None:
    files = samples.package(protection=COMMON)

    assert [fault for fault in dash_rules.broken(files) if "its initialization is in the clear" in fault]


def test_segments_that_were_left_in_the_clear_are_told() -> None:
    clear = {path: data for path, data in samples.package().items() if path.endswith(".m4s")}
    files = samples.package(scheme="cenc", protection=COMMON + SYSTEM) | clear

    assert [fault for fault in dash_rules.broken(files) if "no segment tells of encrypted samples" in fault]


@pytest.mark.parametrize(
    ("segment", "told"),
    [
        (samples.fragment(1, "vide", is_sync=False), "does not begin with a sync sample"),
        (samples.fragment(1, "vide")[12:], "holds moof mdat"),
        (samples.fragment(1, "vide")[:-1], "segments that are none"),
    ],
)
def test_a_segment_that_breaks_a_rule_is_told(segment: bytes, told: str) -> None:
    files = samples.package() | {"cmaf/180p/segment_002.m4s": segment}

    assert [fault for fault in dash_rules.broken(files) if told in fault]
