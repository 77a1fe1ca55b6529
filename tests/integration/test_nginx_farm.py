"""Several dispatch servers on one PostgreSQL behind nginx, each in its turn: to clients and engines they are one server."""

from __future__ import annotations

import asyncio
import filecmp
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from client.api import ReelyardClient
from client.location import read_line
from client.sse import SseMessage, SseParser
from protocol.admin import KeyRequest, Scope
from protocol.events import EventView
from protocol.jobs import JobSubmission, JobView
from protocol.states import JobState
from tests.farm import QUICK, Farm, Member, told
from tests.servers import nginx, postgres

pytestmark = [
    pytest.mark.integration,
    pytest.mark.alone,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(nginx.program() is None, reason="nginx is not installed (make tools)"),
]

SERVERS = 2
JOBS, EVENTS_A_VISIT = 6, 3
MOST_S = 60.0


class FrontedFarm(Farm):
    """Servers with one database, one storage and one directory of secrets; `url` is nginx's."""

    servers: tuple[Member, ...] = ()
    addresses: tuple[str, ...] = ()
    shared: Mapping[str, str] = {}

    @property
    def key(self) -> str:
        return read_line(self.root / "secrets" / "admin.key") or ""

    async def open(self, database: str) -> None:
        self.shared = {
            "REELYARD_DISPATCH_DATABASE__URL": database,
            "REELYARD_DISPATCH_DATABASE__POOL_MAX": "10",
            "REELYARD_DISPATCH_CLUSTER__SECRETS": str(self.root / "secrets"),
            "REELYARD_DISPATCH_STORAGE__ROOT": str(self.root / "storage"),
            "REELYARD_DISPATCH_API__TRUSTED_PROXIES": '["127.0.0.1/32"]',
            "REELYARD_DISPATCH_API__CALLS_PER_S": "10000",
        }
        self.servers = tuple([await self._server(f"server{number}") for number in range(SERVERS)])
        lines = [await server.said("listening") for server in self.servers]
        self.addresses = tuple(str(line["url"]) for line in lines)
        port = postgres.free_port()
        words = nginx.command(self.root / "nginx", port, [address.removeprefix("http://") for address in self.addresses])
        await self._run("nginx", words)
        self.url = f"http://127.0.0.1:{port}"
        await told(self._answers, bool, "nginx passes calls on")

    async def _server(self, name: str, listen: str = "127.0.0.1:0") -> Member:
        words = ["-m", "dispatch", "--data", str(self.root / name), "--listen", listen]
        return await self._start(name, words, self.shared)

    async def _answers(self) -> bool:
        async with aiohttp.ClientSession() as http:
            try:
                async with http.get(f"{self.url}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

    def client_at(self, address: str, key: str = "") -> ReelyardClient:
        return ReelyardClient(address, key or self.key)

    def leader(self) -> Member:
        return next(server for server in self.servers if server.is_alive and server.log.has("leading_won"))

    async def revive(self, server: Member) -> None:
        """Again at its address, so that nginx finds it."""
        number = self.servers.index(server)
        address = self.addresses[number].removeprefix("http://")
        again = await self._server(server.name, address)
        await again.said("listening")
        self.servers = (*self.servers[:number], *self.servers[number + 1 :], again)
        self.addresses = (*self.addresses[:number], *self.addresses[number + 1 :], self.addresses[number])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def farm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FrontedFarm]:
    """With one engine that knows nginx's address alone."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as owner:
        url = stack.enter_context(postgres.database())
        made = FrontedFarm(tmp_path_factory.mktemp("farm"), owner, QUICK)
        try:
            await made.open(url)
            token = str(made.root / "secrets" / "registration.token")
            engine = await made.start_engine("engine", "--slots", "2", "--token-file", token)
            await engine.said("engine_registered")
            yield made
        finally:
            print(made.logs())  # noqa: T201 - for the report of a failed test
            await made.stop()


async def done(client: ReelyardClient, job_id: str) -> JobView:
    return await told(lambda: client.get(job_id), lambda job: job.state is JobState.COMPLETED, f"{job_id} is done")


async def test_one_key_sent_twenty_times_makes_one_job(farm: FrontedFarm) -> None:
    headers, body = {"X-API-Key": farm.key, "Idempotency-Key": "twenty-0001"}, {"profile": "noop", "metadata": {"sent": 20}}
    async with aiohttp.ClientSession() as http:

        async def send() -> tuple[int, str, str]:
            while True:
                async with http.post(f"{farm.url}/api/v1/jobs", json=body, headers=headers) as answer:
                    job: Any = await answer.json()
                    if answer.status != 409:
                        return answer.status, job.get("job_id", job), answer.headers["X-Answered-By"]
                await asyncio.sleep(0.1)

        sent = await asyncio.gather(*(send() for _ in range(20)))

    assert {(status, job_id) for status, job_id, _ in sent} == {(202, sent[0][1])}
    assert {by for _, _, by in sent} == {address.removeprefix("http://") for address in farm.addresses}
    async with farm.client_at(farm.url) as client:
        assert [job.job_id for job in (await client.list(**{"metadata.sent": "20"})).jobs] == [sent[0][1]]


async def messages(url: str, key: str, after: int, is_enough: Callable[[Sequence[SseMessage]], bool]) -> list[SseMessage]:
    """Events by one connection, as far as the first that are enough."""
    parser, found = SseParser(), list[SseMessage]()
    headers = {"X-API-Key": key, "Last-Event-ID": str(after)}
    async with aiohttp.ClientSession() as http, http.get(f"{url}/api/v1/events", headers=headers) as answer:
        while True:
            for message in parser.feed(await answer.content.readany()):
                if message.event != "ProgressUpdated":
                    found.append(message)
                if found and is_enough(found):
                    return found


def a_visit(found: Sequence[SseMessage]) -> bool:
    return len(found) == EVENTS_A_VISIT or found[-1].event == "JobFinished"


def ids(found: Sequence[SseMessage]) -> list[int]:
    return [int(message.last_id) for message in found]


def finished(found: Sequence[SseMessage]) -> set[str | None]:
    return {EventView.model_validate_json(message.text).job_id for message in found if message.event == "JobFinished"}


async def test_a_reader_cut_again_and_again_misses_nothing_and_reads_nothing_twice(farm: FrontedFarm) -> None:
    async with farm.client_at(farm.url) as client:
        jobs = [(await client.submit(JobSubmission(profile="noop"))).job_id for _ in range(JOBS)]
        read = list[SseMessage]()
        async with asyncio.timeout(MOST_S):
            while not finished(read).issuperset(jobs):
                after = ids(read)[-1] if read else 0
                read += await messages(farm.url, farm.key, after, a_visit)
        views = [await done(client, job_id) for job_id in jobs]

    assert [view.state for view in views] == [JobState.COMPLETED] * JOBS
    for address in farm.addresses:
        whole = await messages(address, farm.key, 0, lambda found: found[-1].last_id == read[-1].last_id)
        assert ids(whole) == ids(read)


async def test_what_a_key_may_in_an_hour_is_counted_over_all_servers(farm: FrontedFarm) -> None:
    async with farm.client_at(farm.url) as admin:
        wanted = KeyRequest(name="few", scopes=frozenset({Scope.JOBS_WRITE}), rate_limit_per_hour=5)
        key = (await admin.create_key(wanted)).api_key
    async with aiohttp.ClientSession(headers={"X-API-Key": key}) as http:

        async def send() -> tuple[int, str]:
            async with http.post(f"{farm.url}/api/v1/jobs", json={"profile": "noop"}) as answer:
                return answer.status, answer.headers["X-Answered-By"]

        sent = await asyncio.gather(*(send() for _ in range(20)))

    assert Counter(status for status, _ in sent) == {202: 5, 429: 15}
    assert {by for _, by in sent} == {address.removeprefix("http://") for address in farm.addresses}


async def test_a_key_revoked_behind_nginx_is_dead_at_every_server(farm: FrontedFarm) -> None:
    async with farm.client_at(farm.url) as admin:
        made = await admin.create_key(KeyRequest(name="short", scopes=frozenset({Scope.JOBS_READ})))
        before = [await is_let_in(address, made.api_key) for address in farm.addresses]
        await admin.revoke_key(made.key_id)

        for address in farm.addresses:
            await told(partial(is_let_in, address, made.api_key), lambda is_in: not is_in, "the key is dead")
    assert before == [True] * SERVERS


async def is_let_in(address: str, key: str) -> bool:
    async with aiohttp.ClientSession() as http, http.get(f"{address}/api/v1/jobs", headers={"X-API-Key": key}) as answer:
        return answer.status == 200


async def test_pieces_of_an_upload_come_together_whichever_server_takes_them(farm: FrontedFarm, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(os.urandom(1 << 20) * 20)  # three pieces
    async with farm.client_at(farm.url) as client:
        upload_id = await client.send_file(film)

    assert filecmp.cmp(film, farm.root / "storage" / "uploads" / upload_id, shallow=False)


async def test_an_engine_that_knows_nginx_alone_finds_the_next_leader(farm: FrontedFarm) -> None:
    leader = farm.leader()
    await leader.kill()

    async with farm.client_at(farm.url) as client:
        job = await client.submit(JobSubmission(profile="noop"))
        view = await done(client, job.job_id)
    await farm.revive(leader)

    assert [attempt.state for attempt in view.attempts] == ["done"] * len(view.attempts)
