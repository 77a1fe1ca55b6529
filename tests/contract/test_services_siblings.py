"""Tasks that read what a sibling staged: the links they get, what is published of it, and who waits for whom."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from dispatch.core.ladder import SPEECH_PATH
from protocol.capabilities import Capabilities, RegisterReply, RegisterRequest
from protocol.extras import Transcription
from protocol.jobs import JobInput
from protocol.leases import Complete, Grant, Start
from protocol.profiles import OutputOverrides
from protocol.results import AttemptResult, FileRole, OutputFacts, StagedFile
from tests.contract.services_world import BOOT, CAN, CLIENT, SLOTS, World, world
from tests.unit.dispatch_jobs import analyzed, video

FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(100)
SOUND, WORDS = b"the sound", b"the words"
HEARS = frozenset({"operation:transcribe", "speech:en"})
pytestmark = pytest.mark.asyncio


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    media = tmp_path / "media"
    media.mkdir()
    (media / "film.mp4").write_bytes(FILM)
    (tmp_path / "storage").mkdir()
    async with world(tmp_path, allowed_roots=[media]) as made:
        yield made


async def register(farm: World, provided: frozenset[str], known: RegisterReply | None = None) -> RegisterReply:
    request = RegisterRequest(
        name="box",
        hostname="box.local",
        boot_id=BOOT,
        version="0.1",
        capabilities=Capabilities(provided=provided),
        slots=SLOTS,
        engine_id=None if known is None else known.engine_id,
    )
    credential = None if known is None else known.credential
    return await farm.core.services.engines.register(request, credential=credential, has_registration_token=known is None)


async def done(farm: World, engine_id: str, grant: Grant, path: str, content: bytes, facts: OutputFacts) -> None:
    await farm.stage(grant, path, content)
    file = StagedFile(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest(), facts=facts)
    report = Complete(task_id=grant.task_id, token=grant.token, result=AttemptResult(files=(file,)))
    settled = await farm.settle(engine_id, Start(task_id=grant.task_id, token=grant.token), report)
    assert [answer.error for answer in settled] == [None, None]


async def with_sound(farm: World, engine_id: str) -> tuple[str, Grant]:
    """A job whose encode has staged its sound, and the grant of that encode."""
    wish = OutputOverrides(transcription=Transcription(language="en"))
    path = str(farm.root.parent / "media" / "film.mp4")
    job_id = await farm.submit(profile="web", input=JobInput(path=path), outputs=wish)
    analysis = await farm.grant(engine_id, job_id)
    report = analyzed(analysis.token, video(1920, 1080)).model_copy(update={"task_id": analysis.task_id})
    await farm.settle(engine_id, Start(task_id=analysis.task_id, token=analysis.token), report)
    encode = await farm.grant(engine_id, job_id)
    await done(farm, engine_id, encode, SPEECH_PATH, SOUND, OutputFacts(role=FileRole.SPEECH))
    return job_id, encode


async def test_a_task_reads_the_file_of_the_token_that_settled_its_sibling(farm: World) -> None:
    engine = await register(farm, CAN | HEARS)
    job_id, encode = await with_sound(farm, engine.engine_id)

    grant = await farm.grant(engine.engine_id, job_id)
    repeated = await farm.core.leases.granted_before(engine.engine_id, f"req-{grant.task_id}")
    (read,) = grant.inputs
    signature, _, path = read.access.url.removeprefix("/files/s/").partition("/")
    found = await farm.core.services.files.open_signed(signature, "GET", path)

    assert (grant.kind, grant.input, read.name) == ("transcribe", None, "speech")
    assert path == f"staging/{job_id}/{encode.task_id}/{encode.token}/{SPEECH_PATH}"
    assert (found.size, read.access.size, read.access.sha256) == (len(SOUND), len(SOUND), hashlib.sha256(SOUND).hexdigest())
    assert repeated == (grant,)


async def test_what_is_staged_for_a_sibling_alone_is_neither_published_nor_listed_nor_kept(farm: World) -> None:
    engine = await register(farm, CAN | HEARS)
    job_id, _ = await with_sound(farm, engine.engine_id)
    grant = await farm.grant(engine.engine_id, job_id)
    facts = OutputFacts(role=FileRole.TRANSCRIPT, language="en", word_count=2, model="tiny")
    await done(farm, engine.engine_id, grant, "transcription/transcript.txt", WORDS, facts)

    await farm.duty("promotion")
    links = await farm.core.services.care.outputs.links(CLIENT, job_id, expires_in=60)
    metadata = orjson.loads((farm.root / f"default/processed/{job_id}/metadata.json").read_bytes())

    assert await farm.states(job_id) == ("completed", "done", "done", "done")
    assert {link.path for link in links.files} == {"transcription/transcript.txt", "metadata.json"}
    assert [file for file in farm.files() if "staging" in file or "speech" in file] == []
    assert (metadata["transcription_language"], metadata["whisper_model"]) == ("en", "tiny")
    assert metadata["outputs"]["transcription"] == {
        "text": {"path": "transcription/transcript.txt", "size_bytes": len(WORDS)},
        "language": "en",
        "word_count": 2,
        "whisper_model": "tiny",
        "processing_time_seconds": None,
    }
    assert list(metadata["recipe"]["sha256"]) == ["transcription/transcript.txt"]


async def test_an_optional_transcription_that_nobody_can_do_any_more_is_left_out_after_a_while(farm: World) -> None:
    engine = await register(farm, CAN | HEARS)
    job_id, _ = await with_sound(farm, engine.engine_id)
    await register(farm, CAN, engine)

    await farm.duty("stranded")
    farm.clock.advance(299.0)
    await farm.duty("stranded")
    waiting = await farm.states(job_id)
    farm.clock.advance(1.0)
    await farm.duty("stranded")

    assert waiting == ("transcoding", "done", "done", "pending")
    assert await farm.states(job_id) == ("completing", "done", "done", "skipped")


async def test_an_engine_that_comes_back_in_time_still_does_it(farm: World) -> None:
    engine = await register(farm, CAN | HEARS)
    job_id, _ = await with_sound(farm, engine.engine_id)
    engine = (await register(farm, CAN, engine)).model_copy(update={"credential": engine.credential})
    await farm.duty("stranded")
    farm.clock.advance(200.0)
    await register(farm, CAN | HEARS, engine)
    await farm.duty("stranded")
    farm.clock.advance(200.0)

    await farm.duty("stranded")

    assert await farm.states(job_id) == ("transcoding", "done", "done", "pending")
