"""How every part is: for people at `/health`, for load balancers at `/readyz`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from dispatch.core.times import rfc3339
from dispatch.ports import Clock, Store
from dispatch.ports.cluster import Leading
from dispatch.services.gate import StorageGate
from dispatch.services.registry import EngineRegistry
from protocol.admin import Health, ServiceHealth
from protocol.errors import ErrorCode, ReelyardError

FRESH_S = 1.0
"""How long an answer of the database serves everybody: these calls need no key, and each would wait for the writer."""

PATIENCE_S = 3.0
"""How long the database may take to answer: whoever asks whether this server is ready asks the next one after a few seconds."""

OK, BAD = "ok", "unavailable"
ALIASES = {"redis": "queue", "minio": "storage", "workers": "engines"}
"""What other systems of this kind call these parts."""

PARTS = ("db", "storage", "queue", "engines", *ALIASES)


@dataclass(frozen=True, slots=True)
class Hindrances:
    """What keeps parts from their work now, each as a clause for people; None where nothing does.

    `grants`: why nothing is granted. `storage`: its breaker is open. `broker`: so is that of the broker; work goes on
    without it, by HTTP.
    """

    grants: Callable[[], str | None]
    storage: Callable[[], str | None] = lambda: None
    broker: Callable[[], str | None] = lambda: None


def grants_of(leading: Leading, standstill: Callable[[], str | None]) -> Callable[[], str | None]:
    """Why nothing is granted: by what the leader knows of itself, and elsewhere by whether anybody leads."""

    def why() -> str | None:
        if leading.is_leading:
            return standstill()
        return None if leading.leader_url else "no dispatch server leads at the moment"

    return why


class HealthService:
    def __init__(
        self,
        store: Store,
        gate: StorageGate,
        registry: EngineRegistry,
        clock: Clock,
        hindrances: Hindrances,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._store, self._gate, self._registry, self._clock = store, gate, registry, clock
        self._hindrances, self._patience_s = hindrances, patience_s
        self._looking = asyncio.Lock()
        self._database_is, self._looked_at = ServiceHealth(status=OK), -inf

    async def health(self) -> Health:
        return self._health({**await self._needed(), "queue": self._queue(), "engines": self._engines()})

    async def part(self, name: str) -> ServiceHealth:
        """Raises ROUTE_NOT_FOUND for a part there is not."""
        match ALIASES.get(name, name):
            case "db":
                return await self._database()
            case "storage":
                return self._storage()
            case "queue":
                return self._queue()
            case "engines":
                return self._engines()
            case _:
                raise ReelyardError(ErrorCode.ROUTE_NOT_FOUND, f"there is no such part; known are {', '.join(PARTS)}")

    async def ready(self) -> Health:
        """Only what work needs: a farm without engines still takes jobs."""
        return self._health(await self._needed())

    async def _needed(self) -> dict[str, ServiceHealth]:
        return {"db": await self._database(), "storage": self._storage()}

    async def _database(self) -> ServiceHealth:
        """One look at a time; who comes meanwhile, or soon after, is told the same."""
        async with self._looking:
            if self._clock.monotonic() - self._looked_at >= FRESH_S:
                self._database_is = await self._look()
                self._looked_at = self._clock.monotonic()
            return self._database_is

    async def _look(self) -> ServiceHealth:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._store.transact(lambda tx: tx.last_seq())
        except TimeoutError:
            return ServiceHealth(status=BAD, message="The database does not answer.")
        except ReelyardError as error:
            return ServiceHealth(status=BAD, message=error.message)
        return ServiceHealth(status=OK)

    def _storage(self) -> ServiceHealth:
        verdict, away = self._gate.verdict, self._hindrances.storage()
        if verdict.submissions is None and away is not None:
            return ServiceHealth(status=BAD, message=away)
        return ServiceHealth(status=OK if verdict.submissions is None else BAD, message=verdict.message)

    def _queue(self) -> ServiceHealth:
        why = self._hindrances.grants()
        if why is not None:
            return ServiceHealth(status=BAD, message=why)
        return ServiceHealth(status=OK, message=self._hindrances.broker() or "")

    def _engines(self) -> ServiceHealth:
        present, known = self._registry.count_present(), self._registry.count_known()
        return ServiceHealth(status=OK if present else "none", message=f"{present}/{known} active")

    def _health(self, services: dict[str, ServiceHealth]) -> Health:
        status = BAD if any(service.status == BAD for service in services.values()) else OK
        return Health(status=status, services=services, timestamp=rfc3339(self._clock.now()))
