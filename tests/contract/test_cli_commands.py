"""Every command against a real server in this process: its exit code, its words, and one document with `--json`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog

from client.main import COMMANDS, main
from config.dispatch import Webhooks
from protocol.releases import Envelope, release_of
from tests.contract.api_server import Json, Server, served
from tests.contract.playback_world import KEYS, finished
from tests.release_wheels import wheel

FILM = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(5000)
INGEST = "rtmp://127.0.0.1:1935/live/secret"
REAL_PROCESSES = {"up": "tests/integration/test_farm_commands.py"}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:  # Any: JSON
        return json.loads(self.out)


LOCAL = frozenset({"releases"})
"""Commands that speak to no server."""


class Line:
    """The command line of one user, and which commands it has tried."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.tried: set[str] = set()

    async def run(self, words: str, *more: str) -> Ran:
        """`words` are split at blanks. The command runs in a thread, for it has a loop of its own."""
        told = [*words.split(), *more]
        self.tried |= {row.words for row in COMMANDS if told[: len(row.words.split())] == row.words.split()}
        is_local = told[0] in LOCAL
        server = [] if is_local else ["--server", self._server.url, "--key", self._server.key]
        return await asyncio.to_thread(_ran, [*told, *server])

    async def document(self, words: str, *more: str) -> Any:  # Any: JSON
        ran = await self.run(words, *more, "--json")
        assert (ran.code, ran.out.count("\n")) == (0, 1), ran
        return ran.document

    async def lines(self, words: str, *more: str) -> list[str]:
        ran = await self.run(words, *more)
        assert ran.code == 0, ran
        return ran.out.splitlines()


def _ran(words: list[str]) -> Ran:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main(words)
    code = left.value.code
    return Ran(code if isinstance(code, int) else -1, out.getvalue(), err.getvalue())


async def waiting_job(line: Line, tmp_path: Path, *more: str) -> str:
    film = tmp_path / "film.mp4"
    film.write_bytes(FILM)
    job_id: str = (await line.document("submit", str(film), *more))["job_id"]
    return job_id


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("REELYARD_SERVER", "REELYARD_API_KEY", "REELYARD_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The log of the server in this process does not stand among the lines of the command."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(StringIO()))
    yield
    structlog.reset_defaults()


async def jobs_are_looked_for_and_changed(line: Line, tmp_path: Path) -> None:
    job_id = await waiting_job(
        line, tmp_path, "--meta", "title=Sintel", "--meta", "take=3", "--expires-at", "2030-01-01T00:00:00Z"
    )

    found = await line.document("jobs --meta title=Sintel -q sintel --tenant default")
    assert [job["job_id"] for job in found["jobs"]] == [job_id]
    assert (await line.document("jobs -q nothing"))["jobs"] == []
    changed = await line.document("set", job_id, "--priority", "9", "--meta", "take=", "--meta", "cut=b")
    assert (changed["priority"], changed["user_metadata"]) == (9, {"title": "Sintel", "cut": "b"})
    assert (await line.run("set", job_id)).err.startswith("error: VALIDATION_FAILED: give at least one of")
    assert (await line.document("job", job_id))["expires_at"] == "2030-01-01T00:00:00.000Z"
    assert (await line.document("why", job_id))["job_id"] == job_id
    assert (await line.lines("log", job_id)) == ["no attempt has ended yet"]
    assert (await line.run("outputs", job_id)).err.startswith("error: OUTPUTS_NOT_READY: ")
    assert (await line.run("purge", job_id, "--outputs")).err.startswith("error: OUTPUTS_NOT_READY: ")
    assert (await line.run("purge", job_id)).err.startswith("error: INVALID_TRANSITION: ")
    assert (await line.lines("cancel", job_id)) == [f"{job_id} was cancelled"]
    assert (await line.run("retry", job_id)).err.startswith("error: INVALID_TRANSITION: ")
    assert (await line.lines("purge", job_id)) == [f"{job_id} is purged"]
    assert (await line.run("job", job_id)).err.startswith("error: JOB_NOT_FOUND: ")


async def a_look_needs_an_engine(line: Line, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(FILM)

    assert (await line.run("validate", "server:/etc/passwd")).err.startswith("error: PATH_NOT_ALLOWED: ")
    assert (await line.run("validate", str(tmp_path / "none.mp4"))).err.startswith("error: INPUT_NOT_FOUND: ")


async def engines_are_looked_at_and_steered(line: Line, engine_id: str) -> None:
    assert [engine["engine_id"] for engine in (await line.document("engines"))["engines"]] == [engine_id]
    assert (await line.document("drain", engine_id))["state"] == "draining"
    assert (await line.document("undrain", engine_id))["state"] == "online"
    assert ["engine", engine_id] in [one.split() for one in await line.lines("engine-info", engine_id)]
    name = (await line.document("engines"))["engines"][0]["name"]
    assert (await line.document("engine-info", name))["engine_id"] == engine_id
    unknown = "error: USAGE: there is no engine nosuch; `reelyard engines` lists them"
    assert (await line.run("drain", "nosuch")).err.strip() == unknown
    assert (await line.run("approve", "eng_nosuch")).err.startswith("error: ENGINE_NOT_FOUND: ")


async def keys_and_tenants_are_made_and_changed(line: Line) -> None:
    made = await line.document("keys create ci --allow-ip 127.0.0.0/8 --per-hour none --expires-at 2030-01-01T00:00:00Z")
    assert (made["rate_limit_per_hour"], made["allowed_ips"]) == (None, ["127.0.0.0/8"])
    assert set(made["scopes"]) == {"jobs:read", "jobs:write", "files:read", "files:write"}
    rotated = await line.run("keys rotate", made["key_id"], "--overlap", "0")
    assert (rotated.out.strip() != made["api_key"], rotated.err.startswith(made["key_id"])) == (True, True)
    assert made["key_id"] in {key["key_id"] for key in (await line.document("keys"))["api_keys"]}
    assert made["key_id"] in {key["key_id"] for key in (await line.document("keys list"))["api_keys"]}
    assert (await line.document("keys revoke", made["key_id"]))["revoked_at"] is not None
    assert (await line.run("keys create x --per-hour many")).err.startswith("error: USAGE: --per-hour 'many': ")

    assert (await line.document("tenants create studio --weight 2 --max-queued 5"))["max_queued"] == 5
    changed = await line.document("tenants set studio --max-queued none --max-running 2 --default-profile web")
    assert (changed["max_queued"], changed["max_running"], changed["default_profile"]) == (None, 2, "web")
    assert (changed["weight"], [tenant["name"] for tenant in (await line.document("tenants list"))["tenants"]]) == (
        2.0,
        ["default", "studio"],
    )
    marks = [(await line.document(f"tenants set studio --{mark}"))["untrusted"] for mark in ("untrusted", "trusted")]
    assert marks == [True, False]
    assert (await line.run("tenants set studio")).err.startswith("error: USAGE: say what to change")


async def streams_are_submitted_watched_and_stopped(line: Line, server: Server) -> None:
    """From its submission over the address to publish to and the link to watch to its end."""
    assert (await line.run("submit live:srt")).err.startswith("error: INPUT_KIND_UNSUPPORTED: ")
    assert (await line.document("validate live:rtmp"))["warnings"] == ["a live stream is looked at when it comes"]
    job = await line.document("submit live:rtmp")
    early = await line.run("live", job["job_id"])
    assert (job["profile"], early.code, early.err.startswith("error: LIVE_NOT_STREAMING: ")) == ("live", 2, True)

    able = {"provided": ["operation:live", "encoder:aac", "encoder:libx264"]}
    engine = await server.new_engine(name="stage", capabilities=able)
    grant = (await server.lease(engine, "req-0001"))["tasks"][0]
    await server.report(engine, grant, "start")
    await streams(server, engine, grant, state="waiting", ingest_url=INGEST)
    waiting = await line.lines("live", job["job_id"])
    await streams(server, engine, grant, state="streaming", seconds=4.0)
    running = await line.document("live", job["job_id"])

    assert ["publish", "to", INGEST] in [one.split() for one in waiting]
    assert running["link"]["url"].startswith(f"{server.url}/files/live/"), "no public_url is set"
    assert (running["live"]["state"], running["live"]["seconds"]) == ("streaming", 4.0)
    assert (await line.lines("stop", job["job_id"]))[0].startswith(f"{job['job_id']} ends; ")
    assert (await line.run("stop job_nosuch")).err.startswith("error: JOB_NOT_FOUND: ")


async def streams(server: Server, engine: tuple[str, str], grant: Json, **live: object) -> None:
    step = {"name": "stream_live", "state": "running", "live": live}
    task = {"task_id": grant["task_id"], "token": grant["token"], "started": True, "steps": [step]}
    slots = {"encoding": 1, "light": 2, "free_encoding": 0, "free_light": 2}
    beat = {"boot_id": "boot-0001", "state": "online", "load": {}, "slots": slots, "running": [task]}
    answer = await server.call("POST", f"/api/v1/engines/{engine[0]}/heartbeat", key=engine[1], json=beat)
    assert answer.status == 200, answer


async def what_was_made_is_played(line: Line, server: Server) -> None:
    job_id = await finished(server)
    reply = await line.document("playback", job_id)
    shown = [one.split() for one in await line.lines("playback", job_id)]

    assert (reply["url"], reply["drm"]) == (reply["hls_url"], None)
    assert reply["url"].startswith(f"{server.url}/files/s/")
    assert [row[0] for row in shown] == ["FACT", "link", "type", "hls", "dash", "expires"]
    assert (await line.run("playback job_nosuch")).err.startswith("error: JOB_NOT_FOUND: ")


async def profiles_go_out_and_in(line: Line, tmp_path: Path) -> None:
    """What is told of a profile is what is taken, from JSON and from TOML."""
    mine = tmp_path / "mine.json"
    mine.write_text("\n".join(await line.lines("profiles get web")).replace('"name": "web"', '"name": "mine"'))
    small = tmp_path / "small.toml"
    small.write_text('name = "mine"\ndescription = "sound alone"\n[audio]\nbitrate = 128000\n')

    assert (await line.document("profiles put", str(mine)))["name"] == "mine"
    assert (await line.document("profiles put", str(small)))["description"] == "sound alone"
    assert "mine" in {profile["name"] for profile in (await line.document("profiles list"))["profiles"]}
    assert (await line.run("profiles put", str(tmp_path / "none.json"))).err.startswith("error: LOCAL_FILE: cannot read ")
    small.write_text('name = "mine"\ndescription = sound\n')
    broken = await line.run("profiles put", str(small))
    assert (broken.code, broken.err) == (
        2,
        f"error: VALIDATION_FAILED: {small} is no TOML: Invalid value (at line 2, column 15)\n",
    )
    assert (await line.lines("profiles delete mine")) == ["profile mine is taken out"]
    assert (await line.run("profiles delete web")).err.startswith("error: PROFILE_BUILT_IN: ")


async def webhooks_are_set_up(line: Line) -> None:
    added = await line.document("webhooks endpoints add http://127.0.0.1:9/x --event job.failed --description mine")
    endpoint_id = added["endpoint_id"]
    tried = await line.run("webhooks endpoints test", endpoint_id)
    assert (tried.code, tried.out.startswith("not delivered in ")) == (1, True), tried
    assert (await line.document("webhooks endpoints disable", endpoint_id))["enabled"] is False
    assert (await line.document("webhooks endpoints enable", endpoint_id))["enabled"] is True
    assert (await line.document("webhooks secret show", endpoint_id))["secret"] == added["secret"]
    assert (await line.document("webhooks secret rotate", endpoint_id))["secret"] != added["secret"]
    assert (await line.lines("webhooks secret show")) == [(await line.document("webhooks secret show"))["secret"]]
    listed = [await line.document(words) for words in ("webhooks", "webhooks endpoints", "webhooks endpoints list")]
    assert [[one["endpoint_id"] for one in page["endpoints"]] for page in listed] == [[endpoint_id]] * 3
    assert (await line.run("webhooks endpoints add http://h --event job.eaten")).err.startswith("error: VALIDATION_FAILED: ")
    assert (await line.document("webhooks deliveries list --state dead"))["total"] == 0
    assert (await line.run("webhooks deliveries show whd_1")).err.startswith("error: DELIVERY_NOT_FOUND: ")
    assert (await line.run("webhooks deliveries redeliver whd_1")).err.startswith("error: DELIVERY_NOT_FOUND: ")
    assert (await line.lines("webhooks endpoints remove", endpoint_id)) == [f"{endpoint_id} (http://127.0.0.1:9/x) is removed"]


async def releases_are_signed_and_served(line: Line, server: Server, tmp_path: Path) -> None:
    key, data = tmp_path / "release.key", tmp_path / "data"
    made = await line.document("releases key", str(key))
    assert (made["key_file"], key.stat().st_mode & 0o777) == (str(key), 0o600)
    assert (await line.run("releases key", str(key))).err.startswith(f"error: USAGE: {key} exists")
    ours = str(wheel(tmp_path, "9.9.9"))
    told = ["--key-file", str(key), "--data", str(data)]
    assert (await line.run("releases publish", ours, *told, "--expires", "some day")).err.startswith("error: USAGE: --expires ")
    published = await line.document("releases publish", ours, *told, "--expires", "2099-01-01", "--platform", "linux-x86_64")
    assert (published["version"], published["platforms"]) == ("9.9.9", ["linux-x86_64"])
    _, credential = await server.new_engine(name="signed")
    latest = await server.call("GET", "/api/v1/engine-releases/latest", key=credential)
    assert release_of(Envelope.model_validate_json(latest.body)).files[0].name == "reelyard-9.9.9-py3-none-any.whl"
    file = await server.call("GET", "/api/v1/engine-releases/files/reelyard-9.9.9-py3-none-any.whl", key=credential)
    assert (file.status, file.body) == (200, await asyncio.to_thread(Path(ours).read_bytes))


async def figures_and_settings_are_told(line: Line) -> None:
    assert (await line.document("stats"))["tenants"]["studio"]["total_jobs"] == 0
    assert (await line.lines("stats"))[0].split() == ["FIGURE", "ALL", "default", "studio"]
    assert {"usage", "total"} <= set(await line.document("usage --from 2026-01-01 --to 2100-01-01 --tenant default"))
    assert {row["action"] for row in (await line.document("audit --action create_tenant"))["audit"]} == {"create_tenant"}
    assert (await line.document("retention"))["items"] == []
    assert (await line.document("dead-letter"))["dead_letters"] == (await line.document("dead-letter list"))["dead_letters"] == []
    assert (await line.run("dead-letter retry job_nosuch")).err.startswith("error: JOB_NOT_FOUND: ")
    assert (await line.run("dead-letter discard job_nosuch")).err.startswith("error: JOB_NOT_FOUND: ")
    settings: Mapping[str, Any] = (await line.document("config show"))["settings"]  # Any: JSON
    assert settings["leases"]["lease_s"] == 60.0
    assert ["leases.lease_s", "60.0"] in [one.split() for one in await line.lines("config show")]
    version = await line.document("version")
    assert (version["client"], version["server_problem"]) == (version["server"], None)


async def test_every_command_does_its_work(tmp_path: Path) -> None:
    """One server for all of them, each part on what the ones before have made."""
    sections = {"webhooks": Webhooks(allow_private_addresses=True, ports=(9,))}
    async with served(tmp_path / "data", sections=sections) as server:
        line = Line(server)
        await jobs_are_looked_for_and_changed(line, tmp_path)
        await a_look_needs_an_engine(line, tmp_path)
        engine_id, _ = await server.new_engine()
        await engines_are_looked_at_and_steered(line, engine_id)
        await keys_and_tenants_are_made_and_changed(line)
        await profiles_go_out_and_in(line, tmp_path)
        await webhooks_are_set_up(line)
        await releases_are_signed_and_served(line, server, tmp_path)
        await figures_and_settings_are_told(line)
        await streams_are_submitted_watched_and_stopped(line, server)
        await what_was_made_is_played(line, server)

    assert {row.words for row in COMMANDS} - line.tried == set(REAL_PROCESSES)


async def test_options_before_a_command_of_a_group_are_refused(tmp_path: Path) -> None:
    ran = await asyncio.to_thread(_ran, ["keys", "--json", "list"])

    assert (ran.code, ran.out, ran.err.startswith("error: USAGE: ")) == (2, "", True)
    assert "--json stands behind `list`, not before it" in ran.err


ENCRYPTS = '{"hls": null, "packaging": {"encryption": {"scheme": "cbcs"}}}'
BURNS = '{"burn_in": {"language": "en"}}'
OF_NO_USE = "attachments.subs: is of no use: profile web names it nowhere, and has no subtitles"
OTHERWISE = "its burn_in draws the film's own track in en: give burn_in.attachment for a file"
REFUSED: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "--profile web --outputs",
        ('{"renditions": ["9p"]}',),
        "outputs.renditions: profile web has no 9p; it has 360p, 720p",
    ),
    ("--profile web --outputs", ('{"watermark": {}}',), "attachments.watermark: is required: profile web uses it"),
    ("--profile web --attach subs=", (), OF_NO_USE),
    ("--profile web --attach subs=", ("--outputs", BURNS), f"{OF_NO_USE}; {OTHERWISE}"),
    (
        "--profile web --content-keys ",
        (),
        "content_keys: profile web encrypts nothing: leave them out, or give packaging.encryption",
    ),
    (
        "--profile web --outputs",
        (ENCRYPTS,),
        "content_keys: is required: profile web encrypts by cbcs; give --content-keys FILE",
    ),
    ("--profile live", (), "profile: live takes a live input"),
    ("--profile noop", (), "input: profile noop takes no input"),
)


async def test_what_no_file_can_mend_is_told_before_one_is_sent(tmp_path: Path) -> None:
    film, keys = tmp_path / "film.mp4", tmp_path / "keys.json"
    film.write_bytes(FILM)
    keys.write_text(KEYS.model_dump_json(exclude_none=True))
    async with served(tmp_path / "data") as server:
        line = Line(server)
        unknown = await line.run("submit", str(film), "--profile", "nosuch")
        told = [
            await line.run("submit " + words + (str(keys) if words[-1] in "= " else ""), *more, str(film))
            for words, more, _ in REFUSED
        ]
        looked = await line.run("validate", str(film), "--outputs", '{"watermark": {}}')

    known = "archive, audio, av1, dash, frames, hls-cmaf, live, noop, preview, thumbnails, web, web-hq"
    assert (unknown.code, unknown.err) == (2, f"error: PROFILE_NOT_FOUND: there is no profile nosuch; known are {known}\n")
    assert [(ran.code, ran.err) for ran in told] == [(2, f"error: VALIDATION_FAILED: {why}\n") for _, _, why in REFUSED]
    assert (looked.code, looked.err) == (2, "error: VALIDATION_FAILED: attachments.watermark: is required: profile web uses it\n")
    assert not (tmp_path / "data/storage/uploads").exists() or not list((tmp_path / "data/storage/uploads").iterdir())
