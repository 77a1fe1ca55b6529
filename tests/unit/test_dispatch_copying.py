"""Copies of records with some fields changed."""

from __future__ import annotations

import dataclasses

import pytest

from dispatch.core.copying import maker, replace
from dispatch.core.records import NO_SOURCE, Job
from protocol.states import JobState

JOB = Job("job_1", "acme", JobState.PENDING, 5, "{}", NO_SOURCE, None, "{}", 3, 60.0, 1.0, 1.0, 1.0, warnings_json='["a"]')


def test_a_copy_is_what_dataclasses_would_make_of_it() -> None:
    copy = replace(JOB, state=JobState.ASSIGNED, version=7, media_json="{}")

    assert copy == dataclasses.replace(JOB, state=JobState.ASSIGNED, version=7, media_json="{}")
    assert JOB.version == 1


def test_a_field_the_record_has_not_is_refused() -> None:
    changes: dict[str, object] = {"colour": "red"}

    with pytest.raises(AttributeError):
        replace(JOB, **changes)  # type: ignore[arg-type]  # what mypy refuses is what is tried here


def test_a_copy_is_as_frozen_as_what_it_was_made_of() -> None:
    copy = replace(JOB, version=7)

    assert (type(copy), hash(copy)) == (Job, hash(dataclasses.replace(JOB, version=7)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        copy.version = 8  # type: ignore[misc]  # what mypy refuses is what is tried here


def test_a_made_record_is_the_constructed_one() -> None:
    values = [getattr(JOB, field.name) for field in dataclasses.fields(Job)]

    assert maker(Job)(*values) == JOB


def test_a_record_that_looks_after_its_own_making_is_refused() -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Careful:
        size: int

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError(self.size)

    with pytest.raises(TypeError):
        maker(Careful)
