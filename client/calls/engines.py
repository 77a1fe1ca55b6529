"""Engines, as operators see and steer them."""

from __future__ import annotations

from client.calls.base import Calls
from protocol import admin


class EngineCalls(Calls):
    async def engines(self, **query: str) -> admin.EnginePage:
        return await self._ask("list_engines", admin.EnginePage, query=query)

    async def engine(self, engine_id: str) -> admin.EngineView:
        return await self._ask("get_engine", admin.EngineView, ids={"engine_id": engine_id})

    async def patch_engine(self, engine_id: str, change: admin.EnginePatch) -> admin.EngineView:
        return await self._ask("patch_engine", admin.EngineView, ids={"engine_id": engine_id}, body=change)

    async def approve(self, engine_id: str) -> admin.EngineView:
        return await self._ask("approve_engine", admin.EngineView, ids={"engine_id": engine_id})

    async def drain(self, engine_id: str) -> admin.EngineView:
        return await self._ask("drain_engine", admin.EngineView, ids={"engine_id": engine_id})

    async def undrain(self, engine_id: str) -> admin.EngineView:
        return await self._ask("undrain_engine", admin.EngineView, ids={"engine_id": engine_id})

    async def delete_engine(self, engine_id: str) -> admin.Pong:
        """Remove an engine and revoke its credential."""
        return await self._ask("delete_engine", admin.Pong, ids={"engine_id": engine_id})
