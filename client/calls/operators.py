"""The server itself: profiles, figures, health, settings, retention, dead letters."""

from __future__ import annotations

import json
from typing import Any

from client.calls.base import Calls
from client.transport import Call, parse
from protocol import admin, care, figures, jobs
from protocol.profiles import Profile


class OperatorCalls(Calls):
    async def profiles(self, **query: str) -> admin.ProfilePage:
        return await self._ask("list_profiles", admin.ProfilePage, query=query)

    async def profile(self, name: str) -> Profile:
        return (await self.tagged_profile(name))[0]

    async def tagged_profile(self, name: str) -> tuple[Profile, str]:
        """The profile and its ETag, for `put_profile`."""
        answer = await self._transport.answer(Call("get_profile", ids={"profile": name}))
        return parse(Profile, answer.body), answer.headers.get("ETag", "")

    async def put_profile(self, profile: Profile, *, tag: str | None = None) -> Profile:
        """Put a profile in. One that is there is replaced under its ETag, told as `tag`."""
        headers = {} if tag is None else {"If-Match": tag}
        return await self._ask("put_profile", Profile, ids={"profile": profile.name}, body=profile, headers=headers)

    async def delete_profile(self, name: str) -> admin.Pong:
        return await self._ask("delete_profile", admin.Pong, ids={"profile": name})

    async def stats(self) -> figures.Stats:
        return await self._ask("stats", figures.Stats)

    async def usage(self, **query: str) -> figures.UsagePage:
        """One page, newest day first; the keywords are `tenant`, `key_id`, `from`, `to`."""
        return await self._ask("list_usage", figures.UsagePage, query=query)

    async def config(self) -> figures.ConfigReply:
        """The settings in force, secrets masked."""
        return await self._ask("config", figures.ConfigReply)

    async def retention(self, **query: str) -> care.RetentionPage:
        """What the retention duty takes with its next run."""
        return await self._ask("list_retention", care.RetentionPage, query=query)

    async def dead_letters(self, **query: str) -> care.DeadLetterPage:
        return await self._ask("list_dead_letters", care.DeadLetterPage, query=query)

    async def retry_dead_letter(self, job_id: str, *, priority: int = 10, key: str | None = None) -> jobs.JobView:
        body = jobs.RetryRequest(priority=priority)
        return await self._ask("retry_dead_letter", jobs.JobView, ids={"job_id": job_id}, body=body, headers=self._once(key))

    async def discard_dead_letter(self, job_id: str) -> jobs.JobView:
        """Purge the job; the answer is the job as it was."""
        return await self._ask("discard_dead_letter", jobs.JobView, ids={"job_id": job_id})

    async def version(self) -> admin.VersionReply:
        return await self._ask("version", admin.VersionReply)

    async def health(self) -> admin.Health:
        return await self._ask("health", admin.Health)

    async def health_part(self, part: str) -> admin.ServiceHealth:
        """One of db, storage, queue, engines."""
        return await self._ask("health_part", admin.ServiceHealth, ids={"part": part})

    async def alive(self) -> admin.Pong:
        """The process lives, whatever it can do."""
        return await self._ask("healthz", admin.Pong)

    async def ready(self) -> admin.Health:
        """Whether the server takes work, and which part keeps it from that."""
        return await self._transport.ask(Call("readyz", also=frozenset({503})), admin.Health)

    async def openapi(self) -> dict[str, Any]:  # Any: a JSON document of another's shape
        """The contract of this server as OpenAPI 3.1."""
        document: dict[str, Any] = json.loads((await self._transport.answer(Call("openapi"))).body)
        return document
