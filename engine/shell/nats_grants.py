"""Grants that come over the broker: kept at hand until an answer names them, acknowledged once they are on this disk."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import nats
import structlog
from nats.aio.msg import Msg
from pydantic import ValidationError

from engine.core.attempts import key_of
from engine.core.messages import Changes, Saved
from engine.ports import Clock, LocalQueue
from engine.shell.envelopes import Envelopes, NotBelieved
from protocol.broker import bound_to
from protocol.leases import Grant

log = structlog.get_logger()
TEND_S, HELD_S = 10.0, 60.0
"""How often the broker is told that a grant is being written, and how long one waits for that at most."""

REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Held:
    message: Msg
    grant: Grant
    since: float


class GrantMail:
    """`envelopes` is None until it is known who this engine is."""

    def __init__(self, clock: Clock, written: Iterable[int] = ()) -> None:
        self._clock = clock
        self.envelopes: Envelopes | None = None
        self.subject = ""
        self._held: dict[int, Held] = {}
        self._written: OrderedDict[int, None] = OrderedDict.fromkeys(written)
        self._done: asyncio.Queue[Msg] = asyncio.Queue()
        self._came = asyncio.Condition()

    async def arrived(self, message: Msg) -> None:
        """A message of the engine's queue: one that was written before is a late copy, and done."""
        grant = self._opened(message)
        if grant is None:
            await message.term()
        elif grant.token in self._written:
            await message.ack()
        else:
            self._held[grant.token] = Held(message, grant, self._clock.now())
            async with self._came:
                self._came.notify_all()

    def _opened(self, message: Msg) -> Grant | None:
        try:
            if self.envelopes is None:
                raise NotBelieved("nobody knows yet who this engine is")
            return Grant.model_validate_json(self.envelopes.open(message.data, bound_to(self.subject)))
        except (NotBelieved, ValidationError) as fault:
            reason = str(fault) if isinstance(fault, NotBelieved) else "it is no grant that this version can read"
            log.warning("grant_not_believed", reason=reason)
            return None

    async def take(self, tokens: Sequence[int]) -> tuple[Grant, ...]:
        """Those that an answer named, once all of them are here."""
        async with self._came:
            await self._came.wait_for(lambda: all(token in self._held for token in tokens))
        return tuple(self._held[token].grant for token in tokens)

    def saved(self, changes: Changes) -> None:
        """The disk has them: the broker may forget them."""
        for key in (*(key_of(row.grant) for row in changes.granted), *(key_of(final) for final in changes.finals)):
            self._written[key.token] = None
            held = self._held.pop(key.token, None)
            if held is not None:
                self._done.put_nowait(held.message)
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    async def acknowledge(self) -> None:
        """Until cancelled. What is lost on the way comes again, and is known then."""
        while True:
            message = await self._done.get()
            try:
                await message.ack()
            except nats.errors.Error as fault:
                log.debug("ack_lost", reason=str(fault))

    async def tend(self) -> None:
        """Until cancelled: what is being written takes its time; what nobody asked for goes back."""
        while True:
            await self._clock.sleep(TEND_S)
            for token, held in list(self._held.items()):
                try:
                    if self._clock.now() - held.since < HELD_S:
                        await held.message.in_progress()
                    else:
                        del self._held[token]
                        log.info("grant_unclaimed", task=held.grant.task_id, token=token)
                        await held.message.nak()
                except nats.errors.Error as fault:
                    log.debug("grant_not_tended", token=token, reason=str(fault))


class TellingQueue:
    """The LocalQueue port around another one: `mail` hears of everything that is on disk."""

    def __init__(self, queue: LocalQueue, mail: GrantMail) -> None:
        self._queue, self._mail = queue, mail

    async def load(self) -> Saved:
        return await self._queue.load()

    async def save(self, changes: Changes) -> None:
        await self._queue.save(changes)
        self._mail.saved(changes)
