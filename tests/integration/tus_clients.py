"""The two real clients of tus that the tests use: `tuspy` in a thread, `tus-js-client` under node."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from tusclient.client import TusClient

from tests.farm import Farm

PACKAGE, INSTALL_S, UPLOAD_S = "tus-js-client@4.3.1", 90.0, 60.0
SCRIPT = Path(__file__).with_name("tus_client.mjs")
UPLOADS = "/api/v1/uploads"
_REFUSED: list[str] = []
"""Why npm could not fetch the package, once it has said so: asking again would cost every test the same wait."""

Json = dict[str, Any]  # Any: what a program prints has no narrower type


def uploader(made: Farm, file: BinaryIO, **options: Any) -> Any:  # the library's own types hold its url for None
    """One upload of `tuspy`; it blocks, so it runs in a thread. A file it opened itself it would never close."""
    client = TusClient(f"{made.url}{UPLOADS}", headers={"X-API-Key": made.key})
    return client.uploader(file_stream=file, metadata={"filename": "film.mp4"}, **options)


async def modules() -> Path:
    """Where npm has put the package, outside of the tree, for all runs to come. Skips the test where it cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "reelyard-tests" / PACKAGE
    if _REFUSED:
        pytest.skip(_REFUSED[0])
    if not _is_installed(cache):
        await _install(cache)
    return cache


def _is_installed(cache: Path) -> bool:
    return (cache / "node_modules" / "tus-js-client").is_dir()


async def _install(cache: Path) -> None:
    """Beside its place first, then renamed: two runs at once do not see each other's half."""
    beside = cache.with_name(f"{cache.name}.{os.getpid()}")
    beside.mkdir(parents=True, exist_ok=True)
    words = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--loglevel=error",
        "--fetch-retries=0",
        "--fetch-timeout=15000",
        "--prefix",
        str(beside),
        PACKAGE,
    ]
    code, said = await _run(words, INSTALL_S)
    if code != 0:
        shutil.rmtree(beside, ignore_errors=True)
        _REFUSED.append(f"npm cannot fetch {PACKAGE}: {(said.strip().splitlines() or ['no answer'])[0][:200]}")
        pytest.skip(_REFUSED[0])
    (beside / "package.json").touch()
    if _is_installed(cache):
        shutil.rmtree(beside, ignore_errors=True)
    else:
        beside.rename(cache)


async def in_node(made: Farm, file: Path, **told: object) -> Json:
    """What the script printed."""
    where = str(await modules())
    asked = {"endpoint": f"{made.url}{UPLOADS}", "key": made.key, "file": str(file), "modules": where, "options": {}, **told}
    code, said = await _run(["node", str(SCRIPT), json.dumps(asked)], UPLOAD_S)
    assert code == 0, said
    printed: Json = json.loads(said.strip().splitlines()[-1])
    return printed


async def _run(words: list[str], within_s: float) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(within_s):
            said, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        return 1, f"not within {within_s:.0f} s"
    return child.returncode or 0, said.decode(errors="replace")
