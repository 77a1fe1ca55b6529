"""What is tried at an engine's start: a second of film packaged, then encrypted and read with its key."""

from __future__ import annotations

from plugins.media.calling import quiet
from plugins.packager.locks import FLAGS, KEY
from protocol.plugins import Invocation, Limits

VERSION, CLIP, TRIAL, SEALED, SEALED_TS, OPENED = "version", "clip", "trial", "sealed", "sealed_ts", "opened"
TRIAL_LIMITS = Limits(wall_s=30.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=4 << 20)

KNOWN_KEY = "101112131415161718191a1b1c1d1e1f"
"""No secret: it encrypts a test picture."""

_FLAGS = f"--enable_raw_key_encryption\n--keys=label=all:key_id={'00' * 16}:key={KNOWN_KEY}\n--hls_key_uri={KEY}\n"
_SCRIPT = "trial.ffconcat"


def probes(ffmpeg: str, packager: str, directory: str) -> tuple[Invocation, ...]:
    """All below `directory`, which is where they run."""
    picture = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25", "-frames:v", "25", "-pix_fmt", "yuv420p")
    clip = (ffmpeg, "-y", *quiet(), *picture, "-c:v", "libx264", f"file:{directory}/trial.mp4")
    head = f"in={directory}/trial.mp4,stream=video"
    plain = f"{head},init_segment={directory}/init.mp4,segment_template={directory}/$Number$.m4s"
    sealed = f"{head},drm_label=all,init_segment={directory}/sealed.mp4,segment_template={directory}/sealed$Number$.m4s"
    in_ts = f"{head},drm_label=all,segment_template={directory}/sealed$Number$.ts,playlist_name=sealed.m3u8"
    locked = (f"--flagfile={FLAGS}", "--clear_lead", "0", "--protection_scheme")
    dash = ("--generate_static_live_mpd", "--mpd_output")
    argvs = {
        VERSION: (packager, "--version"),
        CLIP: clip,
        TRIAL: (packager, "--quiet", plain, *dash, f"{directory}/trial.mpd"),
        SEALED: (packager, "--quiet", sealed, *locked, "cbcs", *dash, f"{directory}/sealed.mpd"),
        SEALED_TS: (packager, "--quiet", in_ts, *locked, "aes128", "--hls_master_playlist_output", f"{directory}/all.m3u8"),
        OPENED: (ffmpeg, *quiet(), "-xerror", *_opened(directory), "-map", "0:v", "-map", "1:v", "-f", "null", "-"),
    }
    script = (
        f"ffconcat version 1.0\nfile 'concat:{directory}/sealed.mp4|{directory}/sealed1.m4s'\noption decryption_key {KNOWN_KEY}\n"
    )
    secrets = {
        SEALED: ((FLAGS, _FLAGS.encode()),),
        SEALED_TS: ((FLAGS, _FLAGS.encode()),),
        OPENED: ((_SCRIPT, script.encode()), (KEY, bytes.fromhex(KNOWN_KEY))),
    }
    return tuple(
        Invocation(name=name, argv=argv, limits=TRIAL_LIMITS, secrets=secrets.get(name, ())) for name, argv in argvs.items()
    )


def _opened(directory: str) -> tuple[str, ...]:
    by_script = ("-protocol_whitelist", "file,concat", "-f", "concat", "-safe", "0", "-i", f"file:{directory}/{_SCRIPT}")
    by_playlist = ("-protocol_whitelist", "file,crypto", "-allowed_extensions", "ALL", "-i", f"file:{directory}/sealed.m3u8")
    return (*by_script, *by_playlist)
