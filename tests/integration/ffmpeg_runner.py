"""The least that runs a plugin's attempt as the interface describes it: plan, follow, judge, checks, conclude."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.shell import secrets
from protocol.plugins import Conclusion, Follower, Invocation, MadeFile, Outcome, TranscoderPlugin, Work
from protocol.results import Failure, StepReport

TAIL_BYTES = 65_536


@dataclass
class Attempt:
    """Everything one attempt did."""

    result: Conclusion | Failure | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    reports: list[StepReport] = field(default_factory=list)


def run_process(invocation: Invocation, directory: Path) -> Outcome:
    """Run it with an empty environment in `directory`, its inputs as inherited descriptors."""
    for name in invocation.makes:
        (directory / name).mkdir(parents=True, exist_ok=True)
    secrets.write(str(directory), invocation.secrets)
    descriptors = [os.open(path, os.O_RDONLY) for path in invocation.reads]
    argv = list(invocation.argv)
    for n, descriptor in enumerate(descriptors):
        argv = [argument.replace(f"{{fd{n}}}", str(descriptor)) for argument in argv]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            argv,
            cwd=directory,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **dict(invocation.env)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=descriptors,
            check=False,
            timeout=100,
        )
    finally:
        secrets.forget(str(directory), invocation.secrets)
        for descriptor in descriptors:
            os.close(descriptor)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    tail = done.stderr[-TAIL_BYTES:].decode("utf-8", "replace")
    return Outcome(invocation, done.returncode, done.stdout, tail, wall_seconds=1.0, cpu_seconds=cpu)


def made_files(directory: Path) -> tuple[MadeFile, ...]:
    found = sorted(path for path in directory.rglob("*") if path.is_file())
    return tuple(MadeFile(path.relative_to(directory).as_posix(), path.stat().st_size) for path in found)


def _run_all(plugin: TranscoderPlugin, work: Work, invocations: Sequence[Invocation], attempt: Attempt) -> Failure | None:
    for invocation in invocations:
        outcome = run_process(invocation, Path(work.directory))
        if invocation.streams:
            for line in outcome.stdout.decode().splitlines():
                attempt.reports.extend(plugin.read(work, invocation, line))
        attempt.outcomes.append(outcome)
        if (failure := plugin.judge(work, outcome)) is not None:
            return failure
    return None


def run_attempt(plugin: TranscoderPlugin, work: Work) -> Attempt:
    """Run the whole attempt, and write the extra files of a success."""
    directory = Path(work.directory)
    attempt = Attempt()
    attempt.result = _conclude(plugin, work, attempt)
    if isinstance(attempt.result, Conclusion):
        for name, content in attempt.result.extra.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(content)
    return attempt


def _conclude(plugin: TranscoderPlugin, work: Work, attempt: Attempt) -> Conclusion | Failure:
    if failure := _run_all(plugin, work, plugin.plan(work), attempt):
        return failure
    while isinstance(plugin, Follower) and (more := plugin.follow(work, tuple(attempt.outcomes))):
        if failure := _run_all(plugin, work, more, attempt):
            return failure
    return _prove(plugin, work, attempt)


def _prove(plugin: TranscoderPlugin, work: Work, attempt: Attempt) -> Conclusion | Failure:
    checks = plugin.checks(work, made_files(Path(work.directory)))
    if isinstance(checks, Failure):
        return checks
    if failure := _run_all(plugin, work, checks, attempt):
        return failure
    return plugin.conclude(work, attempt.outcomes, made_files(Path(work.directory)))


def prove_again(plugin: TranscoderPlugin, work: Work, done: Attempt) -> Conclusion | Failure:
    """Check and conclude what lies in the work directory now, after an encode that is done."""
    attempt = Attempt(outcomes=done.outcomes[:1])
    return _prove(plugin, work, attempt)
