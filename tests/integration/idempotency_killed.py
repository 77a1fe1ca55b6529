"""A dispatch that is killed between the effect of a call and its answer: `python -m tests.integration.idempotency_killed DATA`.

It writes its address to `DATA/dispatch.url`, as any server does. Once `DATA/kill` is there, it dies by SIGKILL of the
next commit that stores a job or a tenant.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from dispatch.ports import Commit
from tests.contract.api_server import served


async def run(data: Path) -> None:
    async with served(data) as server:

        def kill(commit: Commit) -> None:
            """On stable storage, and not answered yet: the listeners come before the caller goes on."""
            if (commit.jobs or commit.tenants) and (data / "kill").exists():
                os.kill(os.getpid(), signal.SIGKILL)

        server.core.outside.bus.add(kill)
        temporary = data / ".url"
        temporary.write_text(f"{server.url}\n", encoding="ascii")
        temporary.rename(data / "dispatch.url")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
