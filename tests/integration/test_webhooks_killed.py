"""A real dispatch that is killed while it tells receivers, and the receiver of the guide."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.contract.webhook_receiver import Received, receiver
from tests.farm import Farm, farm

pytestmark = [pytest.mark.integration]

GUIDE = Path(__file__).parents[2] / "docs" / "howto" / "webhooks.md"
HOOKS, ROUNDS, JOBS, CANCELLED = "/api/v1/webhooks", 3, 40, 10
HELD = 2


def settings(port: int) -> dict[str, str]:
    return {
        "REELYARD_DISPATCH_WEBHOOKS__ALLOW_PRIVATE_ADDRESSES": "true",
        "REELYARD_DISPATCH_WEBHOOKS__PORTS": f"[{port}]",
        "REELYARD_DISPATCH_API__CALLS_PER_S": "1000",
    }


async def call(made: Farm, method: str, path: str, **options: Any) -> Any:  # JSON
    async with (
        aiohttp.ClientSession(headers={"X-API-Key": made.key}) as session,
        session.request(method, made.url + path, **options) as response,
    ):
        assert response.status < 300, await response.text()
        return await response.json()


async def told(made: Farm) -> list[dict[str, Any]]:
    """Every delivery there is."""
    found, url = [], f"{HOOKS}/deliveries?limit=200"
    while url:
        page = await call(made, "GET", url)
        found.extend(page["deliveries"])
        url = page["next_page_url"]
    return found


async def work(made: Farm, url: str) -> dict[str, list[str]]:
    """Jobs that are accepted, some of them ended: what each must tell."""
    batch = {"jobs": [{"profile": "noop", "webhook_url": url} for _ in range(JOBS)]}
    accepted = [row["job_id"] for row in (await call(made, "POST", "/api/v1/jobs/batch", json=batch))["jobs"]]
    events = {job_id: ["job.created"] for job_id in accepted}
    for job_id in accepted[:CANCELLED]:
        await call(made, "POST", f"/api/v1/jobs/{job_id}/cancel")
        events[job_id].append("job.cancelled")
    return events


@dataclass
class Holding:
    """The first messages of each round are taken and never answered: they are under way when the server is killed."""

    left: int = 0
    all_taken: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _: Received) -> web.StreamResponse:
        if self.left > 0:
            self.left -= 1
            if self.left == 0:
                self.all_taken.set()
            await self.released.wait()
        return web.Response()


@pytest.mark.timeout(180)
async def test_a_dispatch_killed_while_it_tells_loses_nothing_and_changes_nothing(tmp_path: Path) -> None:
    async with receiver() as to, farm(tmp_path, **settings(to.port)) as made:
        to.always["/in"] = holding = Holding()
        wanted: dict[str, list[str]] = {}
        for number in range(ROUNDS):
            dispatch = await made.start_dispatch()
            if number == 0:
                asked = {"url": to.url("/in"), "events": ["job.created", "job.cancelled"]}
                await call(made, "POST", f"{HOOKS}/endpoints", json=asked)
            holding.left = HELD
            wanted |= await work(made, to.url("/own"))
            await holding.all_taken.wait()
            await dispatch.kill()
            holding.all_taken.clear()
        await made.start_dispatch()
        async with asyncio.timeout(90):
            while any(row["state"] != "delivered" for row in await told(made)):  # noqa: ASYNC110  # of another process
                await asyncio.sleep(0.1)
        rows = await told(made)
        holding.released.set()

    payloads: defaultdict[str, set[bytes]] = defaultdict(set)
    order: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in to.got:
        payloads[one.id].add(one.body)
        heard = order[one.path, one.told["data"]["job_id"]]
        if not heard or heard[-1] != one.event:
            heard.append(one.event)

    assert {job_id: order["/in", job_id] for job_id in wanted} == wanted
    assert {job_id: order["/own", job_id] for job_id in wanted if "job.cancelled" in wanted[job_id]} == {
        job_id: ["job.cancelled"] for job_id, events in wanted.items() if "job.cancelled" in events
    }
    assert len(rows) == ROUNDS * (JOBS + 2 * CANCELLED)
    assert payloads.keys() == {row["delivery_id"] for row in rows}
    assert all(len(bodies) == 1 for bodies in payloads.values())
    assert {row["attempts"] for row in rows} == {1}
    assert len(to.got) >= len(rows) + ROUNDS * HELD, "no message was under way at a kill"


async def test_the_receiver_of_the_guide_verifies_what_it_is_told(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    script, secret_file, port = tmp_path / "receiver.py", tmp_path / "secret", _free_port()
    script.write_text(program, encoding="utf-8")
    async with farm(tmp_path, **settings(port)) as made:
        await made.start_dispatch()
        secret_file.write_text((await call(made, "GET", f"{HOOKS}/secret"))["secret"], encoding="ascii")
        words = [str(script), str(secret_file), str(port)]
        child = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
        try:
            await _listens(port)
            url = f"http://127.0.0.1:{port}/reelyard"
            job = await call(made, "POST", "/api/v1/jobs", json={"profile": "noop", "webhook_url": url})
            await call(made, "POST", f"/api/v1/jobs/{job['job_id']}/cancel")
            assert child.stdout is not None
            line = await child.stdout.readline()
        finally:
            child.kill()
            await child.communicate()

    assert line.decode().split() == ["job.cancelled", job["job_id"], "cancelled"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _listens(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
