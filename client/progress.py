"""How a watched job is shown: bars on a terminal, lines in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from client.errors import one_line
from client.rows import failure, input_name
from client.screen import Screen
from client.table import size, span
from protocol.jobs import JobView, StepView
from protocol.states import TERMINAL_JOB_STATES, JobState, StepState

TENTHS = 10  # percent between two lines about the same step


def ending(job: JobView) -> str:
    """One sentence about a job that has ended."""
    match job.state:
        case JobState.COMPLETED:
            return f"{job.job_id} completed in {span(job.processing_time_seconds)}"
        case JobState.CANCELLED:
            return f"{job.job_id} was cancelled"
        case _:
            return f"{job.job_id} failed: {failure(job) or 'no reason was told'}"


def changes(before: JobView | None, after: JobView) -> list[str]:
    """The lines that tell what is new: the status, attempts that failed, steps that ended, every tenth of running ones."""
    old = {step.name: step for step in before.tasks} if before else {}
    told = [
        f"{after.job_id} {line}" for line in (*_new_failures(before, after), *_new_endings(old, after), *_new_tenths(old, after))
    ]
    if after.state in TERMINAL_JOB_STATES:
        return told if before is not None and before.state == after.state else [*told, ending(after)]
    if before is None or before.status != after.status:
        told.insert(0, f"{after.job_id} {after.status}")
    return told


def _new_failures(before: JobView | None, after: JobView) -> Iterator[str]:
    """An attempt that failed is told even when another one follows: the job's own error comes only with its end."""
    known = {attempt.token for attempt in before.attempts if attempt.error} if before else set[int]()
    for attempt in after.attempts:
        if attempt.error and attempt.token not in known:
            yield f"attempt {attempt.token} ({attempt.kind}) {attempt.state}: {attempt.error}"


def _new_endings(old: Mapping[str, StepView], after: JobView) -> Iterator[str]:
    for step in after.tasks:
        if step.name in old and old[step.name].status is step.status:
            continue
        match step.status:
            case StepState.COMPLETED:
                yield f"{step.name} completed{_measures(step)}"
            case StepState.FAILED | StepState.SKIPPED:
                yield f"{step.name} {step.status}" + (f": {step.error}" if step.error else "")
            case StepState.PENDING | StepState.RUNNING:
                pass


def _new_tenths(old: Mapping[str, StepView], after: JobView) -> Iterator[str]:
    """One line for all steps that reached the same tenth: steps of one process go hand in hand."""
    reached: dict[int, list[str]] = {}
    for step in after.tasks:
        had = old.get(step.name)
        is_new = had is None or had.status is not StepState.RUNNING or _tenth(had) != _tenth(step)
        if step.status is StepState.RUNNING and is_new:
            reached.setdefault(_tenth(step), []).append(step.name)
    for tenth, names in reached.items():
        yield f"{tenth * TENTHS} %: {' '.join(names)}"


def _tenth(step: StepView) -> int:
    return int(step.progress_percent // TENTHS)


def _measures(step: StepView) -> str:
    known = [text for text in (span(step.duration_seconds), size(step.output_size_bytes)) if text != "-"]
    return f" ({', '.join(known)})" if known else ""


class Display(Protocol):
    """Shows uploads and jobs while it is open."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
    def sent(self, name: str, count: int, total: int) -> None: ...
    def show(self, job: JobView) -> None: ...


class Lines:
    """A line for every change worth one."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._seen: dict[str, JobView] = {}
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass  # every line is out already

    def sent(self, name: str, count: int, total: int) -> None:
        tenth = count * 10 // total if total else 10
        if self._tenths.get(name) != tenth:
            self._tenths[name] = tenth
            self._write(f"upload {name} {tenth * 10} % of {size(total)}")

    def show(self, job: JobView) -> None:
        for line in changes(self._seen.get(job.job_id), job):
            self._write(line)
        self._seen[job.job_id] = job


_FULL = frozenset({StepState.COMPLETED, StepState.SKIPPED})


class Bars:
    """A bar per upload and step; with several jobs, one per job."""

    def __init__(self, console: Console, *, jobs: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
        )
        self._is_single = jobs == 1
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def sent(self, name: str, count: int, total: int) -> None:
        self._set(f"upload {name}", 100 * count / total if total else 100.0, f"{size(count)} of {size(total)}")

    def show(self, job: JobView) -> None:
        if not self._is_single:
            self._set(f"{job.job_id} {input_name(job)}", job.progress_percent, str(job.status))
            return
        for step in job.tasks:
            self._set(step.name, bar_percent(step), step_note(step))

    def _set(self, name: str, percent: float, note: str) -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(one_line(name), total=100.0, note="")
        self._progress.update(self._bars[name], completed=percent, note=one_line(note))


def bar_percent(step: StepView) -> float:
    """A step that needs no more work is a full bar, whatever its last report said."""
    return 100.0 if step.status in _FULL else step.progress_percent


def step_note(step: StepView) -> str:
    """What stands behind a step's bar."""
    match step.status:
        case StepState.RUNNING:
            return "" if step.eta_seconds is None else f"{span(step.eta_seconds)} left"
        case StepState.COMPLETED:
            return _measures(step).strip(" ()")
        case StepState.FAILED | StepState.SKIPPED:
            return f"{step.status}: {step.error}" if step.error else str(step.status)
        case _:
            return ""


def display(screen: Screen, *, jobs: int) -> Display:
    """Bars on a terminal, else lines."""
    if screen.is_live and not screen.is_json:
        return Bars(Console(), jobs=jobs)
    return Lines(screen.progress)
