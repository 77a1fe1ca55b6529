"""A storage in memory that keeps the promises of StorageProvider, fails on demand, and watches what is published."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from protocol.storage import (
    AlreadyExists,
    DirectAccess,
    NotFound,
    Promoted,
    Space,
    StagedFileLost,
    Stat,
    StorageFull,
    StorageUnavailable,
    TargetDiffers,
    Written,
)
from tests.sim.ground import Ground
from tests.sim.process import Process

TOTAL = 100 << 30


def is_published(path: str) -> bool:
    return path.split("/")[1:2] == ["processed"]


def _published_stays(path: str) -> str | None:
    return "it is published" if is_published(path) else None


class Disk:
    """The bytes, which outlive every process. `published` is what was renamed into place, by target."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.files: dict[str, tuple[bytes, float]] = {}
        self.published: dict[str, dict[str, bytes]] = {}
        self.is_away = self.is_full = False
        self.unsynced: dict[str, int] = {}
        """Files that grow, with the number of their bytes that are on the disk for good."""
        self.objection: Callable[[str], str | None] = _published_stays
        """Why a file must not be removed now; None when it may be."""

    def put(self, path: str, content: bytes) -> None:
        if is_published(path):
            raise self.ground.broken(f"{path} was written past the promotion")
        self.files[path] = (content, self.ground.clock.now())

    def remove(self, path: str) -> None:
        for name in [name for name in self.files if name == path or name.startswith(f"{path}/")]:
            if (why := self.objection(name)) is not None:
                raise self.ground.broken(f"{name} was deleted: {why}")
            del self.files[name]
        self.published.pop(path, None)

    def lose_power(self) -> None:
        """Of what was not synced, some is there, as zeros, and the rest is not."""
        for path, durable in self.unsynced.items():
            content, modified = self.files.get(path, (b"", 0.0))
            if len(content) > durable:
                self.ground.count["bytes lost with the power"] += 1
                there = self.ground.rng.randint(durable, len(content))
                self.files[path] = (content[:durable] + bytes(there - durable), modified)
        self.unsynced.clear()

    def below(self, prefix: str) -> dict[str, bytes]:
        return {name[len(prefix) + 1 :]: file[0] for name, file in self.files.items() if name.startswith(f"{prefix}/")}

    def publish(self, target: str, files: Mapping[str, bytes]) -> None:
        """One rename: all of it, or nothing."""
        if target in self.published:
            raise self.ground.broken(f"{target} was published twice")
        self.ground.note("published", target)
        self.published[target] = dict(files)
        for path, content in files.items():
            self.files[f"{target}/{path}"] = (content, self.ground.clock.now())


class SimStorage:
    """Satisfies `StorageProvider` for one dispatch process."""

    direct: DirectAccess | None = None

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk, self._process, self._ground = disk, process, disk.ground

    async def read(self, path: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        self._may("read", path)
        content = self._found(path)

        async def blocks() -> AsyncIterator[bytes]:
            yield content[start:] if length is None else content[start : start + length]

        return blocks()

    async def write(self, path: str, blocks: AsyncIterator[bytes], *, create_only: bool = True) -> Written:
        content = b"".join([block async for block in blocks])
        self._may("write", path)
        if create_only and path in self._disk.files:
            raise AlreadyExists(path, "it exists")
        self._disk.put(path, content)
        await self._moment()
        return Written(len(content), hashlib.sha256(content).hexdigest())

    async def stat(self, path: str) -> Stat:
        self._may("stat", path)
        return Stat(path, len(self._found(path)), self._disk.files[path][1])

    async def delete(self, path: str) -> None:
        self._may("delete", path)
        self._disk.remove(path)
        await self._moment()

    async def list(self, prefix: str) -> Sequence[Stat]:
        self._may("list", prefix)
        found = ((path, file) for path, file in sorted(self._disk.files.items()) if path.startswith(f"{prefix}/"))
        return [Stat(path, len(content), modified) for path, (content, modified) in found]

    def local_path(self, path: str) -> str | None:
        return None

    async def space(self) -> Space:
        return Space(0 if self._disk.is_full else TOTAL, TOTAL)

    async def probe(self) -> None:
        self._may("write", "probe")

    async def sweep_temporary(self, *, older_than_s: float, now: float) -> int:
        return 0

    async def promote(self, target: str, work: str, files: Sequence[Promoted], extra: Mapping[str, bytes]) -> None:
        self._may("write", target)
        wanted = {file.path: file.sha256 for file in files} | {path: _digest(content) for path, content in extra.items()}
        if standing := self._disk.below(target):
            if {path: _digest(content) for path, content in standing.items()} != wanted:
                raise TargetDiffers(target, "it holds other files")
            return
        made: dict[str, bytes] = {}
        for file in files:
            await self._moment()
            self._may("read", file.staged)
            content = self._disk.files.get(file.staged, (b"", 0.0))[0]
            if len(content) != file.size or _digest(content) != file.sha256:
                if content:
                    raise self._ground.broken(f"{file.staged} was staged with other bytes than were announced")
                raise StagedFileLost(file.staged, "it is missing or another")
            made[file.path] = content
        self._may("write", target)
        self._disk.publish(target, made | dict(extra))
        await self._moment()

    async def link(self, staged: str, target: str, *, size: int, sha256: str) -> None:
        self._may("write", target)
        content = self._disk.files.get(target, self._disk.files.get(staged, (b"", 0.0)))[0]
        if len(content) != size or _digest(content) != sha256:
            if target in self._disk.files:
                raise AlreadyExists(target, "other bytes have this name")
            raise StagedFileLost(staged, "it is missing or another")
        await self._moment()
        self._may("write", target)
        if target not in self._disk.files:
            self._disk.put(target, content)
        await self._moment()

    async def append(self, path: str, offset: int, blocks: AsyncIterator[bytes]) -> int:
        """Bytes behind the offset go first; those of a body that breaks off lie behind it too."""
        self._may("write", path)
        before = self._disk.files.get(path, (b"", 0.0))[0] if offset == 0 else self._found(path)
        if len(before) < offset:
            raise NotFound(path, "it is shorter than that")
        grown = before[:offset]
        async for block in blocks:
            grown += block
            self._disk.put(path, grown)
            self._disk.unsynced.setdefault(path, offset)
            await self._moment()
        self._may("write", path)
        self._disk.put(path, grown)
        self._disk.unsynced.pop(path, None)
        await self._moment()
        return len(grown)

    async def concatenate(self, sources: Sequence[str], target: str) -> int:
        self._may("write", target)
        content = b"".join(self._found(source) for source in sources)
        if target in self._disk.files:
            raise AlreadyExists(target, "it exists")
        await self._moment()
        self._may("write", target)
        self._disk.put(target, content)
        await self._moment()
        return len(content)

    # --- faults

    def _found(self, path: str) -> bytes:
        if path not in self._disk.files:
            raise NotFound(path, "there is no such file")
        return self._disk.files[path][0]

    def _may(self, what: str, path: str) -> None:
        self._process.check()
        if self._disk.is_away or self._ground.hits(f"storage fails to {what}", self._ground.rates.storage):
            raise StorageUnavailable(path, "it is away")
        if what == "write" and self._disk.is_full:
            raise StorageFull(path, "no space is left")

    async def _moment(self) -> None:
        ground = self._ground
        if ground.hits("kill dispatch at the storage", 8 * ground.rates.kill_dispatch):
            self._process.die()
        if ground.rates.storage:
            await ground.pause(0.05)
        self._process.check()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
