"""What a dry run knows of how fast the engines here encode."""

from __future__ import annotations

from dispatch.core.records import Engine
from dispatch.ports import Commit
from dispatch.services.registry import EngineRegistry
from protocol.capabilities import Capabilities, EncoderSpeed
from protocol.recipes import Pace
from protocol.states import EngineState
from tests.unit.dispatch_jobs import NOW

PACE, OTHER = Pace("libx264", 720), Pace("libx265", 720)


class Still:
    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def engine(name: str, fps: float | None, state: EngineState = EngineState.ONLINE) -> Engine:
    speeds = () if fps is None else (EncoderSpeed(encoder=PACE.encoder, height=PACE.height, fps=fps),)
    return Engine(
        engine_id=name,
        name=name,
        hostname=f"{name}.local",
        boot_id="boot-0001",
        software_version="0.1.0",
        state=state,
        credential_sha256="",
        capabilities_json=Capabilities(provided=frozenset(), speeds=speeds).model_dump_json(),
        tags=(),
        slots_json="{}",
        load_json="{}",
        registered_at=NOW,
        last_heartbeat_at=NOW,
    )


def registry(*engines: Engine) -> EngineRegistry:
    made = EngineRegistry(Still())
    made.load(engines)
    return made


def test_the_middle_of_those_that_take_work_and_have_measured_counts() -> None:
    some = registry(
        engine("eng_1", 10.0),
        engine("eng_2", 90.0),
        engine("eng_3", 40.0),
        engine("eng_4", None),
        engine("eng_5", 1.0, EngineState.LOST),
    )

    assert (some.speed_of(PACE), some.speed_of(OTHER), registry().speed_of(PACE)) == (40.0, None, None)


def test_what_an_engine_tells_anew_counts_from_its_commit_on() -> None:
    known = registry(engine("eng_1", 10.0))
    before = known.speed_of(PACE)
    known(Commit((), (), (), (), engines=(engine("eng_1", 25.0),)))
    after = known.speed_of(PACE)
    known(Commit((), (), (), (), gone_engines=("eng_1",)))

    assert (before, after, known.speed_of(PACE)) == (10.0, 25.0, None)
