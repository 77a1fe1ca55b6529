"""Uploads below HTTP: durable steps, one sender at a time, room reserved, restarts, and the duty that ends them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from config.dispatch import Uploads
from dispatch.core.records import Upload
from dispatch.core.tus import Checksum, Creation, Piece
from dispatch.ports import Transaction
from dispatch.services.intake import STEP
from dispatch.services.turns import STILL_S
from dispatch.services.uploads import Body
from plugins.storage_local.provider import LocalStorage
from protocol.errors import ErrorCode, ReelyardError
from protocol.storage import Space
from tests.contract.services_world import CLIENT, OTHER, World, world

DAY = 86_400.0


@dataclass
class Sender:
    """A client whose bytes come when the test says so; `close` breaks its line off."""

    blocks: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    closed: bool = False

    def is_closed(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True
        self.blocks.put_nowait(None)

    async def come(self) -> AsyncIterator[bytes]:
        while (block := await self.blocks.get()) is not None:
            yield block
            if self.blocks.empty():
                self.blocks.task_done()
        if self.closed:
            raise ReelyardError(ErrorCode.BODY_INCOMPLETE)

    def body(self, *given: bytes) -> Body:
        for block in given:
            self.blocks.put_nowait(block)
        return Body(self.come(), self)


def whole(*given: bytes) -> Body:
    sender = Sender()
    body = sender.body(*given)
    sender.blocks.put_nowait(None)
    return body


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def begin(farm: World, size: int | None) -> Upload:
    begun = await farm.core.services.upload_creation.create(CLIENT, Creation(size, "", "film.mp4"))
    assert begun.upload is not None
    return begun.upload


async def row(farm: World, upload: Upload) -> Upload | None:
    return await farm.core.outside.store.read(lambda tx: tx.upload(upload.upload_id))


async def state(farm: World, upload: Upload) -> tuple[str, int]:
    found = await row(farm, upload)
    return ("none", 0) if found is None else (found.state, found.received)


async def settled() -> None:
    """Let everybody go as far as they can without time."""
    for _ in range(50):
        await asyncio.sleep(0)


async def refusal(coroutine: object) -> str:
    with pytest.raises(ReelyardError) as refused:
        await coroutine  # type: ignore[misc]  # any call of a service
    return str(refused.value.code)


# --- durable steps


async def test_a_body_that_ends_with_a_step_finishes_its_upload(farm: World) -> None:
    upload = await begin(farm, 2 * STEP)

    done = await farm.core.services.uploads.receive(CLIENT, upload.upload_id, Piece(0), whole(bytes(STEP), bytes(STEP)))

    assert (done.state, done.received) == ("finished", 2 * STEP)


async def test_a_long_body_is_durable_step_by_step(farm: World) -> None:
    upload, sender = await begin(farm, STEP + 10), Sender()
    block = bytes(1 << 20)
    async with asyncio.TaskGroup() as group:
        body = sender.body(*[block] * (STEP // len(block)), b"01234")
        going = group.create_task(farm.core.services.uploads.receive(CLIENT, upload.upload_id, Piece(0), body))
        while await state(farm, upload) == ("open", 0):  # noqa: ASYNC110  # nothing tells of a commit here
            await asyncio.sleep(0.001)
        in_the_middle = await state(farm, upload)
        sender.blocks.put_nowait(b"56789")
        sender.blocks.put_nowait(None)
        done = await going

    assert (in_the_middle, done.state, done.received) == (("open", STEP), "finished", STEP + 10)


async def test_what_lies_behind_the_row_after_a_crash_is_cut_off(tmp_path: Path) -> None:
    async with world(tmp_path, adapter="sqlite") as before:
        upload = await begin(before, 10)
        await before.core.services.uploads.receive(CLIENT, upload.upload_id, Piece(0), whole(b"01234"))
    with (tmp_path / "storage" / upload.path).open("ab") as file:  # the server died after the write, before the row
        file.write(b"never told")

    async with world(tmp_path, adapter="sqlite") as after:
        stands = await after.core.services.uploads.look(CLIENT, upload.upload_id)
        done = await after.core.services.uploads.receive(CLIENT, upload.upload_id, Piece(5), whole(b"56789"))
        reserved = after.core.services.reservations.ahead

    assert (stands.received, done.state, reserved) == (5, "finished", 0)
    assert (tmp_path / "storage" / upload.path).read_bytes() == b"0123456789"


# --- one sender at a time


async def test_a_newer_request_waits_for_nobody_who_stands_still(farm: World) -> None:
    upload, old = await begin(farm, 10), Sender()
    receive = farm.core.services.uploads.receive
    async with asyncio.TaskGroup() as group:
        older = group.create_task(refusal(receive(CLIENT, upload.upload_id, Piece(0), old.body(b"01234"))))
        await old.blocks.join()
        await settled()
        at_once = await refusal(receive(CLIENT, upload.upload_id, Piece(0), whole(b"x")))
        farm.clock.advance(STILL_S)
        stands = await farm.core.services.uploads.look(CLIENT, upload.upload_id)
        newer = await receive(CLIENT, upload.upload_id, Piece(5), whole(b"56789"))

    assert (at_once, old.closed, older.result()) == ("UPLOAD_LOCKED", True, "BODY_INCOMPLETE")
    assert (stands.received, newer.state) == (5, "finished")


async def test_an_ended_upload_ends_who_sends_to_it(farm: World) -> None:
    upload, sender = await begin(farm, 10), Sender()
    uploads = farm.core.services.uploads
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(refusal(uploads.receive(CLIENT, upload.upload_id, Piece(0), sender.body(b"01234"))))
        await sender.blocks.join()
        await uploads.end(CLIENT, upload.upload_id)

    assert (sending.result(), farm.files()) == ("UPLOAD_GONE", [])


# --- room


class Small(LocalStorage):
    """A disk of a thousand MiB, all of it free."""

    async def space(self) -> Space:
        return Space(1000 << 20, 1000 << 20)


async def test_room_is_promised_once(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    async with world(tmp_path, storage=Small(str(tmp_path / "storage"))) as farm:
        first = await begin(farm, 500 << 20)
        too_much = await refusal(begin(farm, 460 << 20))  # 5 % of the disk stays free
        at_once = await asyncio.gather(*(begin(farm, 300 << 20) for _ in range(3)), return_exceptions=True)
        await farm.core.services.uploads.end(CLIENT, first.upload_id)
        again = await begin(farm, 460 << 20)
        reserved = farm.core.services.reservations.ahead

    assert (too_much, sum(isinstance(made, Upload) for made in at_once)) == ("STORAGE_FULL", 1)
    assert (again.state, reserved) == ("open", 760 << 20)


async def test_a_body_of_unknown_length_takes_its_room_as_it_comes(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    async with world(tmp_path, storage=Small(str(tmp_path / "storage"))) as farm:
        receive, reserved = farm.core.services.uploads.receive, farm.core.services.reservations
        upload, sender = await begin(farm, None), Sender()
        async with asyncio.TaskGroup() as group:
            group.create_task(receive(CLIENT, upload.upload_id, Piece(0), sender.body(b"0")))
            await sender.blocks.join()
            while_it_comes = reserved.ahead
            sender.blocks.put_nowait(None)
        after = reserved.ahead
        await begin(farm, 940 << 20)
        full = await refusal(receive(CLIENT, upload.upload_id, Piece(1), whole(b"1")))

    assert (while_it_comes, after, full) == (STEP, 0, "STORAGE_FULL")


async def test_room_nobody_fills_is_given_up_and_asked_for_anew(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    async with world(tmp_path, storage=Small(str(tmp_path / "storage"))) as farm:
        receive, reserved = farm.core.services.uploads.receive, farm.core.services.reservations
        first = await begin(farm, 900 << 20)
        farm.clock.advance(900.0)
        in_time = await receive(CLIENT, first.upload_id, Piece(0), whole(b"01234"))
        farm.clock.advance(900.0)
        held, refused = reserved.ahead, await refusal(begin(farm, 100 << 20))
        farm.clock.advance(1.0)
        lapsed, other = reserved.ahead, await begin(farm, 100 << 20)
        too_late = await refusal(receive(CLIENT, first.upload_id, Piece(5), whole(b"56789")))
        await farm.core.services.uploads.end(CLIENT, other.upload_id)
        goes_on = await receive(CLIENT, first.upload_id, Piece(5), whole(b"56789"))
        again = reserved.ahead

    assert (in_time.received, held, refused) == (5, (900 << 20) - 5, "STORAGE_FULL")
    assert (lapsed, other.state, too_late) == (0, "open", "STORAGE_FULL")
    assert (goes_on.received, again) == (10, (900 << 20) - 10)


async def test_bytes_that_are_reserved_anew_count_once_for_the_month(farm: World) -> None:
    """The row of the upload counts its whole size already."""

    def limited(tx: Transaction) -> None:
        tenant = tx.tenant("default")
        assert tenant is not None
        tx.put_tenant(replace(tenant, max_bytes_per_month=1000))

    await farm.core.outside.store.transact(limited)
    upload = await begin(farm, 1000)
    farm.clock.advance(901.0)
    done = await farm.core.services.uploads.receive(CLIENT, upload.upload_id, Piece(0), whole(bytes(1000)))

    assert (done.state, await refusal(begin(farm, 1))) == ("finished", "QUOTA_EXCEEDED")


async def test_a_tenant_has_so_many_unfinished_uploads_at_the_most(tmp_path: Path) -> None:
    async with world(tmp_path, sections={"uploads": Uploads(max_open=2)}) as farm:
        create = farm.core.services.upload_creation.create
        first, _ = await begin(farm, 1000), await begin(farm, None)
        with pytest.raises(ReelyardError) as refused:
            await begin(farm, 1000)
        reserved = farm.core.services.reservations.ahead
        others = await create(OTHER, Creation(1, "", "film.mp4"))
        await farm.core.services.uploads.receive(CLIENT, first.upload_id, Piece(0), whole(bytes(1000)))
        again = await begin(farm, 1)

    told = refused.value
    assert (told.code, told.status, told.details, told.retry_after) == (ErrorCode.UPLOAD_LIMIT, 429, {"most": 2}, 60.0)
    assert (reserved, others.answer.status, again.state) == (1000, 201, "open")


async def test_a_restart_reserves_again_what_may_still_come(tmp_path: Path) -> None:
    async with world(tmp_path, adapter="sqlite") as before:
        upload = await begin(before, 1000)
        await before.core.services.uploads.receive(CLIENT, upload.upload_id, Piece(0), whole(bytes(400)))
        await begin(before, None)
        ahead = before.core.services.reservations.ahead
    async with world(tmp_path, adapter="sqlite") as after:
        assert (ahead, after.core.services.reservations.ahead) == (600, 600)


async def test_a_size_that_was_told_with_bytes_nobody_kept_reserves_nothing(farm: World) -> None:
    upload = await begin(farm, None)
    wrong = Piece(0, 5, 1000, Checksum("md5", bytes(16)))
    refused = await refusal(farm.core.services.uploads.receive(CLIENT, upload.upload_id, wrong, whole(b"01234")))

    assert (refused, farm.core.services.reservations.ahead) == ("CHECKSUM_MISMATCH", 0)

    await farm.core.services.uploads.receive(CLIENT, upload.upload_id, Piece(0, 5, 1000), whole(b"01234"))
    assert farm.core.services.reservations.ahead == 995


async def test_a_finished_upload_takes_nothing_more(farm: World) -> None:
    upload, receive = await begin(farm, 5), farm.core.services.uploads.receive
    await receive(CLIENT, upload.upload_id, Piece(0, 5), whole(b"01234"))
    await farm.core.services.uploads.give(upload, "default/raw/job_1_original.mp4")

    nothing = await receive(CLIENT, upload.upload_id, Piece(5, 0), whole())
    more = [await refusal(receive(CLIENT, upload.upload_id, Piece(5, length), whole(b"x"))) for length in (1, None)]

    assert (nothing.state, more) == ("finished", ["UPLOAD_TOO_LARGE"] * 2)
    assert (farm.root / upload.path).read_bytes() == b"01234"


async def test_a_stranger_ends_nobodys_request(farm: World) -> None:
    upload, sender = await begin(farm, 10), Sender()
    uploads = farm.core.services.uploads
    async with asyncio.TaskGroup() as group:
        group.create_task(uploads.receive(CLIENT, upload.upload_id, Piece(0), sender.body(b"01234")))
        await sender.blocks.join()
        await settled()
        farm.clock.advance(STILL_S)
        told = await refusal(uploads.look(OTHER, upload.upload_id))
        also = await refusal(uploads.receive(OTHER, upload.upload_id, Piece(0), whole(b"x")))
        sender.blocks.put_nowait(None)

    assert (told, also, sender.closed) == ("UPLOAD_NOT_FOUND", "UPLOAD_NOT_FOUND", False)


# --- the end of an upload


async def test_an_upload_expires_when_nothing_comes_any_more(farm: World) -> None:
    unfinished, finished = await begin(farm, 10), await begin(farm, 5)
    receive = farm.core.services.uploads.receive
    await receive(CLIENT, unfinished.upload_id, Piece(0), whole(b"012"))
    await receive(CLIENT, finished.upload_id, Piece(0), whole(b"01234"))

    farm.clock.advance(DAY - 10)
    await receive(CLIENT, unfinished.upload_id, Piece(3), whole(b"345"))  # renews its time
    farm.clock.advance(20)
    await farm.duty("uploads")
    states = await state(farm, unfinished), await state(farm, finished)
    files = farm.files()

    assert (states, files) == ((("open", 6), ("gone", 5)), [unfinished.path])
    assert await refusal(farm.core.services.uploads.look(CLIENT, finished.upload_id)) == "UPLOAD_GONE"

    farm.clock.advance(DAY)
    await farm.duty("uploads")
    assert (await state(farm, unfinished), await state(farm, finished)) == (("gone", 6), ("none", 0))
    assert (farm.files(), farm.core.services.reservations.ahead) == ([], 0)


async def test_nothing_expires_by_a_jump_of_the_wall_clock(farm: World) -> None:
    upload = await begin(farm, 10)

    farm.clock.jump(10 * DAY)
    await farm.duty("uploads")

    assert await state(farm, upload) == ("open", 0)


async def test_bytes_nobody_tells_of_are_collected(farm: World) -> None:
    known = await begin(farm, 10)
    await farm.core.services.uploads.receive(CLIENT, known.upload_id, Piece(0), whole(b"01234"))
    lost = farm.root / "uploads" / "upl_lost"
    lost.write_bytes(b"joined by a server that died")
    for path in (lost, farm.root / known.path):
        os.utime(path, (farm.clock.now() - 2 * DAY,) * 2)

    await farm.duty("housekeeping")
    marked = farm.files()
    farm.clock.advance(3601)
    await farm.duty("housekeeping")

    assert (marked, farm.files()) == ([known.path, "uploads/upl_lost"], [known.path])
