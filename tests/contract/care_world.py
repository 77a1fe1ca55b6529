"""Jobs with files behind them, for the tests of purges, retention and downloads."""

from __future__ import annotations

from collections.abc import Mapping

from dispatch.services.submissions import Sent
from protocol.errors import ErrorCode, FailureClass
from protocol.jobs import JobSubmission
from protocol.leases import Complete, Fail, Start
from protocol.results import AttemptResult, Failure
from tests.contract.services_world import CLIENT, World, blocks_of, job_of
from tests.contract.test_services_publishing import FILM, MADE, staged
from tests.unit.dispatch_jobs import analyzed, video


async def uploaded(farm: World, **fields: object) -> str:
    """A pending job whose original lies in the storage."""
    submissions = farm.core.services.submissions
    place = submissions.begin_upload(CLIENT, "film.mp4")
    written = await farm.core.services.storage.write(place.path, blocks_of(FILM))
    submission = JobSubmission.model_validate({"profile": "web", **fields})
    return job_of(await submissions.submit_upload(CLIENT, place, Sent(written), submission, None))


async def completed(farm: World, files: Mapping[str, bytes] = MADE, **fields: object) -> str:
    """One that has been made and published, with these files."""
    job_id = await transcoded(farm, files, **fields)
    await farm.duty("promotion")
    return job_id


async def transcoded(farm: World, files: Mapping[str, bytes] = MADE, **fields: object) -> str:
    """One whose files are staged and reported: it waits to be published."""
    job_id, engine_id = await uploaded(farm, **fields), (await farm.register()).engine_id
    analysis = await farm.grant(engine_id, job_id)
    report = analyzed(analysis.token, video(1920, 1080)).model_copy(update={"task_id": analysis.task_id})
    await farm.settle(engine_id, Start(task_id=analysis.task_id, token=analysis.token), report)
    grant = await farm.grant(engine_id, job_id)
    for path, content in files.items():
        await farm.stage(grant, path, content)
    result = AttemptResult(files=tuple(staged(path, content) for path, content in files.items()), log_tail="frame=1")
    done = Complete(task_id=grant.task_id, token=grant.token, result=result)
    await farm.settle(engine_id, Start(task_id=grant.task_id, token=grant.token), done)
    return job_id


async def failed(
    farm: World, code: ErrorCode = ErrorCode.TOOL_FAILED, kind: FailureClass = FailureClass.ENGINE, **fields: object
) -> str:
    """One whose analysis failed for good."""
    job_id, engine_id = await uploaded(farm, **{"max_attempts": 1, **fields}), (await farm.register()).engine_id
    grant = await farm.grant(engine_id, job_id)
    failure = Failure(failure_class=kind, code=code, message="it broke", evidence={"exit": "1"}, log_tail="oh no")
    start = Start(task_id=grant.task_id, token=grant.token)
    await farm.settle(engine_id, start, Fail(task_id=grant.task_id, token=grant.token, failure=failure))
    assert await farm.states(job_id) == ("failed", "failed", "waiting", "waiting")
    return job_id
