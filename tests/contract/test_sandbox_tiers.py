"""The tiers, each tried by a real tool that wants out, through the minder as every tool."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.shell.journal import ToolLost
from engine.shell.process import Tools
from engine.shell.sandbox import Sandboxing, at_tier
from engine.shell.sandbox_check import SandboxCheck, SandboxUnfit, Trial, python_files
from plugins.media.locate import locate
from protocol.plugins import Invocation, Limits, Outcome

TIERS = (1, 2, 3)
LIMITS = Limits(wall_s=60.0, cpu_s=60, memory_bytes=1 << 30, file_bytes=64 << 20)


def tools_at(sandboxing: Sandboxing) -> Tools:
    return Tools(SystemClock(), confinement=sandboxing.of)


@pytest.fixture
def check(tmp_path: Path) -> SandboxCheck:
    return SandboxCheck(tools_at, tmp_path)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Trial]:
    """What the self-test says of each tier on this machine."""
    check = SandboxCheck(tools_at, tmp_path_factory.mktemp("trials"))

    async def tried() -> dict[int, Trial]:
        return {tier: await check.run_once(tier) for tier in (0, *TIERS)}

    return asyncio.run(tried())


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest, trials: dict[int, Trial]) -> int:
    """Each tier that can be had on this machine; the others are skipped with what is missing."""
    return available(trials[request.param])


@pytest.fixture(params=(2, 3))
def closed(request: pytest.FixtureRequest, trials: dict[int, Trial]) -> int:
    """Each tier that confines, likewise."""
    return available(trials[request.param])


def available(trial: Trial) -> int:
    """A tier that cannot be set up is skipped, one that lets something out is not."""
    if trial.problem is not None and not trial.problem.startswith("a tool in it could"):
        pytest.skip(f"tier {trial.tier}: {trial.problem}")
    return trial.tier


async def said_by(script: str, *words: str, tier: int, directory: Path) -> Outcome:
    """What a Python script, run as a tool at this tier, did."""
    work = directory / "work"
    work.mkdir(exist_ok=True)
    invocation = Invocation(
        name="script",
        argv=(sys.executable, "-I", "-S", "-B", "-c", script, *words),
        readable=tuple(python_files()),
        limits=LIMITS,
    )
    return await tools_at(at_tier(tier)).run(invocation, str(work), lambda line: None)


def test_a_tool_reads_the_libraries_it_came_with(tmp_path: Path) -> None:
    for folder in ("bin", "lib", "share"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bin" / "tool").touch()
    (tmp_path / "link").symlink_to(tmp_path / "bin" / "tool")

    sandbox = Sandboxing(2).of(Invocation(name="x", argv=(str(tmp_path / "link"),), readable=("/opt/model",)), "/work")

    assert (sandbox["tool"], sandbox["readable"]) == (
        (str(tmp_path / "bin" / "tool"), str(tmp_path / "link")),
        ("/opt/model", str(tmp_path / "lib")),
    )


def test_a_tier_that_can_be_had_lets_nothing_out(tier: int, trials: dict[int, Trial]) -> None:
    assert trials[tier] == Trial(tier, None)


def test_the_probe_sees_a_sandbox_that_is_not_there(trials: dict[int, Trial]) -> None:
    crimes = {"connect tcp", "connect unix", "empty outside", "list outside", "plant link", "read outside"}
    crimes |= {"remove outside", "send unix", "change outside", "write input", "leave memory"}

    problem = trials[0].problem

    assert problem is not None
    assert crimes <= set(problem.removeprefix("a tool in it could ").split(", "))


async def test_the_best_tier_that_holds_is_chosen(check: SandboxCheck, trials: dict[int, Trial]) -> None:
    chosen = await check.choose(None)

    assert chosen.tier == max(tier for tier in TIERS if trials[tier].problem is None)


async def test_a_tier_that_was_asked_for_and_does_not_hold_stops_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no bwrap there
    check = SandboxCheck(tools_at, tmp_path)

    with pytest.raises(SandboxUnfit, match=r'tier 3 .* bwrap is not on the PATH; .* Set sandbox = "auto"'):
        await check.choose(3)


async def test_a_tier_in_which_no_tool_works_is_not_taken(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    check = SandboxCheck(lambda asked: tools_at(Sandboxing(asked.tier, str(broken))), tmp_path)

    trial = await check.run_once(3)

    if trial.problem is not None and "not on the PATH" in trial.problem:
        pytest.skip(f"tier 3: {trial.problem}")
    assert trial.problem == "a tool does not work in it (bwrap: setting up uid map: Permission denied)"


ENCODE = (
    *("-v", "error", "-nostdin", "-f", "lavfi", "-i", "mandelbrot=s=320x180", "-frames:v", "30"),
    *("-c:v", "libx264", "-threads", "2", "-bitexact", "file:made.mp4"),
)


async def test_ffmpeg_makes_the_same_bytes_at_every_tier(tmp_path: Path, trials: dict[int, Trial]) -> None:
    invocation = Invocation(name="encode", argv=(locate(os.environ).ffmpeg.path, *ENCODE), limits=LIMITS)
    digests = {}
    for tier in (tier for tier in TIERS if trials[tier].problem is None):
        work = tmp_path / f"work{tier}"
        work.mkdir()
        outcome = await tools_at(at_tier(tier)).run(invocation, str(work), lambda line: None)
        assert (outcome.exit_code, outcome.stderr_tail) == (0, "")
        digests[tier] = hashlib.sha256((work / "made.mp4").read_bytes()).hexdigest()

    assert (digests.keys() >= {1}, len(set(digests.values()))) == (True, 1)


async def test_a_tool_reads_its_input_by_descriptor_and_what_was_named_for_it(tier: int, tmp_path: Path) -> None:
    (tmp_path / "input").write_text("film")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("weights")
    script = f"import sys; print(open(int(sys.argv[1])).read(), open({str(tmp_path / 'model' / 'weights')!r}).read())"
    work = tmp_path / "work"
    work.mkdir()
    invocation = Invocation(
        name="read",
        argv=(sys.executable, "-I", "-S", "-B", "-c", script, "{fd0}"),
        reads=(str(tmp_path / "input"),),
        readable=(*python_files(), str(tmp_path / "model")),
        limits=LIMITS,
    )

    outcome = await tools_at(at_tier(tier)).run(invocation, str(work), lambda line: None)

    assert (outcome.stdout, outcome.exit_code) == (b"film weights\n", 0)


@pytest.mark.parametrize("is_gone", [False, True])
async def test_a_tool_opens_its_input_again_by_its_number(*, is_gone: bool, tier: int, tmp_path: Path) -> None:
    """HandBrake does; the input may be a link to a descriptor of the engine, and the file's name be gone."""
    original, link, work = tmp_path / "original", tmp_path / "link", tmp_path / "work"
    original.write_text("film")
    work.mkdir()
    argv = (sys.executable, "-I", "-S", "-B", "-c", "import sys; print(open('/dev/fd/' + sys.argv[1]).read())", "{fd0}")
    invocation = Invocation(name="again", argv=argv, reads=(str(link),), readable=tuple(python_files()), limits=LIMITS)
    with original.open("rb") as held:
        link.symlink_to(f"/proc/self/fd/{held.fileno()}")
        if is_gone:
            original.unlink()
        outcome = await tools_at(at_tier(tier)).run(invocation, str(work), lambda line: None)

    assert (outcome.stdout, outcome.stderr_tail) == (b"film\n", "")


async def test_a_tool_that_dies_by_a_signal_is_told_so(tier: int, tmp_path: Path) -> None:
    outcome = await said_by("import os; os.kill(os.getpid(), 11)", tier=tier, directory=tmp_path)

    assert outcome.exit_code == -11


async def test_a_tool_has_no_powers_of_root(closed: int, tmp_path: Path) -> None:
    script = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')])"

    outcome = await said_by(script, tier=closed, directory=tmp_path)

    assert outcome.stdout == b"['0000000000000000']\n"


async def test_a_tool_makes_and_removes_what_it_likes_in_its_directory(tier: int, tmp_path: Path) -> None:
    script = (
        "import os; os.mkdir('a'); open('a/b', 'w').write('1'); os.rename('a/b', 'c'); os.truncate('c', 0); os.rmdir('a')\n"
        "print(os.listdir())"
    )

    outcome = await said_by(script, tier=tier, directory=tmp_path)

    assert (outcome.stdout, outcome.stderr_tail) == (b"['c']\n", "")


FORBIDDEN = {  # name: what a tool may not do at tiers 2 and 3, whatever the self-test asks
    "another user's files": "open('/etc/passwd').read()",
    "the engine's memory": f"open('/proc/{os.getpid()}/mem', 'rb').read(1)",
    "processes": "os.execv('/bin/sh', ['sh', '-c', 'exit 0'])",
    "a temporary file": "open('/tmp/reelyard-was-here', 'w')",
    "memory that looks like a disk": "open('/dev/shm/reelyard-was-here', 'w')",
    "memory of others": "open('/dev/mem', 'rb')",
    "a disk": "open('/dev/vda', 'rb')",
    "a device": "os.mknod('null', 0o20600, os.makedev(1, 3))",
    "IPv6": "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "raw packets": "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "another root": "os.chroot('.')",
    "the host's name": "import socket; socket.sethostname('x')",
    "a higher limit": "import resource; resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))",
    "the kernel's settings": "os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)",
    "the kernel's orders": "os.open('/proc/sysrq-trigger', os.O_WRONLY)",
    "the memory of another process in its sandbox": "os.open('/proc/1/mem', os.O_WRONLY)",
    "a file's mode": f"os.chmod({sys.executable!r}, 0o755)",
    "its own minder's view": "called('prctl', 4, 0)",
    "memory that stays": "called('shmget', 0, 4096, 0o600)",
    "the engine's processors": f"os.sched_setaffinity({os.getppid()}, os.sched_getaffinity(0))",
    "the engine's rank": f"os.setpriority(os.PRIO_PROCESS, {os.getpid()}, 19)",
    "another's limits": f"import resource; resource.prlimit({os.getppid()}, resource.RLIMIT_CORE)",
}


TRY_EACH = """
import ctypes, json, os, sys
def called(name, *words):
    if getattr(ctypes.CDLL(None), name)(*words) < 0: raise OSError
for name, crime in json.loads(sys.argv[1]).items():
    try:
        exec(crime)
    except (OSError, ValueError):
        continue
    print("could have", name)
print("tried")
"""


async def test_what_is_forbidden_is_refused(closed: int, tmp_path: Path) -> None:
    outcome = await said_by(TRY_EACH, json.dumps(FORBIDDEN), tier=closed, directory=tmp_path)

    assert (outcome.stdout, outcome.stderr_tail) == (b"tried\n", "")


async def test_most_of_it_is_possible_without_a_sandbox(tmp_path: Path) -> None:
    harmless = {name: FORBIDDEN[name] for name in ("another user's files", "IPv6", "netlink", "another's limits")}

    outcome = await said_by(TRY_EACH, json.dumps(harmless), tier=1, directory=tmp_path)

    assert outcome.stdout.decode().splitlines() == [*(f"could have {name}" for name in harmless), "tried"]


PRY = """
import os, sys
number = int(sys.argv[1])
attempts = {
    "write": lambda: os.close(os.open(f"/proc/self/fd/{number}", os.O_RDWR)),
    "empty": lambda: os.truncate(f"/proc/self/fd/{number}", 0),
    "mode": lambda: os.fchmod(number, 0o777),
    "owner": lambda: os.fchown(number, os.getuid(), os.getgid()),
    "times": lambda: os.utime(number, (1, 1)),
    "attribute": lambda: os.setxattr(number, "user.x", b"1"),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError:
        continue
    print(name)
print(open(number).read())
"""


async def test_an_input_is_not_changed_by_the_descriptor_it_came_as(closed: int, tmp_path: Path) -> None:
    work, original = tmp_path / "work", tmp_path / "original"
    work.mkdir()
    original.write_text("film")
    (tmp_path / "link").symlink_to(original)
    argv = (sys.executable, "-I", "-S", "-B", "-c", PRY, "{fd0}")
    reads = (str(tmp_path / "link"),)
    invocation = Invocation(name="pry", argv=argv, reads=reads, readable=tuple(python_files()), limits=LIMITS)

    outcome = await tools_at(at_tier(closed)).run(invocation, str(work), lambda line: None)

    assert (outcome.stdout, outcome.stderr_tail) == (b"film\n", "")


@contextmanager
def watched(word: str) -> Iterator[list[int]]:
    """Descriptors of all processes that have this word in their command line."""
    numbers = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                numbers.append(os.pidfd_open(int(pid)))
        except OSError:
            continue  # it ended meanwhile
    yield numbers
    for number in numbers:
        os.close(number)


async def test_the_tool_dies_with_its_minder(tier: int, tmp_path: Path) -> None:
    work, loop, is_up = tmp_path / "work", asyncio.get_running_loop(), asyncio.Event()
    work.mkdir()
    script = "import signal, sys; print('up', flush=True); signal.pause()"
    argv = (sys.executable, "-I", "-S", "-B", "-c", script, tmp_path.name)
    invocation = Invocation(name="pause", argv=argv, streams=True, readable=tuple(python_files()), limits=LIMITS)
    tools = tools_at(at_tier(tier))
    running = loop.create_task(tools.run(invocation, str(work), lambda line: is_up.set()))
    async with asyncio.timeout(20):
        await is_up.wait()
        with watched(tmp_path.name) as numbers:
            (minder,) = tools.minders
            os.kill(minder, signal.SIGKILL)

            for number in numbers:
                gone = asyncio.Event()
                loop.add_reader(number, gone.set)
                await gone.wait()
                loop.remove_reader(number)
        with pytest.raises(ToolLost):
            await running

    assert numbers
