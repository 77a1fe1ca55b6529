"""One rule taken out for the length of a world.

The rules are plain functions and methods, looked up in their module or class when they are called. A mutant puts
another in their place, and takes it away again. This is the one place where that is allowed: a guard that could be
switched off by an argument would be a switch in production that only its test uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.sim.plan import Plan, draw_plan


@dataclass(frozen=True, slots=True)
class Mutant:
    """`where` has `name` replaced by `instead`; `takes_out` says which rule is gone.

    `draw` makes the kind of world in which the rule matters most.
    """

    takes_out: str
    where: Any  # a module or a class
    name: str
    instead: Any  # whatever stands there
    draw: Callable[[int], Plan] = draw_plan

    @contextmanager
    def applied(self) -> Iterator[None]:
        kept = self.where.__dict__[self.name]
        setattr(self.where, self.name, self.instead)
        try:
            yield
        finally:
            setattr(self.where, self.name, kept)
