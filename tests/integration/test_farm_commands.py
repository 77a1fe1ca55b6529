"""The installed `reelyard` against a running `reelyard up`: bad input, two tenants, and a job from file to files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.processes import UrlFile
from tests.farm import NEVER_BUSY
from tests.media import make_clip, run_ffmpeg

pytestmark = pytest.mark.integration

REELYARD = str(Path(sys.executable).with_name("reelyard"))
KEPT = {name: value for name, value in os.environ.items() if not name.startswith("REELYARD_")}
ENVIRONMENT = {**KEPT, "XDG_CACHE_HOME": os.devnull}  # nothing of it is noted for the user's own next run


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Refusal:
    """What a call that makes nothing answers: the code, and one sentence."""

    status: int
    code: str
    message: str


@dataclass(frozen=True)
class Server:
    data: Path
    url: str
    key: str

    def run(self, *words: str) -> Ran:
        done = subprocess.run(
            [REELYARD, *words, "--data", str(self.data)], capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=90
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def document(self, *words: str) -> dict[str, object]:
        ran = self.run(*words, "--json")
        assert ran.code == 0, ran.err
        told: dict[str, object] = json.loads(ran.out)
        return told

    def post(self, body: bytes, *, key: str | None = None) -> Refusal:
        headers = {"Content-Type": "application/json", "X-API-Key": key or self.key}
        asked = urllib.request.Request(f"{self.url}/api/v1/jobs", data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                raise AssertionError(f"accepted: {answer.read()!r}")
        except urllib.error.HTTPError as refused:
            error = json.loads(refused.read())["error"]
            return Refusal(refused.code, error["code"], error["message"])

    def kept(self) -> set[str]:
        """Every job and every file there is, to be compared with what there was."""
        jobs = self.document("jobs")["jobs"]
        assert isinstance(jobs, list)
        storage = self.data / "storage"
        return {job["job_id"] for job in jobs} | {str(path.relative_to(storage)) for path in storage.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("up") / "data"
    log = (data.parent / "server.log").open("wb")
    url_file = UrlFile(data / "dispatch.url")
    command = [REELYARD, "up", "--data", str(data), "--listen", "127.0.0.1:0"]
    with log, subprocess.Popen(command, env=ENVIRONMENT | NEVER_BUSY, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as child:
        try:
            url = asyncio.run(asyncio.wait_for(url_file.written(), 30))
            yield Server(data, url, (data / "secrets/admin.key").read_text().strip())
        finally:
            child.terminate()
            assert child.wait(30) == 0
    assert "Traceback" not in (data.parent / "server.log").read_text()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good clip, and what is wrong in the ways that only a look at the media tells."""
    root = tmp_path_factory.mktemp("media")
    make_clip(root / "good.mp4", seconds=1.5)
    make_clip(root / "small.mp4", seconds=1.5, size=(320, 180))
    run_ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=2", "-c:a", "aac", str(root / "sound.m4a"))
    make_clip(root / "fast.mp4", seconds=4, options=("-movflags", "+faststart"))
    for whole, cut in (("good.mp4", "headless.mp4"), ("fast.mp4", "cut.mp4")):
        content = (root / whole).read_bytes()
        (root / cut).write_bytes(content[: len(content) // 2])
    (root / "empty.mp4").touch()
    (root / "text.mp4").write_text("this is no film\n" * 1000)
    return root


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (("missing.mp4",), 2, "INPUT_NOT_FOUND"),
        (("empty.mp4",), 2, "INPUT_FORMAT"),
        (("text.mp4",), 2, "INPUT_FORMAT"),
        (("server:/etc/passwd",), 3, "PATH_NOT_ALLOWED"),
        (("good.mp4", "--profile", "nosuch"), 2, "PROFILE_NOT_FOUND"),
        (("good.mp4", "--priority", "11"), 2, "VALIDATION_FAILED"),
        (("good.mp4", "--key", "rk_wrong"), 3, "UNAUTHORIZED"),
    ],
)
def test_what_is_refused_at_submit_is_one_line_and_leaves_nothing(
    server: Server, media: Path, words: tuple[str, ...], exit_code: int, code: str
) -> None:
    before = server.kept()
    source = words[0] if ":" in words[0] else str(media / words[0])

    ran = server.run("submit", source, "--wait", *words[1:])

    assert (ran.code, ran.err.count("\n"), ran.err.startswith(f"error: {code}: ")) == (exit_code, 1, True), ran
    assert server.kept() == before


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("headless.mp4", "INPUT_CORRUPT"),
        ("cut.mp4", "INPUT_CORRUPT"),
        ("small.mp4", "INPUT_TOO_SMALL"),
        ("sound.m4a", "INPUT_NO_VIDEO"),
    ],
)
def test_what_an_engine_finds_wrong_fails_the_job_once_and_leaves_its_original_alone(
    server: Server, media: Path, name: str, code: str
) -> None:
    before = server.kept()

    ran = server.run("submit", str(media / name), "--wait", "--profile", "web", "--json")
    job = json.loads(ran.out)

    assert (ran.code, job["state"], job["error"]["code"], job["error"]["class"]) == (1, "failed", code, "input"), ran
    assert ran.err.splitlines()[-1] == f"{job['job_id']} failed: {code}: {job['error']['message']}"
    assert [attempt["state"] for attempt in job["attempts"]].count("failed") == 1
    original = f"default/raw/{job['job_id']}_original{(media / name).suffix}"
    assert server.kept() - before == {job["job_id"], original}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"profile": "noop", "priority": 11}', 422, "VALIDATION_FAILED"),
        (b'{"profile": "noop", "colour": "red"}', 422, "VALIDATION_FAILED"),
        (b"{" * (1 << 20), 400, "MALFORMED_JSON"),
        (b"\xff\x00junk" * (1 << 18), 413, "BODY_TOO_LARGE"),
    ],
    ids=["priority 11", "an unknown field", "1 MB of junk", "more than 1 MB of junk"],
)
def test_a_call_that_is_no_submission_is_one_sentence_and_leaves_nothing(
    server: Server, body: bytes, status: int, code: str
) -> None:
    before = server.kept()

    refused = server.post(body)

    assert (refused.status, refused.code, refused.message.count("\n")) == (status, code, 0)
    assert 10 < len(refused.message) < 300
    assert server.kept() == before


def test_a_wrong_key_is_told_before_the_body_is_looked_at(server: Server) -> None:
    assert server.post(b"{junk", key="rk_wrong").code == "UNAUTHORIZED"


def test_a_film_becomes_files_whose_digests_are_those_of_its_metadata(server: Server, media: Path, tmp_path: Path) -> None:
    ran = server.run("submit", str(media / "good.mp4"), "--wait", "--json", "--meta", "title=Sintel")
    job = json.loads(ran.out)

    fetched = server.run("outputs", job["job_id"], "--download", str(tmp_path))

    files = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
    metadata = json.loads(files.pop("metadata.json").read_text())
    assert (ran.code, job["state"], fetched.code) == (0, "completed", 0)
    assert metadata["recipe"]["sha256"] == {name: hashlib.sha256(p.read_bytes()).hexdigest() for name, p in files.items()}
    assert metadata["user_metadata"] == {"title": "Sintel"}
    assert {"360p/video_360p.mp4", "audio/audio.mp3"} <= set(files)


def test_a_tenant_sees_nothing_of_another(server: Server, media: Path) -> None:
    server.document("tenants", "create", "studio")
    theirs = str(server.document("keys", "create", "theirs", "--tenant", "studio", *_scopes())["api_key"])
    ours = str(server.document("keys", "create", "ours", *_scopes())["api_key"])
    job = json.loads(server.run("submit", str(media / "good.mp4"), "--wait", "--json", "--key", theirs).out)
    job_id = job["job_id"]

    foreign = [server.run(command, job_id, "--key", ours) for command in ("job", "outputs", "cancel", "why", "log", "retry")]
    missing = server.run("job", job_id[:-1] + ("x" if job_id[-1] != "x" else "y"), "--key", ours)

    assert (job["tenant"], job["state"]) == ("studio", "completed")
    assert [(ran.code, ran.out, ran.err) for ran in foreign] == [(missing.code, "", missing.err)] * len(foreign)
    assert missing.err.startswith("error: JOB_NOT_FOUND: ")
    assert job_id not in server.run("jobs", "--json", "--key", ours).out
    assert job_id in server.run("jobs", "--json", "--key", theirs).out
    assert _status(server, job["outputs"]["metadata_json"]["url"], ours) == 404
    assert _status(server, job["outputs"]["metadata_json"]["url"], theirs) == 200


def _scopes() -> list[str]:
    return [word for scope in ("jobs:read", "jobs:write", "files:read", "files:write") for word in ("--scope", scope)]


def _status(server: Server, path: str, key: str) -> int:
    asked = urllib.request.Request(server.url + path, headers={"X-API-Key": key})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code
