"""Writes a grant as the engine reads it: the recipe, signed links for the input and for staging, the lease's length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import structlog

from dispatch.core import live
from dispatch.core.feeding import SOURCE, Brought, brought_files, brought_names, read_paths, reads_input
from dispatch.core.planning import RECIPE, STEPS
from dispatch.core.records import Job, StagedRow, Task
from dispatch.core.s3_inputs import KIND, object_of
from dispatch.services.s3_inputs import NO_BUCKETS, S3Inputs
from dispatch.services.sealing import Sealer, Unsealable
from protocol import signing
from protocol.addresses import FetchPolicy
from protocol.leases import Grant, InputAccess, LiveAccess, RemoteInput, SharedFile, TaskInput
from protocol.packaging import ContentKeys
from protocol.recipes import PackageRecipe, Recipe
from protocol.states import StepState, TaskKind
from protocol.storage import DirectAccess, StorageUnavailable

log = structlog.get_logger()

MAKE_NOTHING = frozenset({TaskKind.ANALYZE, TaskKind.NOOP})

LINK_S = 7 * 86_400
"""Links given to engines outlive any lease; staging links fence by their path, which holds the token."""


@lru_cache(maxsize=1024)
def _recipe(recipe_json: str) -> Recipe:
    return RECIPE.validate_json(recipe_json)


@lru_cache(maxsize=1024)
def _open_steps(steps_json: str) -> tuple[str, ...]:
    return tuple(step.name for step in STEPS.validate_json(steps_json) if step.state is not StepState.SKIPPED)


def staging_prefix(job_id: str, task_id: str, token: int) -> str:
    return f"staging/{job_id}/{task_id}/{token}"


@dataclass(frozen=True, slots=True)
class Past:
    """What engines read and write past this server: the storage where it hands out links, and buckets of others."""

    direct: DirectAccess | None = None
    buckets: S3Inputs = NO_BUCKETS


class GrantWriter:
    """Links are paths on this server, before which the engine puts the server's address, or whole ones past it.

    A link past this server is made anew for each grant. Where none can be made now, one to this server stands in for it.
    """

    def __init__(self, secret: bytes, sealer: Sealer, *, lease_s: float, fetch: FetchPolicy, past: Past = Past()) -> None:
        self._secret, self._sealer, self._lease_s, self._fetch = secret, sealer, lease_s, fetch
        self._direct, self._buckets = past.direct, past.buckets

    def write(
        self, task: Task, job: Job, *, now: float, staged: Iterable[StagedRow] = (), shared: SharedFile | None = None
    ) -> Grant:
        """`staged` are the files of the job's other tasks, where this one reads any."""
        assert task.recipe_json is not None, "a pending task has its recipe"  # noqa: S101  # an invariant of planning
        makes_files = task.kind not in MAKE_NOTHING or job.source.kind == "url"
        recipe = _recipe(task.recipe_json)
        of_siblings = read_paths(recipe)
        return Grant(
            task_id=task.task_id,
            token=task.token,
            job_id=task.job_id,
            kind=task.kind,
            recipe=recipe,
            steps=_open_steps(task.steps_json),
            lease_s=self._lease_s,
            estimate_s=task.cost_s,
            input=self._input(job, shared, now=now) if job.source.kind != "none" and reads_input(recipe) else None,
            inputs=(*self._inputs(of_siblings, staged, now=now), *self._brought(recipe, job, now=now)),
            staging_url=self.staging_url(task, now=now) if makes_files else None,
            stages_directly=makes_files and self._direct is not None,
            live=self._live(task, now=now) if task.kind is TaskKind.LIVE else None,
            keys=self._keys(recipe, job),
        )

    def _keys(self, recipe: Recipe, job: Job) -> ContentKeys | None:
        """For the engine that encrypts, and nobody else. It fails the task where they cannot be read any more."""
        if not isinstance(recipe, PackageRecipe) or recipe.packaging.encryption is None or job.keys_sealed is None:
            return None
        try:
            return ContentKeys.model_validate_json(self._sealer.open(job.keys_sealed))
        except Unsealable as problem:
            log.error("content_keys_unreadable", job=job.job_id, problem=str(problem))
            return None

    def _input(self, job: Job, shared: SharedFile | None, *, now: float) -> InputAccess:
        if job.source.kind == "url":
            remote = RemoteInput(url=job.source.path, policy=self._fetch)
            return InputAccess(url="", filename=job.source.filename, size=0, remote=remote)
        source = job.source
        url, etag = self._original(job, now=now), object_of(source).etag if source.kind == KIND else None
        return InputAccess(url=url, filename=source.filename, size=source.size, sha256=source.sha256, shared=shared, etag=etag)

    def _original(self, job: Job, *, now: float) -> str:
        here = self._here(f"inputs/{job.job_id}", SOURCE, now=now)
        if job.source.kind == KIND:
            return _made(lambda: self._buckets.link(job.source, seconds=LINK_S)) or here
        return self._stored(job.source.path) or here if job.source.kind == "storage" else here

    def _stored(self, path: str) -> str | None:
        direct = self._direct
        return None if direct is None else _made(lambda: direct.read_link(path, seconds=LINK_S))

    def _here(self, prefix: str, name: str, *, now: float) -> str:
        signature = signing.sign(self._secret, method="GET", prefix=prefix, expiry=int(now) + LINK_S)
        return f"/files/s/{signature}/{prefix}/{name}"

    def _brought(self, recipe: Recipe, job: Job, *, now: float) -> tuple[TaskInput, ...]:
        """Links to what came with the job beside its input; what is purged by now is left out, and the engine says so."""
        files = brought_files(job)
        names = sorted(brought_names(recipe) & files.keys())
        return tuple(TaskInput(name=name, access=self._beside(job, name, files[name], now=now)) for name in names)

    def _beside(self, job: Job, name: str, file: Brought, *, now: float) -> InputAccess:
        url = self._stored(file.path) or self._here(f"inputs/{job.job_id}", name, now=now)
        return InputAccess(url=url, filename=file.filename, size=file.size, sha256=file.sha256)

    def _inputs(self, wanted: Mapping[str, str], staged: Iterable[StagedRow], *, now: float) -> tuple[TaskInput, ...]:
        """Links to what siblings staged, each good for the files of one token alone."""
        rows = {row.path: row for row in staged}
        return tuple(TaskInput(name=name, access=self._staged(rows[path], now=now)) for name, path in wanted.items())

    def _staged(self, row: StagedRow, *, now: float) -> InputAccess:
        prefix = staging_prefix(row.job_id, row.task_id, row.token)
        url = self._stored(f"{prefix}/{row.path}") or self._here(prefix, row.path, now=now)
        return InputAccess(url=url, filename=row.path.rsplit("/", 1)[-1], size=row.size, sha256=row.sha256)

    def _live(self, task: Task, *, now: float) -> LiveAccess:
        prefix = live.prefix_of(task.job_id, task.token)
        signature = signing.sign(self._secret, method="PUT", prefix=prefix, expiry=int(now) + LINK_S)
        return LiveAccess(publish_url=f"/files/live/{signature}/{prefix}", policy=self._fetch)

    def staging_url(self, task: Task, *, now: float) -> str:
        prefix = staging_prefix(task.job_id, task.task_id, task.token)
        signature = signing.sign(self._secret, method="PUT", prefix=prefix, expiry=int(now) + LINK_S)
        return f"/files/s/{signature}/{prefix}"


def _made(link: Callable[[], str | None]) -> str | None:
    try:
        return link()
    except StorageUnavailable as away:
        log.warning("no_link_past_dispatch", reason=away.reason)
        return None
