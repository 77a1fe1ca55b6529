"""Files beside the input on their way to the engines that use them, and away again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.core.tus import Creation, Piece
from protocol.errors import ErrorCode, ReelyardError
from protocol.extras import Subtitles
from protocol.jobs import Attachment, JobInput
from protocol.pictures import BurnIn
from protocol.profiles import OutputOverrides
from tests.contract.services_world import CLIENT, World, world
from tests.contract.test_services_publishing import FILM
from tests.contract.test_uploads_jobs import PNG
from tests.contract.test_uploads_service import whole

TEXT = b"1\n00:00:01,000 --> 00:00:02,000\nGood evening.\n"
MARKED = OutputOverrides.model_validate({"watermark": {}, "subtitles": {}})


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "film.mp4").write_bytes(FILM)
    async with world(tmp_path, allowed_roots=[tmp_path]) as made:
        yield made


async def uploaded(farm: World, name: str, content: bytes) -> str:
    services = farm.core.services
    upload = (await services.upload_creation.create(CLIENT, Creation(len(content), "", name))).upload
    assert upload is not None
    await services.uploads.receive(CLIENT, upload.upload_id, Piece(0), whole(content))
    return upload.upload_id


async def submitted(farm: World, files: dict[str, Attachment], outputs: OutputOverrides = MARKED) -> str:
    path = str(farm.root.parent / "film.mp4")
    return await farm.submit(profile="web", input=JobInput(path=path), outputs=outputs, attachments=files)


def refusal(raised: pytest.ExceptionInfo[ReelyardError]) -> tuple[ErrorCode, str]:
    problems = raised.value.details["problems"]
    assert isinstance(problems, list)
    return raised.value.code, problems[0]["field"]


async def test_a_file_is_kept_under_the_jobs_own_name_and_outlives_its_upload(farm: World) -> None:
    upload_id = await uploaded(farm, "logo.PNG", PNG)
    job_id = await submitted(farm, {"watermark": Attachment(upload_id=upload_id)})
    await farm.core.services.uploads.end(CLIENT, upload_id)

    assert (farm.root / "default" / "raw" / f"{job_id}_attachment-watermark.png").read_bytes() == PNG


async def test_its_bytes_are_served_by_the_link_of_a_task_that_reads_it_and_by_no_other_name(farm: World) -> None:
    files = {
        "watermark": Attachment(upload_id=await uploaded(farm, "logo.png", PNG)),
        "english": Attachment(upload_id=await uploaded(farm, "english.srt", TEXT), language="en"),
    }
    engine = await farm.register()
    job_id = await submitted(farm, files)
    analysis = await farm.grant(engine.engine_id, job_id)
    assert analysis.input is not None
    signature = analysis.input.url.split("/")[3]

    async def served(name: str) -> bytes:
        found = await farm.core.services.files.open_signed(signature, "GET", f"inputs/{job_id}/{name}")
        return b"".join([block async for block in farm.core.services.files.blocks(found, 0, found.size)])

    assert (await served("attachment-watermark"), await served("attachment-english"), await served("source")) == (PNG, TEXT, FILM)
    with pytest.raises(ReelyardError) as raised:
        await served("attachment-other")
    assert raised.value.code is ErrorCode.FILE_NOT_FOUND


@pytest.mark.parametrize(
    ("files", "outputs", "field"),
    [
        ({}, OutputOverrides.model_validate({"watermark": {}}), "attachments.watermark"),
        ({}, OutputOverrides(burn_in=BurnIn(attachment="english")), "attachments.english"),
        ({"watermark": TEXT}, OutputOverrides.model_validate({"watermark": {}}), "attachments.watermark"),
        ({"english": PNG}, OutputOverrides(subtitles=Subtitles()), "attachments.english"),
        ({"intro": TEXT}, OutputOverrides(concat=("intro", "input")), "attachments.intro"),
        ({"english": TEXT}, OutputOverrides(), "attachments.english"),
        ({"watermark": PNG, "english": PNG}, MARKED, "attachments.english"),
    ],
    ids=["no watermark", "no subtitles", "text for a picture", "a picture for text", "text for a film", "of no use", "second"],
)
async def test_what_is_missing_wrong_or_of_no_use_is_refused_and_nothing_stays(
    farm: World, files: dict[str, bytes], outputs: OutputOverrides, field: str
) -> None:
    brought = {name: Attachment(upload_id=await uploaded(farm, f"{name}.bin", content)) for name, content in files.items()}

    with pytest.raises(ReelyardError) as raised:
        await submitted(farm, brought, outputs)

    assert refusal(raised) == (ErrorCode.VALIDATION_FAILED, field)
    assert list((farm.root / "default").rglob("*attachment*")) == []


async def test_a_purge_of_the_job_takes_the_file_away(farm: World) -> None:
    job_id = await submitted(farm, {"watermark": Attachment(upload_id=await uploaded(farm, "logo.png", PNG))})
    services = farm.core.services
    await services.jobs.cancel(CLIENT, job_id)
    await services.care.purges.purge_job(CLIENT, job_id)
    await farm.duty("removals")

    assert list((farm.root / "default").rglob("*attachment*")) == []
