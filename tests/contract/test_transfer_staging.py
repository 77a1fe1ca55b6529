"""Results on their way up, from the engine's transfer to the real dispatch: cut, gone on with, proven at the end."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest

from engine.clock import SystemClock
from engine.core.servers import Servers
from engine.shell.transfer import RESUMED_BYTES, Transfer
from engine.shell.tries import TransferFailed
from protocol.errors import ErrorCode
from protocol.storage import Written
from tests.contract.api_server import Server, head_of, served
from tests.contract.transfer_line import Wire, wired

PREFIX = "staging/job_1/tsk_1/7"
SIZE = RESUMED_BYTES + (8 << 20)
SLACK = 4 << 20
"""Bytes that may be sent twice for a cut: what was in buffers on the way."""


@dataclass
class Lane:
    """From a file on the engine's disk to the storage, by a line that breaks."""

    server: Server
    wire: Wire
    transfer: Transfer
    url: str
    root: Path

    def lies(self, path: str) -> bytes:
        return (self.root / PREFIX / path).read_bytes()

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.root / PREFIX).rglob("*") if path.is_file())


@asynccontextmanager
async def lane(tmp_path: Path, patience_s: float = 60.0) -> AsyncIterator[Lane]:
    async with served(tmp_path) as server, wired(server.url) as wire, aiohttp.ClientSession() as session:
        transfer = Transfer(session, Servers([wire.url]), SystemClock(), random.Random(1).random, patience_s)
        yield Lane(server, wire, transfer, f"{server.signed('PUT', PREFIX)}/{PREFIX}", tmp_path / "storage")


def made(tmp_path: Path, size: int = SIZE) -> tuple[Path, Written]:
    content = os.urandom(1 << 20) * (size >> 20)
    file = tmp_path / "made.bin"
    file.write_bytes(content)
    return file, Written(len(content), hashlib.sha256(content).hexdigest())


def unheard(_: int) -> None:
    return


async def test_a_large_result_goes_on_where_its_upload_was_cut(tmp_path: Path) -> None:
    file, written = made(tmp_path)
    moved: list[int] = []
    async with lane(tmp_path) as way:
        way.wire.cut_up[:] = [9 << 20, 7 << 20]

        staged = await way.transfer.stage(way.url, "out/made.bin", file, moved.append)

        assert (staged, way.names()) == (written, ["made.bin"])
        assert way.lies("out/made.bin") == file.read_bytes()
        assert way.wire.sent_up < SIZE + SLACK
        assert sum(moved) == SIZE


async def test_another_engine_process_goes_on_with_what_dispatch_has(tmp_path: Path) -> None:
    file, written = made(tmp_path)
    async with lane(tmp_path, patience_s=-1.0) as way:
        way.wire.cut_up[:] = [12 << 20]
        with pytest.raises(TransferFailed):
            await way.transfer.stage(way.url, "made.bin", file, unheard)

        later = replace(way.transfer, patience_s=60.0)
        staged = await later.stage(way.url, "made.bin", file, unheard)

        assert (staged, way.names()) == (written, ["made.bin"])
        assert way.wire.sent_up < SIZE + SLACK


async def test_a_restarted_dispatch_takes_the_rest(tmp_path: Path) -> None:
    file, written = made(tmp_path)
    async with lane(tmp_path, patience_s=-1.0) as way:
        way.wire.cut_up[:] = [12 << 20]
        with pytest.raises(TransferFailed):
            await way.transfer.stage(way.url, "made.bin", file, unheard)
    (tmp_path / "dispatch.lock").unlink()  # a process that ended would have let go of it
    async with lane(tmp_path) as way:
        staged = await way.transfer.stage(way.url, "made.bin", file, unheard)

        assert (staged, way.names()) == (written, ["made.bin"])
        assert way.wire.sent_up < SIZE - (12 << 20) + SLACK


async def test_a_result_whose_last_answer_was_lost_counts_as_staged(tmp_path: Path) -> None:
    file, written = made(tmp_path)
    async with lane(tmp_path) as way:
        await way.transfer.stage(way.url, "made.bin", file, unheard)

        assert await way.transfer.stage(way.url, "made.bin", file, unheard) == written
        assert way.wire.sent_up < SIZE + SLACK


async def test_bytes_that_a_power_cut_spoilt_are_sent_again(tmp_path: Path) -> None:
    file, written = made(tmp_path)
    async with lane(tmp_path) as way:
        unfinished = way.root / PREFIX / "made.bin~"
        unfinished.parent.mkdir(parents=True)
        unfinished.write_bytes(bytes(5 << 20))

        assert await way.transfer.stage(way.url, "made.bin", file, unheard) == written
        assert (way.lies("made.bin"), way.names()) == (file.read_bytes(), ["made.bin"])


async def test_what_is_staged_in_pieces_never_changes_and_is_never_other_bytes(tmp_path: Path) -> None:
    content, url = os.urandom(4096), ""
    told = {"Staged-Length": "4096", "Staged-Digest": hashlib.sha256(content).hexdigest()}
    async with lane(tmp_path) as way:
        url = f"{way.url}/a.bin"

        async def put(data: bytes, **headers: str) -> tuple[int, str | None]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = await way.server.call("PUT", url, key=None, data=data, headers=named)
            return answer.status, answer.headers.get("Staged-Offset") or answer.code

        assert await put(content[:1000], Staged_Offset="0") == (201, "1000")
        assert await put(content[:1000], Staged_Offset="0") == (409, ErrorCode.UPLOAD_OFFSET)
        assert await put(b"", Staged_Offset="*") == (201, "1000")
        assert await put(bytes(3096), Staged_Offset="1000", **told) == (460, ErrorCode.CHECKSUM_MISMATCH)
        assert await put(b"", Staged_Offset="*") == (201, "0")
        assert await put(content, Staged_Offset="0", **told) == (201, "4096")
        assert await put(content, Staged_Offset="0", **told) == (409, ErrorCode.FILE_EXISTS)
        assert (way.lies("a.bin"), way.names()) == (content, ["a.bin"])


@pytest.mark.parametrize(
    ("header", "value"), [("Staged-Offset", "-1"), ("Staged-Offset", "1e3"), ("Staged-Length", "x"), ("Staged-Digest", "00")]
)
async def test_a_piece_with_a_malformed_header_is_refused(tmp_path: Path, header: str, value: str) -> None:
    headers = {"Staged-Offset": "0", "Staged-Length": "1", "Staged-Digest": "0" * 64, header: value}
    async with lane(tmp_path) as way:
        answer = await way.server.call("PUT", f"{way.url}/a.bin", key=None, data=b"x", headers=headers)

        assert head_of(answer) == (400, ErrorCode.UPLOAD_HEADER_INVALID)


async def test_a_last_piece_without_the_length_of_the_whole_is_told_so(tmp_path: Path) -> None:
    headers = {"Staged-Offset": "0", "Staged-Digest": "0" * 64}
    async with lane(tmp_path) as way:
        answer = await way.server.call("PUT", f"{way.url}/a.bin", key=None, data=b"x", headers=headers)

        assert (head_of(answer), answer.json["error"]["details"]) == (
            (400, ErrorCode.UPLOAD_HEADER_INVALID),
            {"header": "Staged-Length"},
        )
        assert answer.json["error"]["message"].startswith("Staged-Length is missing beside Staged-Digest")


async def test_a_piece_needs_a_link_for_staging(tmp_path: Path) -> None:
    async with lane(tmp_path) as way:
        reading = f"{way.server.signed('GET', PREFIX)}/{PREFIX}/a.bin"
        asked = await way.server.call("PUT", reading, key=None, headers={"Staged-Offset": "*"})
        sent = await way.server.call("PUT", reading, key=None, data=b"x", headers={"Staged-Offset": "0"})

        assert {head_of(asked), head_of(sent)} == {(403, ErrorCode.LINK_INVALID)}
