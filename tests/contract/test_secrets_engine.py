"""Secrets on an engine: files for one tool while it runs, and content keys that outlive the engine but not the work."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.core.attempts import key_of
from engine.core.messages import Changes, SavedAttempt
from engine.shell.queue import open_queue
from protocol.leases import Grant
from protocol.packaging import ContentKeys
from tests.contract.minder_tools import journal_of, python, run, tools, work
from tests.unit.engine_desk import completed, grant

SECRET = "9a0e0d0c0b0a09080706050403020199"
KEYS = ContentKeys.model_validate({"keys": ({"key_id": "00" * 16, "key": SECRET},)})
TELLS = """
import json, os
told = {"content": open("below/secret").read(), "mode": oct(os.stat("below/secret").st_mode & 0o777)}
told["words"] = open("/proc/self/cmdline").read() + open("/proc/self/environ").read()
open("told", "w").write(json.dumps(told))
"""


def everything_below(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def everything_of(root: Path, pattern: str) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(root.glob(pattern)))


def modes_below(root: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in root.iterdir()}


async def test_a_tool_finds_its_secret_where_nobody_else_looks_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    directory = work(tmp_path)
    invocation = replace(python(TELLS), secrets=(("below/secret", SECRET.encode()),))

    outcome = await run(0.0, directory, invocation)

    told = json.loads((directory / "told").read_text())
    (directory / "told").unlink()
    assert (outcome.exit_code, told["content"], told["mode"]) == (0, SECRET, "0o600")
    assert SECRET not in told["words"]
    assert SECRET not in repr(outcome)
    assert SECRET.encode() not in everything_below(tmp_path)
    assert not (directory / "below/secret").exists()


async def test_a_secret_is_gone_when_its_tool_is_stopped(tmp_path: Path) -> None:
    directory = work(tmp_path)
    waits = "import time\nprint(open('secret').read() and 'read', flush=True)\ntime.sleep(60)"
    invocation = replace(python(waits), secrets=(("secret", SECRET.encode()),))
    heard = asyncio.Event()

    running = tools(0.0).run(invocation, str(directory), lambda line: heard.set(), None, journal_of(directory).folder)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(running)
        await heard.wait()
        assert (directory / "secret").exists()
        task.cancel()

    assert SECRET.encode() not in everything_below(tmp_path)


async def test_a_secret_of_a_tool_that_ended_without_its_engine_is_removed_by_the_next_one(tmp_path: Path) -> None:
    directory = work(tmp_path)
    invocation = replace(python("print('done')"), secrets=(("secret", SECRET.encode()),))
    await run(60.0, directory, invocation)
    (directory / "secret").write_text(SECRET)

    outcome = await run(60.0, directory, invocation)

    assert (outcome.exit_code, (directory / "secret").exists()) == (0, False)


async def test_a_secret_is_left_to_a_later_tool_that_reads_it_while_an_earlier_one_is_replayed(tmp_path: Path) -> None:
    directory = work(tmp_path)
    first, second = journal_of(directory).folder, journal_of(directory).folder.with_name("1")
    waits = "import time\nprint('runs', flush=True)\ntime.sleep(60)"
    ended, running = (replace(python(code), secrets=(("secret", SECRET.encode()),)) for code in ("print('done')", waits))
    heard = asyncio.Event()
    await tools(60.0).run(ended, str(directory), lambda line: None, None, first)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(tools(0.0).run(running, str(directory), lambda line: heard.set(), None, second))
        await heard.wait()
        await tools(60.0).run(ended, str(directory), lambda line: None, None, first)
        kept = (directory / "secret").exists()
        task.cancel()

    assert (kept, (directory / "secret").exists()) == (True, False)


def sealed(n: int) -> Grant:
    return grant(n).model_copy(update={"keys": KEYS})


async def test_keys_of_a_grant_come_back_after_a_crash_and_were_never_in_the_database(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    async with open_queue(str(path), wall=lambda: 1.0) as queue:
        await queue.save(Changes(granted=(SavedAttempt(sealed(1), order=1), SavedAttempt(grant(2), order=2))))
        database, modes = everything_of(tmp_path, "engine.db*"), modes_below(tmp_path / "keys")

    async with open_queue(str(path), wall=lambda: 1.0) as again:
        saved = await again.load()

    assert [one.grant.keys for one in saved.attempts] == [KEYS, None]
    assert SECRET.encode() not in database
    assert modes == {"tsk_1-1.json": "0o600"}


@pytest.mark.parametrize("is_done", [True, False])
async def test_keys_go_with_the_work_that_needed_them(tmp_path: Path, is_done: bool) -> None:
    async with open_queue(str(tmp_path / "engine.db"), wall=lambda: 1.0) as queue:
        await queue.save(Changes(granted=(SavedAttempt(sealed(1), order=1),)))
        await queue.save(Changes(finals=(completed(sealed(1)),)) if is_done else Changes(forgotten=(key_of(sealed(1)),)))

    forms = (SECRET.encode(), bytes.fromhex(SECRET), base64.b64encode(bytes.fromhex(SECRET)))
    assert not [form for form in forms if form in everything_below(tmp_path)]
    assert os.listdir(tmp_path / "keys") == []


async def test_keys_that_belong_to_no_work_are_removed_at_the_start(tmp_path: Path) -> None:
    async with open_queue(str(tmp_path / "engine.db"), wall=lambda: 1.0) as queue:
        await queue.save(Changes(granted=(SavedAttempt(sealed(1), order=1),)))
    (tmp_path / "keys/tsk_9-9.json").write_text(SECRET)
    (tmp_path / "keys/tsk_9-9.tmp").write_text(SECRET)

    async with open_queue(str(tmp_path / "engine.db"), wall=lambda: 1.0) as again:
        await again.load()

    assert os.listdir(tmp_path / "keys") == ["tsk_1-1.json"]
