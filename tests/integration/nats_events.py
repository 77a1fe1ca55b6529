"""What a farm told other services over the broker, read back from its stream."""

from __future__ import annotations

from collections import Counter

import nats
from nats.js.api import ConsumerConfig, DeliverPolicy

from protocol.cloud_events import CloudEvent
from protocol.subjects import Subjects

AT_ONCE, ANSWER_S = 100, 30.0


async def transcoded(url: str) -> set[str]:
    """Ids of the jobs of which VideoTranscoded tells by now. Raises AssertionError for one told twice under two ids."""
    subject = Subjects().event("VideoTranscoded")
    told: dict[str, str] = {}
    client = await nats.connect(url)
    try:
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        reader = await client.jetstream().pull_subscribe(subject, config=config)
        left = (await reader.consumer_info()).num_pending or 0
        while left > 0:
            messages = await reader.fetch(min(left, AT_ONCE), timeout=ANSWER_S)
            for message in messages:
                event = CloudEvent.model_validate_json(message.data)
                assert isinstance(event.data, dict)
                told[event.id] = str(event.data["job_id"])
            left -= len(messages)
    finally:
        await client.close()
    twice = [job_id for job_id, count in Counter(told.values()).items() if count > 1]
    assert twice == []
    return set(told.values())
