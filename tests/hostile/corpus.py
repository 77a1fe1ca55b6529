"""All hostile files: each is a case with a name, how it is made, and what must become of it."""

from __future__ import annotations

from tests.hostile import containers, damage, matroskas, movies, pictures, references
from tests.hostile.cases import Case

CASES: tuple[Case, ...] = (
    *references.CASES,
    *movies.CASES,
    *matroskas.CASES,
    *pictures.CASES,
    *containers.CASES,
    *damage.CASES,
)


def named(name: str) -> Case:
    """The case `kind:name`."""
    return next(case for case in CASES if f"{case.kind}:{case.name}" == name)
