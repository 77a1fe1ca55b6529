"""An input of dispatch on its way to the scratch disk, whole. It grows beside its place and gets its name when it is proven.

A later engine process goes on with what an earlier one left: the tag beside it tells which version of which file it is,
and since which start of the machine, for what a power cut left may have holes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from engine.core.fetching import InputFailed
from engine.shell.tries import Again, TransferFailed, Tries
from protocol.errors import ErrorCode
from protocol.leases import InputAccess

BLOCK = 1 << 20
PART, TAG = ".part", ".tag"
MOST_MISMATCHES = 2
LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Tag:
    """What the bytes beside it are. `etag` is None where the server names no version: then nothing can be gone on with."""

    size: int
    sha256: str | None
    etag: str | None
    boot: str


def is_complete(target: Path, access: InputAccess) -> bool:
    """Whether the input is there, whole and proven, since this start of the machine."""
    tag = _read_tag(target)
    if tag is None or not target.is_file():
        return False
    return (tag.size, tag.sha256, tag.boot) == (access.size, access.sha256, _boot()) and target.stat().st_size == access.size


class Download:
    """`once` for each try; `finish` when it came back."""

    def __init__(self, session: aiohttp.ClientSession, access: InputAccess, target: Path) -> None:
        self._session, self._access, self._target = session, access, target
        self._part = target.with_name(target.name + PART)
        self._etag: str | None = None
        self._is_ours = False
        self._digest, self._hashed, self._mismatches = hashlib.sha256(), 0, 0

    def open(self) -> BinaryIO:
        """What an earlier process left is kept when it is the same file of the same size."""
        tag = _read_tag(self._target)
        is_known = tag is not None and (tag.size, tag.sha256, tag.boot) == (self._access.size, self._access.sha256, _boot())
        if is_known and tag is not None and tag.etag and self._part.is_file():
            self._etag = tag.etag
            file = self._part.open("r+b")
            file.seek(0, os.SEEK_END)
            return file
        return self._part.open("w+b")

    async def once(self, url: URL, file: BinaryIO, tries: Tries, timeout: aiohttp.ClientTimeout) -> None:
        """`url` may be another server's at each try. Raises Again, TransferFailed or aiohttp's errors."""
        what, size, begin = f"input {self._access.filename}", self._access.size, file.tell()
        if begin > size:
            await self._start_over(file)
            begin = 0
        if begin < size:
            headers = {"Range": f"bytes={begin}-", "Accept-Encoding": "identity"}
            if begin and self._etag and not self._etag.startswith("W/"):
                headers["If-Range"] = self._etag
            async with self._session.get(url, headers=headers, timeout=timeout, auto_decompress=False) as response:
                check_version(response, self._access)
                check_answer(response, what)
                if response.status == HTTPStatus.OK and begin:
                    await self._start_over(file)
                self._note(response.headers.get("ETag"))
                async for block in response.content.iter_chunked(BLOCK):
                    if file.tell() + len(block) > size:
                        raise TransferFailed(f"{what}: longer than the {size} bytes announced")
                    await asyncio.to_thread(self._keep, file, block)
                    tries.moved()
        if file.tell() < size:
            raise Again(f"ended after {file.tell()} of {size} bytes")
        await self._prove(file)

    async def _prove(self, file: BinaryIO) -> None:
        if self._access.sha256 is None:
            return
        await asyncio.to_thread(self._hash_rest, file)
        if self._digest.hexdigest() == self._access.sha256:
            return
        self._mismatches += 1
        await self._start_over(file)
        if self._mismatches >= MOST_MISMATCHES:
            raise TransferFailed(f"input {self._access.filename}: its digest is not the one that dispatch knows")
        raise Again("the digest is not the one that dispatch knows")

    async def finish(self) -> None:
        """The name says from now on that it is complete."""
        if not self._is_ours:
            self._note(self._etag)
        self._part.replace(self._target)

    def _keep(self, file: BinaryIO, block: bytes) -> None:
        if self._access.sha256 is not None and file.tell() == self._hashed:
            self._digest.update(block)
            self._hashed += len(block)
        file.write(block)

    def _hash_rest(self, file: BinaryIO) -> None:
        """What an earlier process has fetched is read once more."""
        file.flush()
        while self._hashed < self._access.size and (block := os.pread(file.fileno(), BLOCK, self._hashed)):
            self._digest.update(block)
            self._hashed += len(block)

    async def _start_over(self, file: BinaryIO) -> None:
        file.seek(0)
        file.truncate()
        self._digest, self._hashed = hashlib.sha256(), 0

    def _note(self, etag: str | None) -> None:
        """Before the first byte of a version is kept, the tag says which one it is."""
        if self._is_ours and etag == self._etag:
            return
        self._etag, self._is_ours = etag, True
        _write_tag(self._target, Tag(self._access.size, self._access.sha256, etag, _boot()))


def note_complete(target: Path, access: InputAccess) -> None:
    """What `is_complete` looks for, of a file that came by another way."""
    _write_tag(target, Tag(access.size, access.sha256, None, _boot()))


def check_answer(response: aiohttp.ClientResponse, what: str) -> None:
    """Raises Again where the next try may fare better, TransferFailed where it will not."""
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or response.status in LATER:
        raise Again(f"answered {response.status}")
    if response.status >= HTTPStatus.BAD_REQUEST:
        raise TransferFailed(f"{what}: answered {response.status} {response.reason}")


def check_version(response: aiohttp.ClientResponse, access: InputAccess) -> None:
    """An object in a bucket of others has to be the very one that was submitted. Raises InputFailed."""
    if access.etag is None:
        return
    if response.status == HTTPStatus.NOT_FOUND:
        raise InputFailed(ErrorCode.INPUT_NOT_FOUND, f"{access.filename} is not in its bucket any more")
    is_shorter = response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    if is_shorter or (response.status < HTTPStatus.BAD_REQUEST and not _is_same(response, access)):
        raise InputFailed(ErrorCode.INPUT_CHANGED, f"{access.filename} in its bucket is not what was submitted any more")


def _is_same(response: aiohttp.ClientResponse, access: InputAccess) -> bool:
    told = response.headers.get("ETag", "").removeprefix("W/").strip('"')
    size = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length", "")
    return told == access.etag and size == str(access.size)


def _read_tag(target: Path) -> Tag | None:
    try:
        return Tag(**json.loads(target.with_name(target.name + TAG).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_tag(target: Path, tag: Tag) -> None:
    path = target.with_name(target.name + TAG)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(asdict(tag)), encoding="utf-8")
    new.replace(path)


def _boot() -> str:
    try:
        return BOOT_ID.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
