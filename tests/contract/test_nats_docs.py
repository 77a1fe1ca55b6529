"""The how-to of NATS is true: its server's permissions let a farm work and nobody further, its examples are valid."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client

from config.nats import Nats, NatsConnection
from dispatch.core.incoming import wanted_of
from engine.clock import SystemClock
from engine.core.messages import Identity
from engine.core.servers import Servers
from engine.shell.broker import BrokerPlace, line_of
from engine.shell.client import HttpDispatch
from protocol.broker_events import EVENTS_OUT
from protocol.cloud_events import CloudEvent
from protocol.leases import LeaseRequest
from tests.contract.api_server import Server, served, until
from tests.contract.nats_world import Box, Disk
from tests.servers.nats import NatsServer, nats_server

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "nats.md"
URL = "http://dispatch-1.example:8080"
USERS = ("dispatch", "engine", "cms", "follower")


def block(name: str) -> str:
    found = re.search(rf"<!-- tested: {re.escape(name)} -->\n```\w*\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None, f"the page has no block {name}"
    return found[1]


@dataclass
class Guarded:
    broker: NatsServer
    server: Server
    root: Path

    async def connection(self, user: str, refused: list[str]) -> Client:
        async def note(fault: Exception) -> None:
            refused.append(str(fault))

        return await nats.connect(self.broker.url, user=user, password=f"pw-{user}", error_cb=note)


@pytest_asyncio.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    conf = tmp_path / "nats-server.conf"
    text = block("nats-server.conf")
    for user in USERS:
        text = text.replace(f"${user.upper()}_PASSWORD", f"pw-{user}")
        (tmp_path / user).write_text(f"pw-{user}\n")
    conf.write_text(text)
    async with nats_server(tmp_path / "nats", conf) as broker:
        wanted = {"servers": (broker.url,), "user": "dispatch", "password_file": tmp_path / "dispatch"}
        async with served(tmp_path / "data", sections={"nats": wanted, "cluster": {"url": URL}}) as server:

            async def is_there() -> bool:
                return server.core.broker.problem() is None

            await until(is_there)
            yield Guarded(broker, server, tmp_path)


async def test_the_engines_user_may_do_what_an_engine_does(guarded: Guarded) -> None:
    engine_id, credential = await guarded.server.new_engine()
    dead = HttpDispatch(guarded.server.http, Servers(["http://127.0.0.1:9"]))
    place = BrokerPlace((guarded.broker.url,), user="engine", password_file=guarded.root / "engine")
    line = line_of(place, dead, Disk(), SystemClock())
    async with asyncio.TaskGroup() as tasks:
        carried = tasks.create_task(line.run())
        job = (await guarded.server.submit())["job_id"]
        ask = LeaseRequest(boot_id="boot-0001", slots=1, light_slots=0, wait_s=5.0, request_id="r1")
        reply = await line.client.lease(Identity(engine_id, credential), ask)
        carried.cancel()
    assert [grant.job_id for grant in reply.tasks] == [job]


async def test_an_engine_learns_who_leads_where_the_server_it_knows_is_gone(guarded: Guarded) -> None:
    engine_id, credential = await guarded.server.new_engine()
    told: list[str] = []
    dead = HttpDispatch(guarded.server.http, Servers(["http://127.0.0.1:9"]))
    place = BrokerPlace((guarded.broker.url,), user="engine", password_file=guarded.root / "engine")
    line = line_of(place, dead, Disk(), SystemClock(), led_by=told.append)
    box = Box(Identity(engine_id, credential), line.client, line.queue)
    async with asyncio.TaskGroup() as tasks:
        carried = tasks.create_task(line.run())
        await box.ask("r1", wait_s=0)
        await box.beat()
        carried.cancel()
    assert told == [URL]


async def test_the_engines_user_may_do_nothing_else(guarded: Guarded) -> None:
    refused: list[str] = []
    connection = await guarded.connection("engine", refused)
    for subject in ("reelyard.events.>", "reelyard.engine.*.tasks", "_INBOX_reelyard_dispatch.>"):
        await connection.subscribe(subject)
    for subject in ("reelyard.in.VideoUploaded", "reelyard.events.JobFinished", "$JS.API.STREAM.DELETE.REELYARD_EVENTS"):
        await connection.publish(subject, b"{}")
    await connection.flush()

    async def are_told() -> bool:
        return len(refused) == 6

    await until(are_told)
    await connection.close()
    assert all("permissions violation" in told.lower() for told in refused)


async def test_who_sends_in_and_who_follows_can_do_just_that(guarded: Guarded) -> None:
    refused: list[str] = []
    sender, follower = await guarded.connection("cms", refused), await guarded.connection("follower", refused)
    event = '{"specversion":"1.0","id":"1","source":"/t","type":"VideoUploaded","data":{"profile":"noop"}}'
    await sender.jetstream().publish("reelyard.in.VideoUploaded", event.encode())
    subscription = await follower.jetstream().subscribe("reelyard.events.JobCreated", durable="mine", stream="REELYARD_EVENTS")
    message = await subscription.next_msg(timeout=20)
    await message.ack()
    created = CloudEvent.model_validate_json(message.data)
    await follower.publish("reelyard.in.VideoUploaded", event.encode())
    await follower.flush()

    async def is_told() -> bool:
        return len(refused) == 1

    await until(is_told)
    await sender.close()
    await follower.close()
    assert created.type == "io.reelyard.JobCreated"


def test_the_settings_on_the_page_are_settings() -> None:
    shown = re.search(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert shown is not None
    told = tomllib.loads(shown[1])["nats"]
    assert Nats.model_validate(told).servers == ("tls://nats-1.example:4222", "tls://nats-2.example:4222")
    assert NatsConnection.model_fields.keys() | {"tenants", "replicas", "events_days", "dead_days"} >= told.keys()


def test_the_examples_are_what_the_models_say() -> None:
    event = CloudEvent.model_validate_json(block("VideoTranscoded"))
    assert EVENTS_OUT["VideoTranscoded"].data.model_validate(event.data).model_dump(mode="json") == event.data
    wanted = wanted_of(block("VideoUploaded").encode(), ("default",))
    assert (wanted.who.tenant, wanted.submission.metadata) == ("default", {"cms_id": 42})


@pytest.mark.parametrize("name", ["TASKS", "STATUS", "EVENTS", "IN", "DEAD", "ADVICE"])
def test_every_stream_stands_on_the_page(name: str) -> None:
    assert f"`REELYARD_{name}`" in PAGE.read_text("utf-8")
