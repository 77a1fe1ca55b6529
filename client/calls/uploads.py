"""Files on their way to the server: resumable uploads by tus 1.0, and jobs made of them."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

from client import direct, notes, tus
from client.calls.base import Calls
from client.errors import ClientError
from client.notes import Note
from client.transport import Call
from client.upload import Progress, ignore_progress
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput, JobSubmission, JobView
from protocol.uploads import UploadView

_INPUT_FAULTS = frozenset(code for code in ErrorCode if code.startswith("INPUT_"))


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """`max_size` is bytes; `checksums` are names of algorithms, the server's favourite first."""

    max_size: int
    extensions: tuple[str, ...]
    checksums: tuple[str, ...]


class UploadCalls(Calls):
    async def send_file(self, path: Path, *, key: str | None = None, progress: Progress = ignore_progress) -> str:
        """Send a file, on from where an earlier try broke off, and return its `upload_id`, good for `input` or `thumbnail`.

        The same `key` and file give the same upload. Raises ClientError LOCAL_FILE when it cannot be read or changes.
        """
        file = await asyncio.to_thread(tus.facts_of, path)
        with notes.hold(self._notes, self._transport.server, file) as note:
            upload_id, _ = await self._sent(file, note, key, progress)
            return upload_id

    async def submit_file(
        self, path: Path, submission: JobSubmission, *, key: str | None = None, progress: Progress = ignore_progress
    ) -> JobView:
        """Send a file as `send_file` does and submit it; the upload is ended once the job has it, or never can have it."""
        file = await asyncio.to_thread(tus.facts_of, path)
        with notes.hold(self._notes, self._transport.server, file) as note:
            was_noted = note.upload_id is not None
            upload_id, is_there = await self._sent(file, note, key, progress)
            try:
                return await self._submitted(upload_id, submission, note, key)
            except ReelyardError as error:
                if error.code in tus.GONE:
                    note.clear()  # else every later run would go on with it
                if (is_there and not was_noted) or error.code not in tus.GONE:
                    raise
            upload_id, _ = await self._sent(file, note, None, progress)  # the key's own upload went before it made a job
            return await self._submitted(upload_id, submission, note, key)

    async def _sent(self, file: tus.LocalFacts, note: Note, key: str | None, progress: Progress) -> tuple[str, bool]:
        """The upload, and whether it is known to be there whole."""
        received = None if note.upload_id is None else await tus.known(self._transport, note.upload_id, file)
        if note.upload_id is not None and received is not None:
            begun = tus.Begun(note.upload_id, received, is_direct=received == 0 < file.size)
        else:
            begun = await tus.begin(self._transport, file, key=self._new_key() if key is None else _key_for(key, file))
        if begun.received is None:
            return begun.upload_id, False
        note.remember(begun.upload_id)
        is_past = begun.is_direct and begun.received == 0 and await self._past(file, begun, note, progress)
        if not is_past:
            await tus.send(self._transport, file, begun.upload_id, begun.received, progress)
        return begun.upload_id, True

    async def _past(self, file: tus.LocalFacts, begun: tus.Begun, note: Note, progress: Progress) -> bool:
        keep = direct.Keep(None if note.path is None else note.path.with_suffix(".parts"))
        return await direct.send(self._transport, file, begun.upload_id, progress, keep)

    async def _submitted(self, upload_id: str, submission: JobSubmission, note: Note, key: str | None) -> JobView:
        told = submission.model_copy(update={"input": JobInput(upload_id=upload_id)})
        try:
            job = await self._ask("submit_job", JobView, body=told, headers=self._once(key))
        except ReelyardError as error:
            if error.code in _INPUT_FAULTS:
                await self._done_with(upload_id, note)
            raise
        await self._done_with(upload_id, note)
        return job

    async def _done_with(self, upload_id: str, note: Note) -> None:
        """The job has its own copy; what cannot be ended now expires by itself."""
        note.forget()
        try:
            await tus.end(self._transport, upload_id)
        except (ReelyardError, ClientError):
            return

    async def upload_view(self, upload_id: str) -> UploadView:
        """Where an upload stands."""
        return await tus.look(self._transport, upload_id)

    async def end_upload(self, upload_id: str) -> None:
        """Remove an upload; jobs made of it keep their original."""
        await tus.end(self._transport, upload_id)

    async def upload_limits(self) -> UploadLimits:
        headers = (await self._transport.answer(Call("upload_options"))).headers
        names = (headers.get("Tus-Extension", ""), headers.get("Tus-Checksum-Algorithm", ""))
        extensions, checksums = (tuple(name for name in text.split(",") if name) for text in names)
        return UploadLimits(int(headers.get("Tus-Max-Size", "0")), extensions, checksums)


def _key_for(key: str, file: tus.LocalFacts) -> str:
    """Another file under the user's key is another upload; whether it may be another job is for the submission to say."""
    return hashlib.sha256("\0".join((key, file.path.name, str(file.size))).encode("utf-8", "surrogateescape")).hexdigest()
