"""A whole encrypted job on a farm: it plays with its key, and the key is nowhere else."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.packager.plugin import PackagerPlugin
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobSubmission
from protocol.packaging import ContentKeys
from protocol.states import JobState
from tests.farm import Farm, farm
from tests.media import make_clip, run_ffmpeg
from tests.rules import dash_rules, files_of, hls_rules

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

KID, KEY = "00112233445566778899aabbccddeeff", "9a0e0d0c0b0a09080706050403020199"
KEYS = ContentKeys.model_validate({"keys": ({"key_id": KID, "key": KEY},), "iv": "7b" * 16})
SEALED = """
name = "sealed"
thumbnails = {}

[[renditions]]
name = "180p"
height = 180
crf = 28
preset = "ultrafast"
audio = { bitrate = 96000, sample_rate = 44100 }

[packaging]
segment_seconds = 1
format = "ts"
dash = false
encryption = { scheme = "aes-128" }
"""


SPOKEN = """
name = "spoken"

[[renditions]]
name = "180p"
height = 180
crf = 28
preset = "ultrafast"
audio = { bitrate = 96000, sample_rate = 44100 }

[sound]
tracks = "all"

[subtitles]

[packaging]
segment_seconds = 1
"""


def spoken_clip(path: Path) -> Path:
    """Two sounds and a text besides the picture."""
    words = path.with_suffix(".srt")
    words.write_text("1\n00:00:00,200 --> 00:00:01,500\nGuten Tag\n")
    made = [word for n in (440, 550) for word in ("-f", "lavfi", "-i", f"sine=frequency={n}:sample_rate=48000")]
    maps = ("-map", "0:v", "-map", "1:a", "-map", "2:a", "-map", "3:s", "-t", "2", "-c:v", "libx264", "-preset", "ultrafast")
    told = [word for n, code in enumerate(("eng", "deu")) for word in (f"-metadata:s:a:{n}", f"language={code}")]
    picture = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25")
    coded = ("-pix_fmt", "yuv420p", "-c:a", "aac", "-c:s", "srt", "-metadata:s:s:0", "language=deu")
    run_ffmpeg(*picture, *made, "-i", str(words), *maps, *coded, *told, str(path))
    return path


def _has_packager() -> bool:
    try:
        PackagerPlugin().probes("/nowhere")
    except ReelyardError:
        return False
    return True


def forms(text: str) -> Iterator[bytes]:
    raw = bytes.fromhex(text)
    yield from (raw, text.encode(), text.upper().encode(), base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"="))


def words_of_all() -> bytes:
    """The arguments of every process there is now."""
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes()
        except OSError:  # it ended meanwhile
            continue
    return found


async def sealed_job(made: Farm, clip: Path) -> tuple[str, bytes]:
    """Its id, and everything the API tells of it; meanwhile no process has the key among its arguments."""
    async with made.client() as client, asyncio.timeout(60):
        submission = JobSubmission(profile="sealed", content_keys=KEYS)
        with pytest.raises(ReelyardError, match="content_keys: is required") as refused:
            await client.upload(clip, JobSubmission(profile="sealed"))
        assert refused.value.code is ErrorCode.VALIDATION_FAILED
        job = await client.upload(clip, submission, key="once-and-again")
        while (job := await client.get(job.job_id)).state not in (JobState.COMPLETED, JobState.FAILED):
            assert KEY.encode() not in words_of_all()
            await asyncio.sleep(0.05)
        assert job.state is JobState.COMPLETED, job.error
        again = await client.upload(clip, submission, key="once-and-again")
        outputs, log = await client.outputs(job.job_id), await client.log(job.job_id)
    return job.job_id, "".join(one.model_dump_json() for one in (job, again, outputs, log)).encode()


async def spoken_job(made: Farm, clip: Path) -> dict[str, bytes]:
    async with made.client() as client, asyncio.timeout(60):
        job = await client.wait((await client.upload(clip, JobSubmission(profile="spoken"))).job_id)
        log = await client.log(job.job_id)
    assert job.state is JobState.COMPLETED, (job.error, log)
    return files_of(made.storage / "default/processed" / job.job_id)


@pytest.mark.skipif(not _has_packager(), reason="Shaka Packager is not installed (pip install 'reelyard[ffmpeg]')")
async def test_an_encrypted_job_plays_with_its_key_which_is_nowhere_else(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=2, size=(320, 180))
    async with farm(tmp_path / "farm") as made:
        (made.data / "profiles").mkdir(parents=True)
        (made.data / "profiles/sealed.toml").write_text(SEALED)
        (made.data / "profiles/spoken.toml").write_text(SPOKEN)
        dispatch = await made.start_dispatch()
        engine = await made.start_engine("box")
        await engine.said("engine_registered")
        job_id, told = await sealed_job(made, clip)
        spoken = await spoken_job(made, spoken_clip(tmp_path / "spoken.mkv"))
        logs = "\n".join((*dispatch.log.text, *engine.log.text)).encode()
        assert await engine.terminate() == 0

    published = files_of(made.storage / "default/processed" / job_id)
    assert hls_rules.broken(published, keys={f"../../key/{KID}": bytes.fromhex(KEY)}) == []
    assert (hls_rules.broken(spoken), dash_rules.broken(spoken)) == ([], [])
    offered = [line for line in spoken["hls/master.m3u8"].decode().splitlines() if line.startswith("#EXT-X-MEDIA")]
    assert [(line.partition(",")[0][-9:], 'LANGUAGE="de"' in line) for line in offered] == [
        ("YPE=AUDIO", False),
        ("YPE=AUDIO", True),
        ("SUBTITLES", True),
    ]
    tools = json.loads(published["metadata.json"])["recipe"]["tools"]
    assert [use for use in tools if "--flagfile=packager.flags" in use["argv"]]
    everything = [told, logs, *(path.read_bytes() for path in (tmp_path / "farm").rglob("*") if path.is_file())]
    assert not [form for form in forms(KEY) for content in everything if form in content]
