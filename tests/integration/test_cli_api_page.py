"""docs/api.md and docs/howto/client.md, run: every block that is marked so, against a real farm of one box."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.processes import UrlFile
from tests.farm import NEVER_BUSY, fact
from tests.media import make_clip

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="curl or bash is not installed"),
]

DOCS = Path(__file__).parents[2] / "docs"
API, CLIENT = DOCS / "api.md", DOCS / "howto" / "client.md"
BLOCK = re.compile(r"^```(bash|python) run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLAIM = re.compile(r"# ->(.*)$", re.MULTILINE)
KEEP = "\n{ declare -p | grep -v '^declare -[^ ]*r'; declare -f; } > vars.new; mv vars.new vars\n"
"""Variables and functions go on to the next block, as in one terminal."""


@dataclass(frozen=True)
class Block:
    language: str
    text: str

    @property
    def claims(self) -> list[str]:
        return [claim.strip() for claim in CLAIM.findall(self.text)]


def blocks(page: Path) -> list[Block]:
    return [Block(language, text) for language, text in BLOCK.findall(page.read_text())]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A farm on this box, a directory with a film in it, and the two variables the page asks for."""
    place = tmp_path_factory.mktemp("page")
    make_clip(place / "film.mp4", seconds=1.5)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REELYARD_")}
    settings = NEVER_BUSY | {"REELYARD_DISPATCH_INPUTS__ALLOWED_ROOTS": f'["{place}"]'}
    data, log = place / "data", (place / "up.log").open("wb")
    url_file = UrlFile(data / "dispatch.url")
    command = [sys.executable, "-m", "client", "up", "--data", str(data), "--listen", "127.0.0.1:0"]
    with log, subprocess.Popen(command, env=kept | settings, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as child:
        try:
            url = asyncio.run(asyncio.wait_for(url_file.written(), 30))
            key = (data / "secrets/admin.key").read_text().strip()
            asyncio.run(fact(lambda: b"engine_registered" in (place / "up.log").read_bytes(), "an engine is there"))
            (place / "vars").touch()
            of_the_command = {"REELYARD_SERVER": url, "REELYARD_API_KEY": key, "XDG_CACHE_HOME": str(place / "cache")}
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            yield kept | of_the_command | {"SERVER": url, "KEY": key, "PWD": str(place), "PATH": path}
        finally:
            child.terminate()
            assert child.wait(30) == 0


@pytest.mark.parametrize("page", [API, CLIENT], ids=lambda page: page.name)
def test_every_block_of_the_page_does_what_it_says(environment: dict[str, str], page: Path) -> None:
    """In their order: a later one uses what an earlier one made."""
    for block in blocks(page):
        ran = subprocess.run(
            _command(block), cwd=environment["PWD"], env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        said = f"{block.text}\n--- said\n{ran.stdout}\n{ran.stderr}"
        assert ran.returncode == 0, said
        _hold(block, ran.stdout, said)


def _command(block: Block) -> list[str]:
    if block.language == "python":
        return [sys.executable, "-c", block.text]
    return ["bash", "-c", f"set -euo pipefail\n. ./vars >/dev/null 2>&1 || true\n{block.text}{KEEP}"]


def _hold(block: Block, output: str, said: str) -> None:
    """Each claim is in the output, behind the one before."""
    at = 0
    for claim in block.claims:
        found = output.find(claim, at)
        assert found >= 0, f"{claim!r} is not there, or not there any more\n{said}"
        at = found + len(claim)


def test_the_pages_have_claims_to_hold() -> None:
    claims = {page: [claim for block in blocks(page) for claim in block.claims] for page in (API, CLIENT)}

    assert (len(blocks(API)) > 10, len(claims[API]) > 30, len(blocks(CLIENT)), len(claims[CLIENT]) > 4) == (True, True, 2, True)
    assert all(claim for told in claims.values() for claim in told)
