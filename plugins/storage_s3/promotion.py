"""Staged files become a published directory, where nothing can be renamed and readers are led by the committed row.

`<target>/.promoting` stands from before the first copy until after the last: a target with it is unfinished and is gone on
with, one without it is whole. It lists what is to be there, so that two servers that promote the same job make the same.
Every copy is create-only and of exactly the bytes that were proven; nothing is copied before all of them are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from plugins.storage_s3.copying import Copying
from plugins.storage_s3.keys import PROMOTING, Keys
from plugins.storage_s3.objects import DIGEST, PROMOTION, Made, Object, Objects
from plugins.storage_s3.proving import Proving
from plugins.storage_s3.threads import Threads, each
from protocol.storage import (
    AlreadyExists,
    InvalidPath,
    NotFound,
    Promoted,
    StagedFileLost,
    StorageUnavailable,
    TargetDiffers,
    Written,
)

AT_ONCE = 16
TRIES = 5


@dataclass(frozen=True, slots=True)
class Tools:
    """What a promotion works with."""

    threads: Threads
    objects: Objects
    keys: Keys
    copying: Copying
    proving: Proving


class Promotion:
    """`run` may be repeated after a crash at any point, and by several servers at once."""

    def __init__(
        self, tools: Tools, target: str, work: str, files: Sequence[Promoted], extra: Mapping[str, bytes], *, write: str
    ) -> None:
        self._tools, self._objects, self._write = tools, tools.objects, write
        self._target, self._key, self._files, self._extra = target, tools.keys.of(target), files, extra
        self._expected = _expected(tools.keys, target, files, extra)
        self._plan = plan_of(self._expected)
        self._id = hashlib.sha256(self._plan).hexdigest()
        for other in (work, target, *(file.staged for file in files)):
            tools.keys.of(other)
            if other != work and f"{other}/".startswith(f"{work}/"):
                raise InvalidPath(other, f"lies in {work}, which is wiped")

    async def run(self) -> None:
        """Raises StagedFileLost or TargetDiffers."""
        standing, marker = await self._tools.threads.run(self._look)
        if standing and marker is None:
            await self._compare(standing)
            return
        proven: dict[str, Object] = {}

        async def prove(file: Promoted) -> None:
            proven[file.path] = await self._prove(file)

        await each(self._files, prove, at_once=AT_ONCE)
        await self._tools.threads.run(self._mark)
        try:
            await each(self._files, lambda file: self._copy(file, proven[file.path]), at_once=AT_ONCE)
            await each(self._extra, self._put, at_once=AT_ONCE)
        except TargetDiffers:
            # It was whole before the mark was set, by another promotion: it must not look unfinished.
            await self._tools.threads.run(partial(self._objects.delete, f"{self._key}{PROMOTING}"))
            raise
        await self._tools.threads.run(self._finish)

    def _look(self) -> tuple[list[Object], Object | None]:
        """What stands below the target, and the mark of an unfinished one."""
        if self._objects.find(self._key) is not None:
            raise TargetDiffers(self._target, "it is not a directory")
        found = list(self._objects.list(f"{self._key}/"))
        marker = next((one for one in found if one.key == f"{self._key}{PROMOTING}"), None)
        return [one for one in found if one is not marker], marker

    async def _compare(self, standing: Sequence[Object]) -> None:
        self._compare_names(standing)

        async def compare(one: Object) -> None:
            path = self._path(one)
            found = await self._tools.threads.run(partial(self._objects.head, one.key))
            await self._same(path, found)

        await each(standing, compare, at_once=AT_ONCE)

    def _compare_names(self, standing: Sequence[Object]) -> None:
        if {self._path(one): one.size for one in standing} != {path: file.size for path, file in self._expected.items()}:
            raise TargetDiffers(self._target, "it holds files of other names or sizes")

    async def _same(self, path: str, found: Object) -> None:
        expected = self._expected[path]
        if not await self._tools.proving.is_copy(found, size=expected.size, sha256=expected.sha256):
            raise TargetDiffers(f"{self._target}/{path}", "its content is another")

    async def _prove(self, file: Promoted) -> Object:
        key = self._tools.keys.of(file.staged)
        try:
            found = await self._tools.threads.run(partial(self._objects.head, key))
            is_whole = await self._tools.proving.holds(found, size=file.size, sha256=file.sha256)
        except NotFound as error:
            raise StagedFileLost(file.staged, "the staged file is missing") from error
        if not is_whole:
            raise StagedFileLost(file.staged, "its size or digest is not what was reported")
        return found

    def _mark(self) -> None:
        """From here on the target is unfinished. What a promotion of other files left unfinished is removed first."""
        for _ in range(TRIES):
            if self._is_marked():
                return
        raise StorageUnavailable(self._target, "others promote it again and again")

    def _is_marked(self) -> bool:
        """False where another promotion has ended between two of our calls."""
        marker = f"{self._key}{PROMOTING}"
        try:
            self._objects.put(marker, self._plan, Made(self._write), create_only=True)
            return True
        except AlreadyExists:
            pass
        try:
            left = b"".join(self._objects.blocks(marker))
        except NotFound:
            return False
        if left != self._plan:
            self._remove_what(hashlib.sha256(left).hexdigest())
            self._objects.put(marker, self._plan, Made(self._write), create_only=False)
        return True

    def _remove_what(self, promotion: str) -> None:
        """Left unfinished; what any other has made stays."""
        found = [self._objects.find(one.key) for one in self._objects.list(f"{self._key}/")]
        doomed = [one.key for one in found if one is not None and one.metadata.get(PROMOTION) == promotion]
        self._objects.delete_all(doomed)

    async def _copy(self, file: Promoted, proven: Object) -> None:
        key = self._tools.keys.of(f"{self._target}/{file.path}")
        try:
            await self._tools.copying.join([proven], key, self._made(file.sha256))
        except NotFound as error:
            if not await self._is_there(file.path, key):
                raise StagedFileLost(file.staged, "it was replaced while it was published") from error
        except AlreadyExists:
            await self._stands(file.path, key)

    async def _is_there(self, path: str, key: str) -> bool:
        """Whether another promotion of the same has copied it, and cleared what was staged. Raises TargetDiffers."""
        try:
            found = await self._tools.threads.run(partial(self._objects.head, key))
        except NotFound:
            return False
        await self._same(path, found)
        return True

    async def _put(self, path: str) -> None:
        key = self._tools.keys.of(f"{self._target}/{path}")
        sha256 = self._expected[path].sha256
        put = partial(self._objects.put, create_only=True, sha256=sha256)
        try:
            await self._tools.threads.run(partial(put, key, self._extra[path], self._made(sha256)))
        except AlreadyExists:
            await self._stands(path, key)

    async def _stands(self, path: str, key: str) -> None:
        if not await self._is_there(path, key):
            raise StorageUnavailable(f"{self._target}/{path}", "it came and went while it was published")

    def _finish(self) -> None:
        standing, _ = self._look()
        if missing := self._expected.keys() - {self._path(one) for one in standing}:
            raise StorageUnavailable(f"{self._target}/{min(missing)}", "it went while it was published")
        self._compare_names(standing)
        self._objects.delete(f"{self._key}{PROMOTING}")

    def _made(self, sha256: str) -> Made:
        return Made(self._write, {DIGEST: sha256, PROMOTION: self._id})

    def _path(self, one: Object) -> str:
        return one.key.removeprefix(f"{self._key}/")


def plan_of(expected: Mapping[str, Written]) -> bytes:
    """What is to stand there, one line a file. The same for every server that promotes the same job."""
    return "".join(f"{file.sha256} {file.size} {path}\n" for path, file in sorted(expected.items())).encode()


def _expected(keys: Keys, target: str, files: Sequence[Promoted], extra: Mapping[str, bytes]) -> dict[str, Written]:
    expected = {file.path: Written(file.size, file.sha256) for file in files}
    expected |= {path: Written(len(content), hashlib.sha256(content).hexdigest()) for path, content in extra.items()}
    for path in expected:
        keys.of(path)
        keys.of(f"{target}/{path}")
    if len(expected) != len(files) + len(extra):
        raise InvalidPath(", ".join(sorted(extra)), "two files are to be published under one name")
    return expected
