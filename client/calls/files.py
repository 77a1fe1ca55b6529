"""What jobs made: links, files and archives."""

from __future__ import annotations

from pathlib import Path

from client.calls.base import Calls
from client.download import REDIRECTS, fetch_file, fetch_whole
from client.transport import Call
from protocol import jobs
from protocol.playback import PlaybackReply


class FileCalls(Calls):
    async def outputs(self, job_id: str, *, expires_in: int | None = None) -> jobs.OutputsReply:
        """Links that are good for `expires_in` seconds (an hour unless told), for whoever has them."""
        query = {} if expires_in is None else {"expires_in": str(expires_in)}
        return await self._ask("job_outputs", jobs.OutputsReply, ids={"job_id": job_id}, query=query)

    async def playback(self, job_id: str) -> PlaybackReply:
        """A link that plays by itself, for whoever has it."""
        return await self._ask("playback", PlaybackReply, ids={"job_id": job_id})

    async def download(self, link: jobs.OutputLink, directory: Path) -> Path:
        """Fetch one output to `directory/<its path>`; it appears there whole, with the digest told, or not at all."""
        return await fetch_file(self._transport, link, directory)

    async def outputs_zip(self, job_id: str, target: Path) -> Path:
        """Everything a job made as one archive; it appears whole or not at all."""
        return await fetch_whole(self._transport, Call("job_archive", ids={"job_id": job_id}), target)

    async def output_file(self, job_id: str, path: str, target: Path) -> Path:
        """One output by its stable URL, which needs the key; `path` is as in `outputs`."""
        return await fetch_whole(self._transport, Call("job_file", ids={"job_id": job_id, "path": path}, also=REDIRECTS), target)
