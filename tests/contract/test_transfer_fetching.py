"""Inputs on their way down, from the real dispatch to the scratch disk: cut, gone on with, proven."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest

from engine.clock import SystemClock
from engine.core.servers import Servers
from engine.shell.download import BOOT_ID
from engine.shell.transfer import Transfer
from engine.shell.tries import TransferFailed
from protocol.leases import InputAccess
from tests.contract.api_server import served
from tests.contract.transfer_line import Wire, wired

SIZE = 12 << 20
SLACK = 4 << 20


@dataclass
class Lane:
    wire: Wire
    transfer: Transfer
    access: InputAccess
    source: Path
    target: Path

    @property
    def content(self) -> bytes:
        return self.source.read_bytes()


@asynccontextmanager
async def lane(tmp_path: Path) -> AsyncIterator[Lane]:
    source = tmp_path / "storage" / "default" / "a.bin"
    source.parent.mkdir(parents=True)
    source.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    async with served(tmp_path) as server, wired(server.url) as wire, aiohttp.ClientSession() as session:
        url = f"{server.signed('GET', 'default')}/default/a.bin"
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        access = InputAccess(url=url, filename="a.bin", size=SIZE, sha256=digest)
        transfer = Transfer(session, Servers([wire.url]), SystemClock(), random.Random(1).random, 60.0)
        yield Lane(wire, transfer, access, source, scratch / "input")


async def cut(way: Lane, after: int) -> None:
    """A download that a process began and did not live to finish."""
    way.wire.cut_down[:] = [after]
    with pytest.raises(TransferFailed):
        await replace(way.transfer, patience_s=-1.0).fetch(way.access, way.target)
    assert not way.target.exists()


async def test_a_cut_download_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        way.wire.cut_down[:] = [5 << 20, 3 << 20]

        await way.transfer.fetch(way.access, way.target)

        assert way.target.read_bytes() == way.content
        assert way.wire.sent_down < SIZE + SLACK


async def test_another_process_goes_on_with_what_is_on_the_disk(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        await cut(way, 8 << 20)

        await way.transfer.fetch(way.access, way.target)

        assert way.target.read_bytes() == way.content
        assert way.wire.sent_down < SIZE + SLACK


async def test_what_is_complete_is_not_fetched_again(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        await way.transfer.fetch(way.access, way.target)
        before = way.wire.sent_down

        await way.transfer.fetch(way.access, way.target)

        assert way.wire.sent_down == before


async def test_a_file_that_changed_meanwhile_is_fetched_anew(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        access = way.access = way.access.model_copy(update={"sha256": None})
        await cut(way, 8 << 20)
        way.source.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))

        await way.transfer.fetch(access, way.target)

        assert way.target.read_bytes() == way.content


async def test_what_was_there_before_the_machine_started_is_fetched_anew(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        await way.transfer.fetch(way.access, way.target)
        tag = way.target.with_name("input.tag")
        tag.write_text(tag.read_text().replace(BOOT_ID.read_text().strip(), "before"))
        way.target.write_bytes(bytes(SIZE))

        await way.transfer.fetch(way.access, way.target)

        assert way.target.read_bytes() == way.content


async def test_bytes_spoilt_on_the_disk_are_found_by_the_digest(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        await cut(way, 8 << 20)
        part = way.target.with_name("input.part")
        part.write_bytes(bytes(1 << 20) + part.read_bytes()[1 << 20 :])

        await way.transfer.fetch(way.access, way.target)

        assert way.target.read_bytes() == way.content


async def test_an_input_that_is_another_than_dispatch_knows_is_not_used(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        access = way.access.model_copy(update={"sha256": "0" * 64})

        with pytest.raises(TransferFailed, match="digest"):
            await way.transfer.fetch(access, way.target)

        assert not way.target.exists()
