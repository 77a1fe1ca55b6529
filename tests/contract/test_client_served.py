"""Every method of the Python client against the real server: what it answers, or the error it tells."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from client import tus
from client.api import ReelyardClient
from client.calls.base import Calls
from client.calls.uploads import UploadLimits
from client.errors import ClientError
from client.transport import RetryPolicy
from protocol import admin, care, figures, jobs, webhooks
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import FilesystemSubmission, JobInput, JobPatch, JobSubmission, S3Submission
from protocol.profiles import Profile
from protocol.uploads import UploadState, UploadView
from tests.contract.api_server import Server, served

QUICK = RetryPolicy(attempts=2, within_s=5.0, longest_wait_s=0.05)
NOOP = JobSubmission(profile="noop")
FILM = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(range(256)) * 40
NO_ONE = "job_01nosuch"
Ask = Callable[[ReelyardClient], Awaitable[object]]


@asynccontextmanager
async def client_of(server: Server, *, notes: Path | None = None, key: str = "") -> AsyncIterator[ReelyardClient]:
    async with ReelyardClient(server.url, key or server.key, retry=QUICK, notes=notes) as client:
        yield client


async def patched(client: ReelyardClient) -> object:
    return await client.patch_job(await client.submit(NOOP), JobPatch(priority=9, metadata={"a": "b"}))


async def retold(client: ReelyardClient) -> object:
    made = await client.create_tenant(admin.TenantRequest(name="studio"))
    return await client.patch_tenant(made, admin.TenantPatch(max_running=3))


async def replaced(client: ReelyardClient) -> object:
    mine = (await client.profile("web")).model_copy(update={"name": "mine"})
    await client.put_profile(mine)
    _, tag = await client.tagged_profile("mine")
    return await client.put_profile(mine.model_copy(update={"description": "better"}), tag=tag)


async def rotated(client: ReelyardClient) -> object:
    made = await client.create_key(admin.KeyRequest(name="ci", scopes=frozenset({admin.Scope.JOBS_READ})))
    return await client.rotate_key(made.key_id, overlap_s=0.0)


def upload_of(path: str) -> Ask:
    return lambda client: client.send_file(Path(path))


async def endpoint(client: ReelyardClient) -> str:
    made = await client.create_endpoint(webhooks.EndpointRequest(url="https://hooks.example.org/x"))
    return made.endpoint_id


async def changed_endpoint(client: ReelyardClient) -> object:
    return await client.patch_endpoint(await endpoint(client), webhooks.EndpointPatch(enabled=False))


ANSWERS: dict[str, tuple[Ask, object]] = {
    "submit": (lambda c: c.submit(NOOP), jobs.JobView),
    "submit_batch": (lambda c: c.submit_batch([NOOP, NOOP]), jobs.BatchReply),
    "submit_filesystem": (lambda c: c.submit_filesystem(FilesystemSubmission(file_path="/x")), ErrorCode.PATH_NOT_ALLOWED),
    "submit_s3": (lambda c: c.submit_s3(S3Submission(bucket="films", object_key="x")), ErrorCode.INPUT_KIND_UNSUPPORTED),
    "upload": (lambda c: c.upload(Path(__file__), JobSubmission(profile="web")), ErrorCode.INPUT_FORMAT),
    "validate": (lambda c: c.validate(JobSubmission(input=JobInput(path="/x"))), ErrorCode.PATH_NOT_ALLOWED),
    "get": (lambda c: c.get(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "list": (lambda c: c.list(status="failed"), jobs.JobPage),
    "patch_job": (patched, jobs.JobView),
    "cancel": (lambda c: c.cancel(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "retry": (lambda c: c.retry(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "stop": (lambda c: c.stop(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "live": (lambda c: c.live(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "playback": (lambda c: c.playback(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "purge": (lambda c: c.purge(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "purge_outputs": (lambda c: c.purge_outputs(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "why": (lambda c: c.why(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "log": (lambda c: c.log(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "wait": (lambda c: c.wait(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "outputs": (lambda c: c.outputs(NO_ONE, expires_in=60), ErrorCode.JOB_NOT_FOUND),
    "outputs_zip": (lambda c: c.outputs_zip(NO_ONE, Path("/tmp/never.zip")), ErrorCode.JOB_NOT_FOUND),
    "output_file": (lambda c: c.output_file(NO_ONE, "a/b.mp4", Path("/tmp/never")), ErrorCode.JOB_NOT_FOUND),
    "upload_view": (lambda c: c.upload_view("upl_1"), ErrorCode.UPLOAD_NOT_FOUND),
    "end_upload": (lambda c: c.end_upload("upl_1"), ErrorCode.UPLOAD_NOT_FOUND),
    "upload_limits": (lambda c: c.upload_limits(), UploadLimits),
    "send_file": (upload_of(__file__), str),
    "submit_file": (lambda c: c.submit_file(Path(__file__), JobSubmission(profile="web")), ErrorCode.INPUT_FORMAT),
    "create_endpoint": (endpoint, str),
    "endpoints": (lambda c: c.endpoints(), webhooks.EndpointPage),
    "endpoint": (lambda c: c.endpoint("whe_1"), ErrorCode.ENDPOINT_NOT_FOUND),
    "patch_endpoint": (changed_endpoint, webhooks.EndpointView),
    "delete_endpoint": (lambda c: c.delete_endpoint("whe_1"), ErrorCode.ENDPOINT_NOT_FOUND),
    "test_endpoint": (lambda c: c.test_endpoint("whe_1"), ErrorCode.ENDPOINT_NOT_FOUND),
    "endpoint_secret": (lambda c: c.endpoint_secret("whe_1"), ErrorCode.ENDPOINT_NOT_FOUND),
    "rotate_endpoint_secret": (lambda c: c.rotate_endpoint_secret("whe_1"), ErrorCode.ENDPOINT_NOT_FOUND),
    "webhook_secret": (lambda c: c.webhook_secret(), webhooks.SecretReply),
    "rotate_webhook_secret": (lambda c: c.rotate_webhook_secret(), webhooks.SecretReply),
    "deliveries": (lambda c: c.deliveries(state="dead"), webhooks.DeliveryPage),
    "delivery": (lambda c: c.delivery("whd_1"), ErrorCode.DELIVERY_NOT_FOUND),
    "redeliver": (lambda c: c.redeliver("whd_1"), ErrorCode.DELIVERY_NOT_FOUND),
    "engines": (lambda c: c.engines(limit="1"), admin.EnginePage),
    "engine": (lambda c: c.engine("eng_1"), ErrorCode.ENGINE_NOT_FOUND),
    "patch_engine": (lambda c: c.patch_engine("eng_1", admin.EnginePatch(paused=True)), ErrorCode.ENGINE_NOT_FOUND),
    "approve": (lambda c: c.approve("eng_1"), ErrorCode.ENGINE_NOT_FOUND),
    "drain": (lambda c: c.drain("eng_1"), ErrorCode.ENGINE_NOT_FOUND),
    "undrain": (lambda c: c.undrain("eng_1"), ErrorCode.ENGINE_NOT_FOUND),
    "delete_engine": (lambda c: c.delete_engine("eng_1"), ErrorCode.ENGINE_NOT_FOUND),
    "create_key": (rotated, admin.KeyCreated),
    "rotate_key": (lambda c: c.rotate_key("key_1"), ErrorCode.KEY_NOT_FOUND),
    "keys": (lambda c: c.keys(), admin.KeyPage),
    "revoke_key": (lambda c: c.revoke_key("key_1"), ErrorCode.KEY_NOT_FOUND),
    "rotate_registration_token": (lambda c: c.rotate_registration_token(), admin.RegistrationToken),
    "audit": (lambda c: c.audit(action="create_key"), admin.AuditPage),
    "create_tenant": (retold, admin.TenantView),
    "tenants": (lambda c: c.tenants(), admin.TenantPage),
    "tenant": (lambda c: c.tenant("default"), admin.TenantView),
    "profiles": (lambda c: c.profiles(), admin.ProfilePage),
    "profile": (lambda c: c.profile("web"), Profile),
    "put_profile": (replaced, Profile),
    "delete_profile": (lambda c: c.delete_profile("nosuch"), ErrorCode.NO_SUCH_PROFILE),
    "stats": (lambda c: c.stats(), figures.Stats),
    "usage": (lambda c: c.usage(tenant="default"), figures.UsagePage),
    "config": (lambda c: c.config(), figures.ConfigReply),
    "retention": (lambda c: c.retention(), care.RetentionPage),
    "dead_letters": (lambda c: c.dead_letters(), care.DeadLetterPage),
    "retry_dead_letter": (lambda c: c.retry_dead_letter(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "discard_dead_letter": (lambda c: c.discard_dead_letter(NO_ONE), ErrorCode.JOB_NOT_FOUND),
    "version": (lambda c: c.version(), admin.VersionReply),
    "health": (lambda c: c.health(), admin.Health),
    "health_part": (lambda c: c.health_part("db"), admin.ServiceHealth),
    "alive": (lambda c: c.alive(), admin.Pong),
    "ready": (lambda c: c.ready(), admin.Health),
    "openapi": (lambda c: c.openapi(), dict),
}
ELSEWHERE = {
    "all_jobs": "test_every_job_is_listed_page_by_page",
    "events": "tests/integration/test_cli_server.py",
    "watch": "tests/integration/test_cli_server.py",
    "download": "tests/integration/test_cli_server.py",
    "tagged_profile": "put_profile",
    "patch_tenant": "create_tenant",
    "close": "every one of them",
}


def test_every_method_is_tried() -> None:
    areas = [area for area in ReelyardClient.__mro__ if issubclass(area, Calls)]
    methods = {name for area in areas for name, method in vars(area).items() if inspect.isfunction(method) and name[0] != "_"}

    assert methods == set(ANSWERS) | set(ELSEWHERE)


async def test_every_method_gets_its_answer_or_the_error_the_server_tells(tmp_path: Path) -> None:
    """One server for all: a start takes longer than all these calls together."""
    got: dict[str, object] = {}
    async with served(tmp_path) as server, client_of(server) as client:
        for name, (ask, _) in ANSWERS.items():
            try:
                answer = await ask(client)
                got[name] = type(answer)
            except (ReelyardError, ClientError) as error:
                got[name] = error.code if isinstance(error, ReelyardError) else error

    assert got == {name: wanted for name, (_, wanted) in ANSWERS.items()}


async def test_every_job_is_listed_page_by_page(tmp_path: Path) -> None:
    async with served(tmp_path) as server, client_of(server) as client:
        made = [(await client.submit(NOOP)).job_id for _ in range(5)]
        listed = [job.job_id async for job in client.all_jobs(limit="2", order="asc")]

    assert listed == made


async def test_a_change_of_what_has_changed_since_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as server, client_of(server) as client:
        seen = await client.submit(NOOP)
        changed = await client.patch_job(seen, JobPatch(priority=9))
        with pytest.raises(ReelyardError) as caught:
            await client.patch_job(seen, JobPatch(priority=1))
        now = await client.get(seen.job_id)

    assert (changed.priority, now.priority, caught.value.code) == (9, 9, ErrorCode.PRECONDITION_FAILED)


async def test_a_file_goes_up_and_becomes_a_job_and_leaves_no_upload(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(FILM)
    told: list[tuple[int, int]] = []
    async with served(tmp_path / "data") as server, client_of(server, notes=tmp_path / "notes") as client:
        job = await client.submit_file(film, JobSubmission(priority=7), progress=lambda sent, total: told.append((sent, total)))
        stored = (tmp_path / "data/storage/default/raw" / f"{job.job_id}_original.mp4").read_bytes()

    assert (job.priority, stored, told) == (7, FILM, [(0, len(FILM)), (len(FILM), len(FILM))])
    assert list((tmp_path / "data/storage/uploads").iterdir()) == []
    assert list((tmp_path / "notes").iterdir()) == []


async def test_the_same_key_and_file_make_one_job_and_send_once(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(FILM)
    told: list[int] = []
    async with served(tmp_path / "data") as server, client_of(server) as client:
        first = await client.submit_file(film, JobSubmission(), key="once")
        again = await client.submit_file(film, JobSubmission(), key="once", progress=lambda sent, total: told.append(sent))
        film.write_bytes(FILM + b"more")
        with pytest.raises(ReelyardError) as other:
            await client.submit_file(film, JobSubmission(), key="once")

    assert (again.job_id, told, other.value.code) == (first.job_id, [], ErrorCode.IDEMPOTENCY_MISMATCH)


async def test_another_run_goes_on_where_this_one_was_stopped(tmp_path: Path) -> None:
    film, notes = tmp_path / "film.mp4", tmp_path / "notes"
    film.write_bytes(FILM * 2000)  # 20 MB, three pieces

    class Stopped(Exception):
        pass

    def stop(sent: int, total: int) -> None:
        if sent > 1.5 * tus.PIECE:
            raise Stopped

    told: list[int] = []
    async with served(tmp_path / "data") as server:
        async with client_of(server, notes=notes) as client:
            with pytest.raises(Stopped):
                await client.send_file(film, progress=stop)
        async with client_of(server, notes=notes) as client:
            upload_id = await client.send_file(film, progress=lambda sent, total: told.append(sent))
            view = await client.upload_view(upload_id)
        stored = (tmp_path / "data/storage/uploads" / upload_id).read_bytes()

    assert (told[0], stored == film.read_bytes()) == (tus.PIECE, True)
    assert (type(view), view.state, view.filename) == (UploadView, UploadState.FINISHED, "film.mp4")


async def test_what_is_no_film_leaves_no_upload_behind(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no film\n" * 100)
    async with served(tmp_path / "data") as server, client_of(server, notes=tmp_path / "notes") as client:
        with pytest.raises(ReelyardError) as caught:
            await client.submit_file(text, JobSubmission())

    assert caught.value.code is ErrorCode.INPUT_FORMAT
    assert list((tmp_path / "data/storage/uploads").iterdir()) == list((tmp_path / "notes").iterdir()) == []


async def test_an_upload_survives_a_refusal_that_is_not_its_fault(tmp_path: Path) -> None:
    """The submission is corrected, and the film need not go up again."""
    film, notes = tmp_path / "film.mp4", tmp_path / "notes"
    film.write_bytes(FILM)
    told: list[int] = []
    async with served(tmp_path / "data") as server, client_of(server, notes=notes) as client:
        with pytest.raises(ReelyardError) as caught:
            await client.submit_file(film, JobSubmission(profile="nosuch"))
        job = await client.submit_file(film, JobSubmission(profile="web"), progress=lambda sent, total: told.append(sent))

    assert (caught.value.code, told, job.profile) == (ErrorCode.PROFILE_NOT_FOUND, [len(FILM)], "web")


async def test_an_upload_that_expired_begins_anew(tmp_path: Path) -> None:
    film, notes = tmp_path / "film.mp4", tmp_path / "notes"
    film.write_bytes(FILM)
    async with served(tmp_path / "data") as server, client_of(server, notes=notes) as client:
        first = await client.send_file(film)
        await client.end_upload(first)
        second = await client.send_file(film)
        view = await client.upload_view(second)

    assert (first != second, view.received_bytes) == (True, len(FILM))


async def test_an_upload_whose_bytes_the_server_has_lost_goes_up_again(tmp_path: Path) -> None:
    """As after a change of its storage, or by another server that does not see the same files."""
    film, notes = tmp_path / "film.mp4", tmp_path / "notes"
    film.write_bytes(FILM)
    async with served(tmp_path / "data") as server, client_of(server, notes=notes) as client:
        first = await client.send_file(film)
        for lost in (tmp_path / "data/storage/uploads").rglob("*"):
            if lost.is_file():
                lost.unlink()
        job = await client.submit_file(film, JobSubmission(profile="web"))

    assert (first.startswith("upl_"), job.profile) == (True, "web")


async def test_a_file_that_changes_while_it_is_sent_is_no_job(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(FILM)

    def grow(sent: int, total: int) -> None:
        if sent == total:
            film.write_bytes(FILM + b"more")

    async with served(tmp_path / "data") as server, client_of(server) as client:
        with pytest.raises(ClientError) as caught:
            await client.submit_file(film, JobSubmission(), progress=grow)
        page = await client.list()

    assert ("changed while it was sent" in caught.value.message, page.jobs) == (True, ())
