"""What packaging can be, and which keys a job has to bring for it."""

from __future__ import annotations

import pytest

from dispatch.core import packaging_rules
from dispatch.core.profile_rules import check_whole
from protocol.encoding import AudioCodec, VideoCodec
from protocol.errors import ErrorCode, ReelyardError
from protocol.packaging import (
    CmafPackaging,
    ContentKey,
    ContentKeys,
    DrmSystem,
    Encryption,
    HlsPackaging,
    KeyLabel,
    ProtectionScheme,
    SegmentFormat,
)
from protocol.profiles import Profile
from protocol.sounds import RenditionAudio
from tests.ffmpeg_recipes import rendition
from tests.rules import samples

AES_128, CENC, CBCS = ProtectionScheme.AES_128, ProtectionScheme.CENC, ProtectionScheme.CBCS
TS = CmafPackaging(format=SegmentFormat.TS, dash=False)
SECRET = "0f0e0d0c0b0a09080706050403020100"


def profile(packaging: CmafPackaging, *heights: int) -> Profile:
    return Profile(name="mine", renditions=tuple(rendition(height) for height in heights or (360,)), packaging=packaging)


def encrypted(scheme: ProtectionScheme, *systems: DrmSystem, packaging: CmafPackaging | None = None) -> CmafPackaging:
    chosen = packaging or (TS if scheme is AES_128 else CmafPackaging())
    return chosen.model_copy(update={"encryption": Encryption(scheme=scheme, systems=systems)})


def key(label: KeyLabel = "all", number: int = 1) -> ContentKey:
    return ContentKey(key_id=f"{number:032x}", key=SECRET, label=label)


def keys(*labels: KeyLabel, **more: object) -> ContentKeys:
    made = tuple(key(label, n) for n, label in enumerate(labels or ("all",), 1))
    return ContentKeys.model_validate({"keys": made, **more})


@pytest.mark.parametrize(
    "packaging",
    [
        TS,
        encrypted(AES_128),
        encrypted(CENC, DrmSystem.WIDEVINE, DrmSystem.PLAYREADY, DrmSystem.COMMON),
        encrypted(CBCS, DrmSystem.FAIRPLAY, DrmSystem.WIDEVINE),
    ],
)
def test_what_fits_together_is_taken(packaging: CmafPackaging) -> None:
    check_whole(profile(packaging))


@pytest.mark.parametrize(
    ("packaging", "told"),
    [
        (CmafPackaging(format=SegmentFormat.TS), "DASH is made of fmp4"),
        (encrypted(AES_128, packaging=CmafPackaging()), "give format ts"),
        (encrypted(CENC, packaging=TS), "are for format fmp4"),
        (encrypted(AES_128, DrmSystem.WIDEVINE), "aes-128 has no systems"),
        (encrypted(CENC, DrmSystem.FAIRPLAY), "fairplay reads cbcs alone"),
        (encrypted(CBCS, DrmSystem.FAIRPLAY, packaging=CmafPackaging(hls=False)), "fairplay is for hls"),
        (encrypted(CENC, DrmSystem.COMMON), "widevine or playready: name one"),
        (encrypted(CENC, DrmSystem.WIDEVINE, DrmSystem.WIDEVINE), "names a system twice"),
    ],
)
def test_what_cannot_be_together_is_refused(packaging: CmafPackaging, told: str) -> None:
    with pytest.raises(ReelyardError, match=told) as refused:
        check_whole(profile(packaging))

    assert (refused.value.code, refused.value.status) == (ErrorCode.VALIDATION_FAILED, 422)


@pytest.mark.parametrize(
    ("packaging", "changed"),
    [
        (TS, {"audio": RenditionAudio(codec=AudioCodec.OPUS)}),
        (TS, {"audio": RenditionAudio(codec=AudioCodec.MP3)}),
        (TS, {"codec": VideoCodec.HEVC}),
        (CmafPackaging(), {"audio": RenditionAudio(codec=AudioCodec.MP3)}),
    ],
)
def test_codecs_that_segments_do_not_carry_are_refused(packaging: CmafPackaging, changed: dict[str, object]) -> None:
    with pytest.raises(ReelyardError, match=f"segments of {packaging.format} carry h264"):
        check_whole(Profile(name="mine", renditions=(rendition(360).model_copy(update=changed),), packaging=packaging))


def test_what_is_encrypted_has_no_segments_in_the_clear_beside_it() -> None:
    dash = encrypted(CENC, DrmSystem.COMMON, packaging=CmafPackaging(hls=False))

    with pytest.raises(ReelyardError) as raised:
        check_whole(profile(dash).model_copy(update={"hls": HlsPackaging()}))

    assert raised.value.code is ErrorCode.VALIDATION_FAILED
    assert "in the clear" in str(raised.value.details["problems"])
    check_whole(profile(CmafPackaging(hls=False)).model_copy(update={"hls": HlsPackaging()}))


def test_a_rendition_has_no_name_that_sound_has() -> None:
    named = rendition(360).model_copy(update={"name": "audio-en"})

    with pytest.raises(ReelyardError, match="is what packaging calls sound or text"):
        check_whole(Profile(name="mine", renditions=(named,), packaging=CmafPackaging()))


@pytest.mark.parametrize(
    ("packaging", "brought"),
    [
        (CmafPackaging(), None),
        (encrypted(AES_128), keys(iv="ab" * 16, key_uri="https://keys.example/1")),
        (encrypted(CENC), keys("audio", "sd", "hd")),
        (encrypted(CBCS, DrmSystem.FAIRPLAY), keys(iv="ab" * 16, key_uri="skd://1", pssh=(samples.pssh().hex(),))),
    ],
)
def test_the_keys_that_are_needed_are_taken(packaging: CmafPackaging, brought: ContentKeys | None) -> None:
    packaging_rules.check_keys(profile(packaging, 360, 720), brought)


@pytest.mark.parametrize(
    ("packaging", "brought", "told"),
    [
        (CmafPackaging(), keys(), "encrypts nothing"),
        (encrypted(CENC), None, "is required"),
        (encrypted(AES_128), keys("audio", "sd", "hd"), "aes-128 takes one key"),
        (encrypted(AES_128), keys(pssh=(samples.pssh().hex(),)), "aes-128 has no pssh"),
        (encrypted(CENC), keys(iv="ab" * 16), "cenc takes no iv"),
        (encrypted(CBCS), keys(iv="ab" * 8), "iv is 16 bytes"),
        (encrypted(CBCS, DrmSystem.WIDEVINE), keys(key_uri="skd://1"), "is for fairplay"),
        (encrypted(CENC), keys("audio", "sd"), "a key is missing for hd"),
        (encrypted(CENC), keys("sd", "hd"), "a key is missing for audio"),
        (encrypted(CENC), ContentKeys(keys=(key("audio"), key("sd"), key("hd"))), "a key_id of its own"),
        (encrypted(CENC), keys(pssh=(samples.pssh().hex() + "00",)), "is no pssh box"),
        (encrypted(CENC), keys(pssh=(samples.pssh(data=b"x").replace(b"pssh", b"psst").hex(),)), "is no pssh box"),
        (encrypted(CENC), keys(pssh=(samples.pssh(system=bytes(16)).hex(),)), "none of widevine"),
        (encrypted(CENC), keys(pssh=(samples.pssh().hex()[:-8] + "00000009",)), "do not add up"),
    ],
)
def test_keys_that_do_not_fit_are_refused(packaging: CmafPackaging, brought: ContentKeys | None, told: str) -> None:
    with pytest.raises(ReelyardError, match=told) as refused:
        packaging_rules.check_keys(profile(packaging, 360, 720), brought)

    assert (refused.value.status, "content_keys" in refused.value.message) == (422, True)
    assert SECRET not in f"{refused.value.message} {refused.value.details}"


def test_keys_are_in_no_text_that_python_makes_of_them() -> None:
    brought = keys("audio", "sd", iv="ab" * 16)

    assert SECRET not in f"{brought!r} {brought}"
    assert "ab" * 16 not in f"{brought!r} {brought}"
