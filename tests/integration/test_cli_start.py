"""The command line as it starts: what it loads, completions of shells, settings checked without a start."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

pytestmark = pytest.mark.integration

KEPT = {name: value for name, value in os.environ.items() if not name.startswith(("REELYARD_", "_REELYARD", "COMP_"))}
REELYARD = str(Path(sys.executable).with_name("reelyard"))
HEAVY = ("aiohttp", "stamina", "sqlalchemy", "rich.progress", "protocol.operations")


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([REELYARD, *words], env=KEPT | environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("words", [["--help"], ["keys", "--help"], ["version"], ["version", "--server", "127.0.0.1:1"]])
def test_a_start_loads_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    """What is loaded is what a start costs: some 200 ms without these, 500 ms with them. (typer itself takes pydantic.)"""
    program = (
        "import sys\nfrom client.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as left:\n    code = left.code\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], env=KEPT, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ran.stderr.splitlines()[-1] == "0 []", ran.stderr


def test_bash_completes_a_command_and_its_options() -> None:
    def completed(*typed: str) -> list[str]:
        told = {"_REELYARD_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(typed), "COMP_CWORD": str(len(typed) - 1)}
        return run(**told).stdout.split()

    assert completed("reelyard", "sub") == ["submit"]
    assert completed("reelyard", "webhooks", "end") == ["endpoints"]
    assert "--webhook" in completed("reelyard", "submit", "--we")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    ran = run(_REELYARD_COMPLETE=f"source_{shell}")

    assert (ran.returncode, f"complete_{shell}" in ran.stdout) == (0, True), ran


def test_bash_takes_the_script_and_completes_by_it() -> None:
    script = run(_REELYARD_COMPLETE="source_bash").stdout
    typed = f'{script}\nCOMP_WORDS=(reelyard dead); COMP_CWORD=1\n_reelyard_completion reelyard\necho "${{COMPREPLY[@]}}"'
    path = f"{Path(REELYARD).parent}{os.pathsep}{KEPT['PATH']}"

    ran = subprocess.run(["bash", "-c", typed], env=KEPT | {"PATH": path}, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stdout.strip()) == (0, "dead-letter"), ran


def test_settings_are_checked_and_shown_without_a_start(tmp_path: Path) -> None:
    file = tmp_path / "dispatch.toml"
    file.write_text('[jwt]\njwks_url = "https://name:geheim@login.example/keys"\nissuer = "i"\naudience = "a"\n')
    shown = run("config", "check", "--config", str(file), "--data", str(tmp_path / "data"))
    told = tomllib.loads(shown.stdout)
    (tmp_path / "again.toml").write_text(shown.stdout.replace("********@", ""))

    again = run("config", "check", "--config", str(tmp_path / "again.toml"), "--json")

    assert (shown.returncode, told["leases"]["lease_s"], "geheim" in shown.stdout) == (0, 60.0, False), shown
    assert told["jwt"]["jwks_url"] == "https://********@login.example/keys"
    assert json.loads(again.stdout)["settings"]["jwt"]["issuer"] == "i"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[leases]\nlease_s = -1\n", "leases.lease_s: Input should be greater than 0"),
        ("[leases]\nlease = 1\n", "leases.lease: Extra inputs are not permitted"),
        ("leases = \n", "not TOML"),
        ('[jobs]\ndefault_profile = "nosuch"\n', "there is no profile 'nosuch'"),
    ],
)
def test_bad_settings_are_one_line(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "dispatch.toml"
    file.write_text(text)

    ran = run("config", "check", "--config", str(file), "--json")

    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran
    assert ran.stderr.startswith("error: SETTINGS_INVALID: ")
    assert problem in json.loads(ran.stdout)["error"]["message"]


def test_settings_of_an_engine_are_checked_too(tmp_path: Path) -> None:
    file = tmp_path / "engine.toml"
    file.write_text('server = "http://farm.example:8080"\nslots = 3\n')

    good = run("config", "check", "--engine", "--config", str(file))
    bad = run("config", "check", "--engine")

    assert (good.returncode, tomllib.loads(good.stdout)["slots"]) == (0, 3)
    assert (bad.returncode, bad.stdout, bad.stderr) == (2, "", "error: SETTINGS_INVALID: server: Field required\n")


def test_a_server_of_this_terminal_takes_its_settings_from_a_file(tmp_path: Path) -> None:
    """One that means nothing ends it at once, with the reason; that it was read is what this shows."""
    (tmp_path / "d.toml").write_text("lissten = 'a:1'\n")

    ran = run("up", "--config", str(tmp_path / "d.toml"), "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")

    assert (ran.returncode, "dispatch: lissten: " in ran.stderr, "PROCESS_DIED" in ran.stderr) == (3, True, True), ran


def test_an_address_that_is_taken_is_told_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        ran = run("dispatch", "--data", str(tmp_path / "data"), "--listen", address)

    told = f"dispatch: cannot listen on {address}: Address already in use; stop what does, or give another --listen"
    assert (ran.returncode, ran.stderr.splitlines()[-1]) == (1, told), ran


def test_https_to_what_speaks_http_is_named(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        ran = run("jobs", "--server", f"https://127.0.0.1:{server.server_port}", "--key", "k")
    finally:
        server.shutdown()
        server.server_close()

    assert (ran.returncode, "https was asked for" in ran.stderr) == (3, True), ran
