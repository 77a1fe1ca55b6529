"""The streams and consumers of a farm on JetStream, made where they are missing and brought to what is written here."""

from __future__ import annotations

from dataclasses import dataclass, fields

import structlog
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DiscardPolicy, RetentionPolicy, StreamConfig
from nats.js.errors import NotFoundError

from protocol.broker import KINDS
from protocol.broker_events import EVENTS_OUT
from protocol.subjects import Subjects

log = structlog.get_logger("broker")
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
TASKS, STATUS, EVENTS, IN, DEAD, ADVICE = "TASKS", "STATUS", "EVENTS", "IN", "DEAD", "ADVICE"
DEDUPE_S = 2 * MINUTE_S
GRANT_ACK_S, GRANT_TRIES = 30.0, 3
"""An engine says that it is at it every ten seconds; dispatch itself takes a grant back long before it comes again."""

MOST_AT_ONCE = 256
ADVISORY = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"


@dataclass(frozen=True, slots=True)
class Keeping:
    """`events_s`: how long events are kept for those who come late; `dead_s`: how long dead letters."""

    events_s: float = 7 * DAY_S
    dead_s: float = 14 * DAY_S
    replicas: int = 1


def streams(subjects: Subjects, keeping: Keeping) -> list[StreamConfig]:
    work, limits = RetentionPolicy.WORK_QUEUE, RetentionPolicy.LIMITS
    status = [subjects.status(kind, "*") for kind in KINDS]
    events = [subjects.event(name) for name, told in EVENTS_OUT.items() if not told.live]
    advice = [f"{ADVISORY}.{subjects.stream(name)}.*" for name in (TASKS, STATUS, IN)]
    rows: list[tuple[str, list[str], RetentionPolicy, float]] = [
        (TASKS, [subjects.tasks("*")], work, HOUR_S),
        (STATUS, status, work, DAY_S),
        (EVENTS, events, limits, keeping.events_s),
        (IN, [subjects.incoming("*")], work, keeping.dead_s),
        (DEAD, [subjects.dead("*")], limits, keeping.dead_s),
        (ADVICE, advice, work, DAY_S),
    ]
    return [
        StreamConfig(
            name=subjects.stream(name),
            subjects=on,
            retention=retention,
            max_age=age_s,
            discard=DiscardPolicy.OLD,
            duplicate_window=DEDUPE_S,
            num_replicas=keeping.replicas,
        )
        for name, on, retention, age_s in rows
    ]


async def set_up(js: JetStreamContext, subjects: Subjects, keeping: Keeping) -> None:
    """Raises what the server answers where a stream cannot be made so, such as one of another retention."""
    for wanted in streams(subjects, keeping):
        try:
            found = (await js.stream_info(wanted.name or "")).config
        except NotFoundError:
            await js.add_stream(wanted)
            log.info("stream_made", stream=wanted.name)
            continue
        if any(_differs(getattr(wanted, f.name), getattr(found, f.name)) for f in fields(wanted) if f.name in SET_HERE):
            await js.update_stream(wanted)
            log.info("stream_changed", stream=wanted.name)


SET_HERE = frozenset({"subjects", "max_age", "duplicate_window", "num_replicas"})
"""What may be changed on a stream that is there."""


def _differs(wanted: object, found: object) -> bool:
    if isinstance(wanted, list) and isinstance(found, list):
        return sorted(wanted) != sorted(found)
    return wanted != found


async def shared_consumer(js: JetStreamContext, subjects: Subjects, name: str, of: str) -> None:
    """What a stream keeps for dispatch goes to one of its servers; `of` is the last word of the subject it comes on."""
    await js.add_consumer(
        subjects.stream(name),
        ConsumerConfig(
            durable_name="dispatch",
            deliver_subject=subjects.dispatch(of),
            deliver_group="dispatch",
            ack_wait=GRANT_ACK_S,
            max_deliver=-1,
            max_ack_pending=MOST_AT_ONCE,
        ),
    )


async def engine_consumer(js: JetStreamContext, subjects: Subjects, engine_id: str) -> None:
    """The queue of one engine; forgotten by the broker a day after the engine was last there."""
    await js.add_consumer(
        subjects.stream(TASKS),
        ConsumerConfig(
            durable_name=engine_id,
            filter_subject=subjects.tasks(engine_id),
            deliver_subject=subjects.work(engine_id),
            ack_wait=GRANT_ACK_S,
            max_deliver=GRANT_TRIES,
            inactive_threshold=DAY_S,
        ),
    )
