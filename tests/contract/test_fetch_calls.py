"""Jobs by URL over HTTP: taken in, refused at once, and refused one by one in a batch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.api_server import Server, head_of, served

JOBS = "/api/v1/jobs"
URL = "https://films.example/a.mp4?signature=s3cret"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with served(tmp_path) as running:
        yield running


async def test_a_url_is_taken_in_and_shown_to_its_tenant_as_it_was_given(server: Server) -> None:
    made = await server.call("POST", JOBS, json={"input": {"url": URL}, "profile": "web"})

    assert (made.status, made.json["state"], made.json["input"]) == (202, "pending", {"url": URL})
    stored = await server.call("GET", f"{JOBS}/{made.json['job_id']}")
    assert stored.json["input"] == {"url": URL}


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://0x7f.1/", "file:///etc/passwd", "https://a@b.example/", "x"])
async def test_a_url_that_is_never_fetched_is_a_422_without_its_query(server: Server, url: str) -> None:
    made = await server.call("POST", JOBS, json={"input": {"url": f"{url}?signature=s3cret"}, "profile": "web"})

    assert head_of(made) == (422, "INPUT_URL_REFUSED")
    assert b"s3cret" not in made.body


async def test_in_a_batch_each_url_is_judged_for_itself(server: Server) -> None:
    items = [{"input": {"url": url}, "profile": "web"} for url in (URL, "http://localhost/a", URL)]
    made = await server.call("POST", f"{JOBS}/batch", json={"jobs": items})

    told = [(item["status"], item["error"] and item["error"]["code"]) for item in made.json["jobs"]]
    assert told == [(202, None), (422, "INPUT_URL_REFUSED"), (202, None)]
