"""What the scheduler knows of an engine, and whether a task's requirements fit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dispatch.core.paces import speeds_of
from dispatch.core.records import Engine
from protocol.capabilities import Capabilities
from protocol.recipes import Pace
from protocol.states import EngineState


@dataclass(frozen=True, slots=True)
class EngineSight:
    """An engine as the scheduler sees it; `slots_json` is what it last told about its slots, as stored.

    `weight` is an operator's: one of weight 2 counts as twice as fast, with twice the free slots it has.
    """

    engine_id: str
    name: str
    boot_id: str
    provided: frozenset[str]
    tags: frozenset[str]
    state: EngineState
    wanted: str
    slots_json: str
    capabilities_json: str
    weight: float = 1.0
    speeds: Mapping[Pace, float] = field(default_factory=dict)

    @property
    def takes_work(self) -> bool:
        return self.state is EngineState.ONLINE and self.wanted == "none"


def sight_of(engine: Engine, known: EngineSight | None = None) -> EngineSight:
    """The sight of a stored engine. `known` is the earlier one: unchanged capabilities are not parsed again."""
    if known is not None and known.capabilities_json == engine.capabilities_json:
        provided, speeds, capabilities_json = known.provided, known.speeds, known.capabilities_json
    else:
        told = Capabilities.model_validate_json(engine.capabilities_json)
        provided, speeds, capabilities_json = told.provided, speeds_of(told.speeds), engine.capabilities_json
    return EngineSight(
        engine_id=engine.engine_id,
        name=engine.name,
        boot_id=engine.boot_id,
        provided=provided,
        tags=frozenset(engine.tags),
        state=engine.state,
        wanted=engine.wanted,
        slots_json=engine.slots_json,
        capabilities_json=capabilities_json,
        weight=engine.weight,
        speeds=speeds,
    )


def fits(needs: frozenset[str], tags: frozenset[str], *, provided: frozenset[str], has_tags: frozenset[str]) -> bool:
    return needs <= provided and tags <= has_tags


def first_lack(sight: EngineSight, needs: tuple[str, ...], tags: tuple[str, ...]) -> str | None:
    """The first thing a task asks for that the engine does not have, in words; None when it fits."""
    for need in needs:
        if need not in sight.provided:
            return f"lacks {need}"
    for tag in tags:
        if tag not in sight.tags:
            return f"lacks tag {tag}"
    return None
