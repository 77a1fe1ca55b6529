"""What of a job plays, what a link of playback opens, what caches may keep, and which keys are given away."""

from __future__ import annotations

import pytest

from dispatch.core import playback
from dispatch.core.playback import Asked, Made, Playable
from protocol.packaging import ContentKey, ContentKeys, DrmSystem, Encryption, ProtectionScheme
from protocol.playback import ClearKey, ClearKeyReply
from protocol.results import FileRole, OutputFacts

R = FileRole
KEY_ID, KEY = "0123456789abcdef0123456789abcdef", "00112233445566778899aabbccddeeff"
KEYS = ContentKeys(keys=(ContentKey(key_id=KEY_ID, key=KEY),))
ELSEWHERE = KEYS.model_copy(update={"key_uri": "https://keys.example/1"})


def made(path: str, role: FileRole, height: int | None = None) -> Made:
    return Made(path, 1000, OutputFacts(role=role, height=height))


LADDER = (
    made("360p/video_360p.mp4", R.RENDITION, 360),
    made("720p/video_720p.mp4", R.RENDITION, 720),
    made("audio/audio.mp3", R.AUDIO),
    made("thumbnails/thumb_00.jpg", R.THUMBNAIL),
)
PACKAGE = (made("hls/master.m3u8", R.MASTER_PLAYLIST), made("dash/manifest.mpd", R.MANIFEST))


@pytest.mark.parametrize(
    ("files", "protected", "wanted"),
    [
        ((*LADDER, *PACKAGE), False, Playable("hls/master.m3u8", "dash/manifest.mpd", "720p/video_720p.mp4")),
        (LADDER, False, Playable(None, None, "720p/video_720p.mp4")),
        (LADDER[2:], False, Playable(None, None, "audio/audio.mp3")),
        (LADDER[3:], False, Playable(None, None, None)),
        ((*LADDER, *PACKAGE[1:]), True, Playable(None, "dash/manifest.mpd", None)),
    ],
)
def test_what_plays_best_is_chosen(files: tuple[Made, ...], protected: bool, wanted: Playable) -> None:
    found = playback.playable(files, protected=protected)

    assert (found, found.best) == (wanted, wanted.hls or wanted.dash or wanted.single)


@pytest.mark.parametrize(
    ("path", "clear", "protected"),
    [
        ("hls/master.m3u8", True, True),
        ("cmaf/360p/segment_000.m4s", True, True),
        ("thumbnails/thumb_00.jpg", True, True),
        ("thumbnails/sprite.vtt", True, True),
        ("360p/video_360p.mp4", True, False),
        ("audio/audio.mp3", True, False),
        ("360p/segments/segment_000.ts", True, False),
        ("frames/frames.zip", True, False),
        ("metadata.json", False, False),
        ("raw/video_original.mp4", False, False),
        ("cmafia/secret.mp4", True, False),
        ("cmaf/video_cmaf.mp4", True, False),
    ],
)
def test_a_link_of_playback_opens_what_is_played_and_of_an_encrypted_job_nothing_clear(
    path: str, clear: bool, protected: bool
) -> None:
    assert (playback.opens(path, protected=False), playback.opens(path, protected=True)) == (clear, protected)


def test_path_below_the_outputs_is_what_follows_the_job() -> None:
    assert playback.below_outputs("acme/processed/job_1/hls/master.m3u8") == "hls/master.m3u8"


@pytest.mark.parametrize(
    ("path", "key", "licence"),
    [
        (f"acme/processed/job_1/key/{KEY_ID}", Asked("job_1", KEY_ID), None),
        (f"acme/processed/job_1/key/{KEY_ID.upper()}", None, None),
        ("acme/processed/job_1/key/../x", None, None),
        ("acme/processed/job_1/licence/clearkey", None, Asked("job_1", "clearkey")),
        ("acme/processed/job_1/licence/widevine", None, Asked("job_1", "widevine")),
        ("acme/processed/job_1/licence/common", None, None),
        ("licence/widevine", None, None),
        (f"acme/processed/job_1/job_2/key/{KEY_ID}", None, None),
        (f"acme/processed/job_1/other/processed/job_2/key/{KEY_ID}", None, None),
        ("acme/processed/job_1/job_2/licence/clearkey", None, None),
    ],
)
def test_keys_and_licences_are_told_from_files_by_their_path(path: str, key: Asked | None, licence: Asked | None) -> None:
    assert (playback.asked_key(path), playback.asked_licence(path)) == (key, licence)


@pytest.mark.parametrize(
    ("path", "left_s", "wanted"),
    [
        ("hls/master.m3u8", 500.0, "private, no-cache"),
        ("dash/manifest.mpd", 500.0, "private, no-cache"),
        ("cmaf/360p/segment_000.m4s", 500.9, "public, max-age=500, immutable"),
        ("cmaf/360p/segment_000.m4s", 1e9, "public, max-age=86400, immutable"),
        ("cmaf/360p/segment_000.m4s", -1.0, "public, max-age=0, immutable"),
    ],
)
def test_segments_are_kept_while_the_link_lives_and_playlists_are_asked_for_again(path: str, left_s: float, wanted: str) -> None:
    assert playback.cache_control(path, left_s) == wanted


@pytest.mark.parametrize(
    ("scheme", "systems", "keys", "key", "clearkey"),
    [
        (ProtectionScheme.AES_128, (), KEYS, True, False),
        (ProtectionScheme.AES_128, (), ELSEWHERE, False, False),
        (ProtectionScheme.CENC, (), KEYS, True, True),
        (ProtectionScheme.CBCS, (DrmSystem.COMMON,), KEYS, True, True),
        (ProtectionScheme.CBCS, (DrmSystem.COMMON,), ELSEWHERE, False, True),
        (ProtectionScheme.CENC, (DrmSystem.WIDEVINE,), KEYS, False, False),
        (ProtectionScheme.CENC, (DrmSystem.WIDEVINE, DrmSystem.COMMON), KEYS, False, False),
    ],
)
def test_bare_keys_are_given_only_where_no_drm_is_meant_to_guard_them(
    scheme: ProtectionScheme, systems: tuple[DrmSystem, ...], keys: ContentKeys, key: bool, clearkey: bool
) -> None:
    encryption = Encryption(scheme=scheme, systems=systems)

    assert (playback.gives_key(encryption, keys), playback.gives_clearkey(encryption)) == (key, clearkey)


def test_key_is_sixteen_bytes_of_the_job_itself() -> None:
    assert (playback.key_of(KEYS, KEY_ID), playback.key_of(KEYS, KEY)) == (bytes.fromhex(KEY), None)


def test_clearkey_answers_each_known_key_once_in_base64url_without_padding() -> None:
    known, unknown = "ASNFZ4mrze8BI0VniavN7w", "A" * 22

    assert playback.clearkey_reply(KEYS, (unknown, known, known)) == ClearKeyReply(
        keys=(ClearKey(kid=known, k="ABEiM0RVZneImaq7zN3u_w"),)
    )


def test_keys_stand_in_no_text_of_their_messages() -> None:
    reply = playback.clearkey_reply(KEYS, ("ASNFZ4mrze8BI0VniavN7w",))

    assert "ABEiM0RVZneImaq7zN3u_w" not in repr(reply)
