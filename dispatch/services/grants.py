"""Writes a grant as the engine reads it: the recipe, signed links for the input and for staging, the lease's length."""

from __future__ import annotations

from functools import lru_cache

from dispatch.core.planning import RECIPE, STEPS
from dispatch.core.records import Job, Task
from protocol import signing
from protocol.addresses import FetchPolicy
from protocol.leases import Grant, InputAccess, RemoteInput
from protocol.recipes import Recipe
from protocol.states import StepState, TaskKind

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


class GrantWriter:
    """Links are paths on this server; the engine puts the server's address before them."""

    def __init__(self, secret: bytes, *, lease_s: float, fetch: FetchPolicy) -> None:
        self._secret, self._lease_s, self._fetch = secret, lease_s, fetch

    def write(self, task: Task, job: Job, *, now: float) -> Grant:
        assert task.recipe_json is not None, "a pending task has its recipe"  # noqa: S101  # an invariant of planning
        makes_files = task.kind is TaskKind.TRANSCODE or job.source.kind == "url"
        return Grant(
            task_id=task.task_id,
            token=task.token,
            job_id=task.job_id,
            kind=task.kind,
            recipe=_recipe(task.recipe_json),
            steps=_open_steps(task.steps_json),
            lease_s=self._lease_s,
            estimate_s=task.cost_s,
            input=self._input(job, now=now) if job.source.kind != "none" else None,
            staging_url=self.staging_url(task, now=now) if makes_files else None,
        )

    def _input(self, job: Job, *, now: float) -> InputAccess:
        if job.source.kind == "url":
            remote = RemoteInput(url=job.source.path, policy=self._fetch)
            return InputAccess(url="", filename=job.source.filename, size=0, remote=remote)
        prefix = f"inputs/{job.job_id}"
        signature = signing.sign(self._secret, method="GET", prefix=prefix, expiry=int(now) + LINK_S)
        url = f"/files/s/{signature}/{prefix}/source"
        return InputAccess(url=url, filename=job.source.filename, size=job.source.size)

    def staging_url(self, task: Task, *, now: float) -> str:
        prefix = staging_prefix(task.job_id, task.task_id, task.token)
        signature = signing.sign(self._secret, method="PUT", prefix=prefix, expiry=int(now) + LINK_S)
        return f"/files/s/{signature}/{prefix}"
