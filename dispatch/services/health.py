"""How every part is: for people at `/health`, for load balancers at `/readyz`."""

from __future__ import annotations

from dispatch.core.times import rfc3339
from dispatch.ports import Clock, Store
from dispatch.services.gate import StorageGate
from dispatch.services.registry import EngineRegistry
from protocol.admin import Health, ServiceHealth
from protocol.errors import ReelyardError

OK, BAD = "ok", "unavailable"


class HealthService:
    def __init__(self, store: Store, gate: StorageGate, registry: EngineRegistry, clock: Clock) -> None:
        self._store, self._gate, self._registry, self._clock = store, gate, registry, clock

    async def health(self) -> Health:
        return self._health({**await self._needed(), "engines": self._engines()})

    async def ready(self) -> Health:
        """Only what work needs: a farm without engines still takes jobs."""
        return self._health(await self._needed())

    async def _needed(self) -> dict[str, ServiceHealth]:
        return {"db": await self._database(), "storage": self._storage()}

    async def _database(self) -> ServiceHealth:
        try:
            await self._store.transact(lambda tx: tx.last_seq())
        except ReelyardError as error:
            return ServiceHealth(status=BAD, message=error.message)
        return ServiceHealth(status=OK)

    def _storage(self) -> ServiceHealth:
        verdict = self._gate.verdict
        return ServiceHealth(status=OK if verdict.submissions is None else BAD, message=verdict.message)

    def _engines(self) -> ServiceHealth:
        present, known = self._registry.count_present(), self._registry.count_known()
        return ServiceHealth(status=OK if present else "none", message=f"{present}/{known} active")

    def _health(self, services: dict[str, ServiceHealth]) -> Health:
        status = BAD if any(service.status == BAD for service in services.values()) else OK
        return Health(status=status, services=services, timestamp=rfc3339(self._clock.now()))
