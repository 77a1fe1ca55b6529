"""What a farm told other services over the broker, read back from its stream."""

from __future__ import annotations

from collections import Counter

import nats
from nats.errors import TimeoutError as NothingMore
from nats.js.api import ConsumerConfig, DeliverPolicy

from protocol.cloud_events import CloudEvent
from protocol.subjects import Subjects

AT_ONCE, QUIET_S = 100, 1.0


async def transcoded(url: str) -> set[str]:
    """Ids of the jobs of which VideoTranscoded tells. Raises AssertionError for one told twice under two ids."""
    subject = Subjects().event("VideoTranscoded")
    told: dict[str, str] = {}
    client = await nats.connect(url)
    try:
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        reader = await client.jetstream().pull_subscribe(subject, config=config)
        while True:
            try:
                messages = await reader.fetch(AT_ONCE, timeout=QUIET_S)
            except NothingMore:
                break
            for message in messages:
                event = CloudEvent.model_validate_json(message.data)
                assert isinstance(event.data, dict)
                told[event.id] = str(event.data["job_id"])
                await message.ack()
    finally:
        await client.close()
    twice = [job_id for job_id, count in Counter(told.values()).items() if count > 1]
    assert twice == []
    return set(told.values())
