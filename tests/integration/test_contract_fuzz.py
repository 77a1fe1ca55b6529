"""schemathesis against a running server: every operation of the document, with good and bad data, links followed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client.processes import UrlFile
from protocol.operations import OPERATIONS, STREAMS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("REELYARD_")}
SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
HOOKS = Path(__file__).with_name("contract_hooks.py")
SCOPES = ["jobs:read", "jobs:write", "files:read", "files:write", "engines:read", "engines:admin"]
ENGINE = {
    "name": "box",
    "hostname": "box.local",
    "boot_id": "boot-0001",
    "version": "0.1.0",
    "capabilities": {"provided": ["operation:noop"]},
    "slots": {"encoding": 1, "light": 2, "free_encoding": 1, "free_light": 2},
}

LEFT_OUT: dict[str, str] = {
    **{o.name: "a stream: its answer does not end" for o in OPERATIONS if o.gives in STREAMS},
    **{f"head_{o.name}": "HEAD is held against GET by another test" for o in OPERATIONS if o.method == "GET"},
}
"""What is not called, with the reason. Everything else is."""

# Nothing leaves this machine: webhooks and inputs may only go to the discard port, where nobody listens.
SERVER = """
log_level = "error"
[api]
calls_per_s = 10000000
tenant_calls_per_s = 10000000
wrong_keys = 10000000
[webhooks]
allow_private_addresses = true
ports = [9]
[inputs]
ports = [9]
"""

# A refusal of bad data is any 4xx that says so: 410, 412, 413, 416 and 460 do it too. What a good call may be refused for
# is told apart by code, in the hooks.
FUZZ = """
hooks = {hooks}
continue-on-failure = true

[generation]
deterministic = true
database = "none"
allow-extra-parameters = false
max-examples = {examples}

[phases.examples.extra-data-sources]
responses = false

[phases.coverage.extra-data-sources]
responses = false

[phases.fuzzing.extra-data-sources]
responses = false

[phases.stateful]
max-steps = 6

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "4xx"]

[checks.negative_data_rejection]
expected-statuses = [{rejecting}]

[checks.missing_required_header]
expected-statuses = [{rejecting}]

[[operations]]
include-operation-id = {left_out}
enabled = false
"""
REJECTING = (400, 401, 403, 404, 405, 406, 408, 409, 410, 412, 413, 415, 416, 422, 426, 428, 429, 460)


@dataclass(frozen=True)
class Server:
    url: str
    data: Path

    def secret(self, name: str) -> str:
        return (self.data / "secrets" / name).read_text().strip()

    def post(self, path: str, key: str, body: object) -> Any:  # Any: JSON
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers, method="POST")
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def callers(self) -> dict[str, str]:
        admin, registration = self.secret("admin.key"), self.secret("registration.token")
        key = {"name": "fuzz", "scopes": SCOPES, "rate_limit_per_hour": 1_000_000_000}
        tenant = self.post("/api/v1/admin/api-keys", admin, key)["api_key"]
        engine = self.post("/api/v1/engines/register", registration, ENGINE)
        return {
            "admin": admin,
            "registration": registration,
            "tenant": tenant,
            "engine_id": engine["engine_id"],
            "credential": engine["credential"],
        }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    data, settings = tmp_path / "data", tmp_path / "dispatch.toml"
    settings.write_text(SERVER)
    url_file = UrlFile(data / "dispatch.url")
    command = [sys.executable, "-m", "dispatch", "--config", str(settings), "--data", str(data), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL) as child:
        try:
            yield Server(asyncio.run(asyncio.wait_for(url_file.written(), 30)), data)
        finally:
            child.terminate()
            assert child.wait(30) == 0


def fuzzed(server: Server, directory: Path, *, phases: str, examples: int) -> str:
    """What schemathesis says of the server. Its data follow from the document alone, so a run can be repeated."""
    settings = directory / "schemathesis.toml"
    rejecting = ", ".join(f'"{status}"' for status in REJECTING)
    hooks, left_out = json.dumps(str(HOOKS)), json.dumps(sorted(LEFT_OUT))
    settings.write_text(FUZZ.format(hooks=hooks, examples=examples, rejecting=rejecting, left_out=left_out))
    document = directory / "openapi.json"  # from a file: the address of the document itself would be left out
    with urllib.request.urlopen(f"{server.url}/openapi.json") as answer:
        document.write_bytes(answer.read())
    command = [SCHEMATHESIS, "--config-file", str(settings), "run", str(document), "--url", server.url, "--no-color"]
    environment = {**ENVIRONMENT, "REELYARD_CONTRACT": json.dumps(server.callers())}
    ran = subprocess.run(
        [*command, "--phases", phases, "--warnings", "off"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-4_000:]
    return ran.stdout


def number(pattern: str, told: str) -> int:
    found = re.search(pattern, told)
    assert found is not None, told[-4_000:]
    return int(found[1])


@pytest.mark.parametrize(
    ("phases", "least"),
    [("examples,fuzzing", 500), pytest.param("examples,coverage,fuzzing", 5_000, marks=pytest.mark.trust)],
    ids=["slice", "whole"],
)
def test_every_operation_keeps_the_contract_for_good_and_bad_data(
    server: Server, tmp_path: Path, phases: str, least: int
) -> None:
    told = fuzzed(server, tmp_path, phases=phases, examples=4)

    assert number(r"Tested: (\d+)", told) == len({o.name for o in OPERATIONS} - LEFT_OUT.keys())
    assert number(r"(\d+) generated", told) > least


def test_what_is_made_can_be_followed_by_the_links_of_the_document(server: Server, tmp_path: Path) -> None:
    told = fuzzed(server, tmp_path, phases="stateful", examples=15)

    assert number(r"(\d+) generated", told) > 100
