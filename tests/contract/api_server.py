"""A whole dispatch on a random port of this machine: the real services, SQLite and files in a temporary directory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from config.dispatch import DispatchSettings, Inputs
from dispatch.api.server import application, runner
from dispatch.api.wiring import Limits, Services
from dispatch.app.assembly import Core
from dispatch.app.process import prepare
from protocol import signing
from tests.contract import contract_conformance

CODECS = [f"encoder:{name}" for name in ("libx264", "aac", "libmp3lame", "mjpeg")]
ENGINE = {
    "name": "box",
    "hostname": "box.local",
    "boot_id": "boot-0001",
    "version": "0.1.0",
    "capabilities": {"provided": ["operation:noop", "operation:analyze", "operation:transcode", *CODECS]},
    "slots": {"encoding": 1, "light": 2, "free_encoding": 1, "free_light": 2},
}
Json = dict[str, Any]  # Any: what a server answers has no narrower type before it is looked at


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any = None  # as above

    @property
    def code(self) -> str:
        code: str = self.json["error"]["code"]
        return code


def head_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code


@dataclass(slots=True)
class Server:
    core: Core
    data: Path
    url: str
    http: aiohttp.ClientSession
    web: web.AppRunner

    @property
    def key(self) -> str:
        return self.core.outside.secrets.admin

    async def call(self, method: str, path: str, *, key: str | None = "", **options: Any) -> Answer:  # Any: aiohttp's own
        """One call with the admin's key; `key` None sends none. `path` is sent as it stands.

        Every answer is held against the OpenAPI document.
        """
        headers = {"Accept-Encoding": "identity", **options.pop("headers", {})}
        if key is not None:
            headers.setdefault("X-API-Key", key or self.key)
        url = URL(self.url + path, encoded=True)
        async with self.http.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            body = await response.read()
            told = await response.json() if response.content_type == "application/json" and body else None
            contract_conformance.check(method, path, response.status, response.headers, body, told)
            return Answer(response.status, response.headers, body, told)

    async def new_key(self, *scopes: str, tenant: str = "default") -> str:
        made = await self.call("POST", "/api/v1/admin/api-keys", json={"name": "t", "tenant": tenant, "scopes": list(scopes)})
        secret: str = made.json["api_key"]
        return secret

    async def new_tenant(self, name: str) -> None:
        await self.call("POST", "/api/v1/admin/tenants", json={"name": name})

    async def submit(self, *, key: str = "", **fields: object) -> Json:
        answer = await self.call("POST", "/api/v1/jobs", key=key, json={"profile": "noop", **fields})
        job: Json = answer.json
        return job

    async def new_engine(self, **fields: object) -> tuple[str, str]:
        """The id and the credential."""
        token = self.core.outside.secrets.registration
        made = await self.call("POST", "/api/v1/engines/register", key=token, json={**ENGINE, **fields})
        return made.json["engine_id"], made.json["credential"]

    async def lease(
        self, engine: tuple[str, str], request_id: str, *, slots: int = 1, light_slots: int = 0, wait_s: float = 5.0
    ) -> Json:
        body = {"boot_id": "boot-0001", "slots": slots, "light_slots": light_slots, "wait_s": wait_s, "request_id": request_id}
        answer = await self.call("POST", f"/api/v1/engines/{engine[0]}/lease", key=engine[1], json=body)
        told: Json = answer.json
        return told

    async def report(self, engine: tuple[str, str], grant: Json, type_: str, **fields: object) -> Answer:
        report = {"type": type_, "task_id": grant["task_id"], "token": grant["token"], **fields}
        body = {"boot_id": "boot-0001", "reports": [report]}
        return await self.call("POST", f"/api/v1/engines/{engine[0]}/reports", key=engine[1], json=body)

    def signed(self, method: str, prefix: str, *, expires_in: int = 60) -> str:
        expiry = int(self.core.outside.clock.now()) + expires_in
        return f"/files/s/{signing.sign(self.core.outside.secrets.signing, method=method, prefix=prefix, expiry=expiry)}"


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something the server does by itself and tells nobody of."""
    while not await fact():  # noqa: ASYNC110  # nothing here could set an event
        await asyncio.sleep(0.005)


UNCOUNTED = Limits(failures_free=1_000_000)
"""Tests show wrong keys by the hundred from one address."""

Change = Callable[[Services], Services]
Sections = Mapping[str, Any]  # models of config.dispatch by their name
NO_SECTIONS: Sections = {}


def _as_it_is(services: Services) -> Services:
    return services


@asynccontextmanager
async def served(
    data: Path, limits: Limits | None = None, *, change: Change = _as_it_is, sections: Sections = NO_SECTIONS, **inputs: Any
) -> AsyncIterator[Server]:  # Any: settings
    """A server that runs for the block and stops as it would on SIGTERM. `sections`: of the settings, beside `inputs`."""
    core, store = prepare(DispatchSettings(data=data, inputs=Inputs.model_validate(inputs), **sections))
    store.start()
    try:
        await core.load()
        async with asyncio.TaskGroup() as owner:
            loops = owner.create_task(core.run())
            await core.cluster.leadership.settled.wait()
            at_shutdown = [core.cluster.leadership.stop]
            running = runner(application(change(core.services), limits or UNCOUNTED, at_shutdown=at_shutdown))
            await running.setup()
            await web.TCPSite(running, "127.0.0.1", 0).start()
            host, port = running.addresses[0][:2]
            async with aiohttp.ClientSession() as http:
                try:
                    yield Server(core, data, f"http://{host}:{port}", http, running)
                finally:
                    await running.cleanup()
            loops.cancel()
    finally:
        await store.close()
