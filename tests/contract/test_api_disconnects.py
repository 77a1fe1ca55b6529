"""Clients that go away in the middle of an answer: nothing of it stands in the log as a fault."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from yarl import URL

from tests.contract.api_server import served

LARGE = 64 << 20
"""More than the buffers between two sockets take: the server is still sending when the client goes."""


async def test_a_download_that_is_given_up_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "storage/default/processed/job_1"
    with caplog.at_level(logging.DEBUG):
        async with served(tmp_path) as server:
            directory.mkdir(parents=True)
            with (directory / "large.bin").open("wb") as file:
                file.truncate(LARGE)
            link = server.signed("GET", "default/processed/job_1") + "/default/processed/job_1/large.bin"
            url = URL(server.url)
            reader, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(f"GET {link} HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
            status = await reader.readline()
            writer.transport.abort()

    assert status == b"HTTP/1.1 200 OK\r\n"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
