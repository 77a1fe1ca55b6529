"""Receivers of webhooks on the wire of a world: they fail by the seed, and remember what they got."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from dispatch.core.records import WebhookEndpoint
from dispatch.core.webhooks import Tried
from dispatch.services.sealing import Sealer
from dispatch.services.webhook_keys import WebhookKeys
from protocol.webhooks import ENDINGS, WebhookEvent
from tests.sim.freezing import context_of
from tests.sim.ground import EPOCH, NO_FAULTS, Ground
from tests.sim.process import Process

OWN_URL, ENDPOINT_URL = "https://own.example/told", "https://endpoint.example/told"
SIGNING = b"signing key of this world"
ASKED = frozenset({WebhookEvent.JOB_CREATED, *ENDINGS})


LONGEST_S = 3.0


@lru_cache(maxsize=1)
def endpoint() -> WebhookEndpoint:
    """That of tenant `acme`; the other tenant's jobs have a URL of their own."""
    keys = WebhookKeys(Sealer(SIGNING, lambda: "chance"), lambda: "secret", NoTime())
    return WebhookEndpoint("whe_1", "acme", ENDPOINT_URL, tuple(sorted(ASKED)), keys.first(), "", EPOCH)


class NoTime:
    """A Clock where none is needed."""

    def now(self) -> float:
        return EPOCH

    def monotonic(self) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    url: str
    delivery_id: str
    body: bytes


@dataclass(slots=True)
class Wire:
    """What arrived, in its order. Has its own chance, so that it disturbs no other part of the world."""

    ground: Ground
    rng: random.Random
    heard: list[Heard] = field(default_factory=list)
    tries: int = 0

    async def carry(self, process: Process, heard: Heard) -> Tried:
        """A request may be lost, its answer may be lost, the receiver may refuse or take its time."""
        self.tries += 1
        is_bad = self.ground.rates is not NO_FAULTS and self.rng.random() < 0.4
        if self.rng.random() < 0.5:
            await asyncio.sleep(self.rng.uniform(0.0, LONGEST_S if is_bad else 0.2))
        process.check()
        if is_bad and self.rng.random() < 0.4:
            return Tried(None, "lost", 0.0)
        self.heard.append(heard)
        process.check()
        if not is_bad:
            return Tried(204, None, 0.0)
        return Tried(None, "the answer was lost", 0.0) if self.rng.random() < 0.5 else Tried(503, "refused", 0.0)


class SimSender:
    """The WebhookSender of one dispatch process."""

    def __init__(self, wire: Wire, process: Process) -> None:
        self._wire, self._process = wire, process
        self.longest_s = LONGEST_S

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Tried:
        self._process.check()
        heard = Heard(url, headers["webhook-id"], body)
        if not self._process.may_freeze:
            return await self._wire.carry(self._process, heard)
        # What is on its way arrives, though its sender freezes.
        return await self._wire.ground.group.create_task(self._wire.carry(self._process, heard), context=context_of(None))

    async def close(self) -> None:
        return None
