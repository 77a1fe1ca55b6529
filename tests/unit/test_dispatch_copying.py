"""Copies of records with some fields changed."""

from __future__ import annotations

import dataclasses

import pytest

from dispatch.core.copying import replace
from dispatch.core.records import NO_SOURCE, Job
from protocol.states import JobState

JOB = Job("job_1", "acme", JobState.PENDING, 5, "{}", NO_SOURCE, None, "{}", 3, 60.0, 1.0, 1.0, 1.0, warnings_json='["a"]')


def test_a_copy_is_what_dataclasses_would_make_of_it() -> None:
    copy = replace(JOB, state=JobState.ASSIGNED, version=7, media_json="{}")

    assert copy == dataclasses.replace(JOB, state=JobState.ASSIGNED, version=7, media_json="{}")
    assert JOB.version == 1


def test_a_field_the_record_has_not_is_refused() -> None:
    changes: dict[str, object] = {"colour": "red"}

    with pytest.raises(KeyError):
        replace(JOB, **changes)  # type: ignore[arg-type]  # what mypy refuses is what is tried here
