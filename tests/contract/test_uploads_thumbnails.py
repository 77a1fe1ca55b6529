"""A client's own thumbnail on its way to the outputs: the primary one, as the engine encoded it anew; as it was sent where an
engine of an older version did the task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from dispatch.core.tus import Creation, Piece
from protocol.jobs import JobInput, Thumbnail
from protocol.leases import Complete, Start
from protocol.results import AttemptResult, FileRole, OutputFacts, StagedFile
from tests.contract.services_world import CLIENT, World, world
from tests.contract.storage_adapters import digest
from tests.contract.test_services_publishing import FILM
from tests.contract.test_uploads_jobs import PNG
from tests.contract.test_uploads_service import whole
from tests.unit.dispatch_jobs import analyzed, video

CUSTOM, SHOT = "thumbnails/thumb_custom.png", "thumbnails/thumb_25.jpg"
ENCODED = "thumbnails/thumb_custom.jpg"


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "film.mp4").write_bytes(FILM)
    async with world(tmp_path, allowed_roots=[tmp_path]) as made:
        yield made


async def completing(farm: World, *, with_picture: bool, encoded: bytes | None = None) -> str:
    """A job in completing, with one shot of its own, and the client's picture as it was `encoded`."""
    uploads = farm.core.services.uploads
    upload = (await farm.core.services.upload_creation.create(CLIENT, Creation(len(PNG), "", "mine.png"))).upload
    assert upload is not None
    await uploads.receive(CLIENT, upload.upload_id, Piece(0), whole(PNG))
    engine = await farm.register()
    path = str(farm.root.parent / "film.mp4")
    thumbnail = Thumbnail(upload_id=upload.upload_id) if with_picture else None
    job_id = await farm.submit(profile="web", input=JobInput(path=path), thumbnail=thumbnail)
    await uploads.end(CLIENT, upload.upload_id)
    analysis = await farm.grant(engine.engine_id, job_id)
    report = analyzed(analysis.token, video(1920, 1080)).model_copy(update={"task_id": analysis.task_id})
    await farm.settle(engine.engine_id, Start(task_id=analysis.task_id, token=analysis.token), report)
    grant = await farm.grant(engine.engine_id, job_id)
    await farm.stage(grant, SHOT, b"shot")
    facts = OutputFacts(role=FileRole.THUMBNAIL, percent=25, at=1.0)
    files = [StagedFile(path=SHOT, size=4, sha256=digest(b"shot"), facts=facts)]
    assert [one.name for one in grant.inputs] == (["thumbnail"] if with_picture else [])
    if encoded is not None:
        await farm.stage(grant, ENCODED, encoded)
        own = OutputFacts(role=FileRole.THUMBNAIL, is_own=True)
        files.append(StagedFile(path=ENCODED, size=len(encoded), sha256=digest(encoded), facts=own))
    result = AttemptResult(files=tuple(files))
    done = Complete(task_id=grant.task_id, token=grant.token, result=result)
    await farm.settle(engine.engine_id, Start(task_id=grant.task_id, token=grant.token), done)
    return job_id


async def test_the_clients_picture_is_published_as_it_was_encoded_anew(farm: World) -> None:
    job_id = await completing(farm, with_picture=True, encoded=b"anew")
    await farm.duty("promotion")

    target = farm.root / "default" / "processed" / job_id
    metadata = orjson.loads((target / "metadata.json").read_bytes())
    links = await farm.core.services.care.outputs.links(CLIENT, job_id, expires_in=60)

    assert ((target / ENCODED).read_bytes(), (target / CUSTOM).exists()) == (b"anew", False)
    told = metadata["outputs"]["thumbnails"]
    assert told["custom"] == {"path": ENCODED, "size_bytes": 4, "source": "upload", "is_primary": True}
    assert [shot["is_primary"] for shot in told["auto_generated"]] == [False]
    assert metadata["recipe"]["sha256"] == {ENCODED: digest(b"anew"), SHOT: digest(b"shot")}
    assert [link.path for link in links.files if "custom" in link.path] == [ENCODED]


async def test_without_a_need_for_what_was_sent_its_loss_harms_nothing(farm: World) -> None:
    job_id = await completing(farm, with_picture=True, encoded=b"anew")
    (farm.root / "default" / "raw" / f"{job_id}_thumbnail.png").unlink()
    await farm.duty("promotion")

    assert (await farm.graph(job_id)).job.state == "completed"


async def test_a_picture_that_no_task_encoded_is_published_as_it_was_sent(farm: World) -> None:
    job_id = await completing(farm, with_picture=True)
    await farm.duty("promotion")

    target = farm.root / "default" / "processed" / job_id
    metadata = orjson.loads((target / "metadata.json").read_bytes())
    view = await farm.core.services.jobs.get(CLIENT, job_id)
    links = await farm.core.services.care.outputs.links(CLIENT, job_id, expires_in=60)

    assert (target / CUSTOM).read_bytes() == PNG
    told = metadata["outputs"]["thumbnails"]
    assert told["custom"] == {"path": CUSTOM, "size_bytes": len(PNG), "source": "upload", "is_primary": True}
    assert [shot["is_primary"] for shot in told["auto_generated"]] == [False]
    assert metadata["recipe"]["sha256"][CUSTOM] == digest(PNG)
    assert view.outputs is not None
    assert view.outputs["thumbnails"]["custom"]["url"] == f"/api/v1/jobs/{job_id}/files/{CUSTOM}"  # type: ignore[index, call-overload]  # JSON
    assert [(link.path, link.role, link.sha256) for link in links.files if link.path == CUSTOM] == [
        (CUSTOM, "thumbnail", digest(PNG))
    ]


async def test_without_a_picture_the_profile_names_the_primary_one(farm: World) -> None:
    job_id = await completing(farm, with_picture=False)
    await farm.duty("promotion")

    metadata = orjson.loads((farm.root / "default" / "processed" / job_id / "metadata.json").read_bytes())
    told = metadata["outputs"]["thumbnails"]
    assert ([shot["is_primary"] for shot in told["auto_generated"]], "custom" in told) == ([True], False)


async def test_a_picture_that_is_lost_fails_the_job_and_redoes_nothing(farm: World) -> None:
    job_id = await completing(farm, with_picture=True)
    (farm.root / "default" / "raw" / f"{job_id}_thumbnail.png").unlink()
    await farm.duty("promotion")

    graph = await farm.graph(job_id)
    assert (graph.job.state, orjson.loads(graph.job.error_json or "{}")["code"]) == ("failed", "STAGED_FILE_LOST")
    assert await farm.states(job_id) == ("failed", "done", "done", "skipped")
