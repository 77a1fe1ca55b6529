"""kill -9 between the effect of a call and its answer: the same call after the restart finds what the first one did."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from client.processes import UrlFile
from tests.contract.api_server import served

pytestmark = pytest.mark.integration

CALLS: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # any JSON object
    "job": ("/api/v1/jobs", {"profile": "noop"}),
    "batch": ("/api/v1/jobs/batch", {"jobs": [{"profile": "noop"}] * 3}),
    "tenant": ("/api/v1/admin/tenants", {"name": "acme"}),
}
TOTALS = {"job": ("/api/v1/jobs", 1), "batch": ("/api/v1/jobs", 3), "tenant": ("/api/v1/admin/tenants", 2)}


async def killed_in_the_call(data: Path, path: str, body: Mapping[str, Any]) -> None:  # any JSON object
    """The server dies of this call, and the client hears nothing but a broken connection."""
    url_file = UrlFile(data / "dispatch.url")
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.integration.idempotency_killed", str(data))
    try:
        url = await asyncio.wait_for(url_file.written(), 30)
        (data / "kill").touch()
        key = (data / "secrets" / "admin.key").read_text().strip()
        headers = {"X-API-Key": key, "Idempotency-Key": "k-1"}
        async with aiohttp.ClientSession(headers=headers) as http:
            with pytest.raises(aiohttp.ClientError):
                await http.post(url + path, json=body)
        assert await asyncio.wait_for(child.wait(), 30) == -signal.SIGKILL
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


@pytest.mark.parametrize("what", CALLS)
async def test_a_call_whose_answer_was_lost_with_the_server_is_answered_by_the_next_one(tmp_path: Path, what: str) -> None:
    path, body = CALLS[what]
    await killed_in_the_call(tmp_path, path, body)

    async with served(tmp_path) as server:
        answers = [await server.call("POST", path, json=body, headers={"Idempotency-Key": "k-1"}) for _ in range(2)]
        listed, total = TOTALS[what]
        found = (await server.call("GET", listed)).json["total"]

    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == ["true", "true"]
    assert ({answer.status for answer in answers} <= {201, 202}, answers[0].body == answers[1].body, found) == (True, True, total)
