"""The command line against a real server without an engine: bad input, keys, and jobs that wait."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.processes import UrlFile

pytestmark = pytest.mark.integration

KEPT = {name: value for name, value in os.environ.items() if not name.startswith("REELYARD_")}
ENVIRONMENT = {**KEPT, "XDG_CACHE_HOME": os.devnull}  # nothing of it is noted for the user's own next run


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Server:
    data: Path
    url: str

    def run(self, *words: str) -> Ran:
        """`reelyard` on the same box: it finds the server and the admin key by `--data`."""
        done = subprocess.run(
            [sys.executable, "-m", "client", *words, "--data", str(self.data)], capture_output=True, text=True, env=ENVIRONMENT
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def document(self, *words: str) -> dict[str, object]:
        ran = self.run(*words, "--json")
        assert ran.code == 0, ran.err
        told: dict[str, object] = json.loads(ran.out)
        return told


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("dispatch") / "data"
    url_file = UrlFile(data / "dispatch.url")
    command = [sys.executable, "-m", "client", "dispatch", "--data", str(data), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL) as child:
        try:
            yield Server(data, asyncio.run(asyncio.wait_for(url_file.written(), 30)))
        finally:
            child.terminate()
            assert child.wait(30) == 0


@pytest.fixture
def junk(tmp_path: Path) -> Path:
    path = tmp_path / "junk.mp4"
    path.write_text("this is no film\n" * 1000)
    return path


def test_a_text_that_calls_itself_a_film_is_refused(server: Server, junk: Path) -> None:
    ran = server.run("submit", str(junk))

    assert (ran.code, ran.err.count("\n"), ran.err.startswith("error: INPUT_FORMAT: ")) == (2, 1, True)


def test_an_empty_file_is_refused(server: Server, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()

    ran = server.run("submit", str(empty))

    assert (ran.code, ran.err.count("\n"), ran.err.startswith("error: INPUT_")) == (2, 1, True)


def test_an_upload_for_an_unknown_profile_is_refused_with_those_there_are(server: Server, junk: Path) -> None:
    ran = server.run("submit", str(junk), "--profile", "nosuch")

    assert (ran.code, ran.err.count("\n"), ran.err.startswith("error: PROFILE_NOT_FOUND: ")) == (2, 1, True)
    assert "web" in ran.err


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("submit", "server:/etc/passwd"), 3, "error: PATH_NOT_ALLOWED: "),
        (("submit", "http://169.254.169.254/x.mp4"), 2, "error: INPUT_URL_REFUSED: "),
        (("submit", "s3://bucket/x.mp4"), 2, "error: INPUT_KIND_UNSUPPORTED: "),
        (("job", "job_nosuch"), 2, "error: JOB_NOT_FOUND: "),
        (("cancel", "job_nosuch"), 2, "error: JOB_NOT_FOUND: "),
        (("engine-info", "eng_nosuch"), 2, "error: ENGINE_NOT_FOUND: "),
        (("keys", "revoke", "key_nosuch"), 2, "error: KEY_NOT_FOUND: "),
        (("jobs", "--status", "nosuch"), 2, "error: VALIDATION_FAILED: status: "),
        (("jobs", "--key", "rk_wrong"), 3, "error: UNAUTHORIZED: "),
        (("jobs", "--key", ""), 3, "error: UNAUTHORIZED: "),
    ],
)
def test_what_the_server_refuses_is_one_clear_line(server: Server, words: tuple[str, ...], code: int, line: str) -> None:
    ran = server.run(*words)

    assert (ran.code, ran.out, ran.err.count("\n"), ran.err[: len(line)]) == (code, "", 1, line)


def test_the_admin_key_of_this_box_is_not_sent_to_another_server(server: Server) -> None:
    elsewhere = server.url.replace("127.0.0.1", "localhost")

    ran = server.run("jobs", "--server", elsewhere)

    assert (ran.code, ran.err.startswith("error: UNAUTHORIZED: no key was given: --key")) == (3, True)


def test_a_key_may_do_what_its_scopes_say_until_it_is_revoked(server: Server) -> None:
    made = server.document("keys", "create", "reader", "--scope", "jobs:read")
    key, key_id = str(made["api_key"]), str(made["key_id"])

    assert server.run("profiles", "--key", key).code == 0
    forbidden = server.run("engines", "--key", key)
    assert (forbidden.code, forbidden.err.startswith("error: FORBIDDEN: ")) == (3, True)
    assert server.run("keys", "revoke", key_id) == Ran(0, f"{key_id} (reader) is revoked\n", "")
    assert server.run("profiles", "--key", key).code == 3
    assert key not in server.run("keys", "list").out


def test_tenants_are_made_once_and_listed(server: Server) -> None:
    server.document("tenants", "create", "studio", "--weight", "2")

    assert [line.split()[:2] for line in server.run("tenants", "list").out.splitlines()] == [
        ["TENANT", "WEIGHT"],
        ["default", "1"],
        ["studio", "2"],
    ]


def test_profiles_engines_and_versions_are_told(server: Server) -> None:
    profiles = server.document("profiles")["profiles"]

    assert isinstance(profiles, list)
    assert {"web", "noop"} <= {profile["name"] for profile in profiles}
    engines = server.document("engines")
    assert (engines["engines"], engines["total"]) == ([], 0)
    version = server.document("version")
    assert version["client"] == version["server"]


def test_a_job_that_waits_is_explained_and_can_be_cancelled(server: Server, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(5000))
    first = server.document("submit", str(film), "--idempotency-key", "once", "--meta", "title=Sintel", "--priority", "9")
    again = server.document("submit", str(film), "--idempotency-key", "once", "--meta", "title=Sintel", "--priority", "9")
    job_id = str(first["job_id"])

    assert (again["job_id"], first["user_metadata"], first["priority"]) == (job_id, {"title": "Sintel"}, 9)
    assert job_id in server.run("jobs", "--status", "pending").out
    assert (server.run("why", job_id).code, server.document("why", job_id)["engines"]) == (0, [])
    assert server.run("log", job_id) == Ran(0, "no attempt has ended yet\n", "")
    assert server.run("outputs", job_id).err.startswith("error: OUTPUTS_NOT_READY: ")
    assert server.run("cancel", job_id) == Ran(0, f"{job_id} was cancelled\n", "")
    assert server.run("retry", job_id).err.startswith("error: INVALID_TRANSITION: ")
    watched = server.run("job", job_id, "--watch")
    assert (watched.code, f"{job_id} was cancelled" in watched.out.splitlines(), watched.err) == (1, True, "")


def test_several_films_at_once_are_each_a_job(server: Server, tmp_path: Path, junk: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(5000))

    ran = server.run("submit", str(film), str(junk), "server:/etc/passwd", "--json")

    jobs = json.loads(ran.out)["jobs"]
    assert [one["error"] and one["error"]["code"] for one in jobs] == [None, "INPUT_FORMAT", "PATH_NOT_ALLOWED"]
    assert (ran.code, server.run("cancel", jobs[0]["job_id"]).code) == (3, 0)
