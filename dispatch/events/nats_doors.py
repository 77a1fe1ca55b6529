"""Where messages come in: asks and heartbeats of engines, what they report, events of others, and what the broker gave up on.

Each message is handled by a task of its own. What a handler breaks on is told as it is of a call over HTTP, and ends no
process: the broker would bring that message again, to one server after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import nats
import orjson
import structlog
from nats.aio.msg import Msg

from dispatch.events.nats_link import NatsLink
from dispatch.events.nats_streams import ADVICE, IN, STATUS, TASKS, shared_consumer
from protocol.broker import ANSWERS, MESSAGE_ID, ORIGIN, REASON
from protocol.errors import ReelyardError
from protocol.subjects import Subjects

log = structlog.get_logger("broker")
INBOX = "_INBOX"
"""What answers go to begins so: an engine cannot make dispatch speak anywhere else."""

LONGEST_REASON = 500
NOTHING = b""
"""An answer that nobody can read: whoever asked goes on by HTTP."""

TRIES, AGAIN_S = 5, 10.0
"""How often a message that a handler breaks on is tried: what it met may pass."""

CRASHED = "INTERNAL_ERROR: dispatch broke on it again and again; its log tells where"


@dataclass(frozen=True, slots=True)
class Arrived:
    """`engine_id` is the last word of the subject; of what others send in it is the type."""

    subject: str
    engine_id: str
    body: bytes
    message_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a message that was kept: `answer` is given first. `dead` is why nobody can use it.

    Of what `is_secret` the dead letter holds the reason alone.
    """

    answer: bytes | None = None
    dead: str | None = None
    is_secret: bool = False
    again_s: float | None = None


Ask = Callable[[Arrived], Awaitable[bytes | None]]
Take = Callable[[Arrived], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Handlers:
    """`ask` and `beat` give no answer where it is not this server's to give."""

    ask: Ask
    beat: Ask
    report: Take
    incoming: Take


class NatsDoors:
    def __init__(self, link: NatsLink, subjects: Subjects, handlers: Handlers, *, again_s: float = AGAIN_S) -> None:
        self._link, self._subjects, self._handlers, self._again_s = link, subjects, handlers, again_s
        self._is_open = False
        link.ready.append(self._open)

    async def run(self) -> None:
        """Until cancelled. What is under way then is not acknowledged, and comes again."""
        async with asyncio.TaskGroup() as self._tasks:
            await asyncio.get_running_loop().create_future()

    async def _open(self) -> None:
        """Consumers are looked at after each connection; subscriptions are made once, the library renews them."""
        js, subjects = self._link.js, self._subjects
        for name, of in ((STATUS, "status"), (IN, "in"), (ADVICE, "advice")):
            await shared_consumer(js, subjects, name, of)
        if self._is_open:
            return
        client = self._link.client
        await client.subscribe(subjects.ask("*"), cb=self._owned(self._asked))
        await client.subscribe(subjects.status("progress", "*"), cb=self._owned(self._beaten))
        for of, handle in (("status", self._reported), ("in", self._came_in), ("advice", self._given_up)):
            await client.subscribe(subjects.dispatch(of), queue="dispatch", cb=self._owned(_if_kept(handle)))
        self._is_open = True

    def _owned(self, handle: Callable[[Msg], Awaitable[None]]) -> Callable[[Msg], Awaitable[None]]:
        async def handled(message: Msg) -> None:
            try:
                await handle(message)
            except (nats.errors.Error, TimeoutError, ValueError) as fault:  # the last: its reply is none of the broker's
                log.info("message_left", subject=message.subject, reason=str(fault) or type(fault).__name__)

        async def begin(message: Msg) -> None:
            self._tasks.create_task(handled(message))

        return begin

    # --- answered at once or when there is something, never kept

    async def _asked(self, message: Msg) -> None:
        await self._answered(message, self._handlers.ask)

    async def _beaten(self, message: Msg) -> None:
        await self._answered(message, self._handlers.beat)

    async def _answered(self, message: Msg, by: Ask) -> None:
        if not message.reply.startswith(INBOX):
            return
        try:
            answer = await by(_arrived(message))
        except ReelyardError as refused:  # before it is known who asks, as where the database is away
            log.warning("message_refused", subject=message.subject, code=refused.code.value, reason=refused.message)
            answer = NOTHING
        except Exception as fault:  # this task owns the message: whatever broke, the asker gets an answer
            log.error("message_crashed", subject=message.subject, exc_info=fault)
            answer = NOTHING
        if answer is not None:
            await self._link.client.publish(message.reply, answer)

    # --- kept until they are settled

    async def _reported(self, message: Msg) -> None:
        arrived = _arrived(message)
        outcome = await self._outcome(message, self._handlers.report)
        if outcome.answer is not None:
            headers = {ANSWERS: arrived.message_id}
            await self._link.client.publish(self._subjects.settled(arrived.engine_id), outcome.answer, headers=headers)
        await self._conclude(message, outcome, "status")

    async def _came_in(self, message: Msg) -> None:
        await self._conclude(message, await self._outcome(message, self._handlers.incoming), "in")

    async def _outcome(self, message: Msg, take: Take) -> Outcome:
        try:
            return await take(_arrived(message))
        except Exception as fault:  # this task owns the message: whatever broke, the others go on
            log.error("message_crashed", subject=message.subject, exc_info=fault)
        is_last = message.metadata.num_delivered >= TRIES
        return Outcome(answer=NOTHING, dead=CRASHED) if is_last else Outcome(again_s=self._again_s)

    async def _conclude(self, message: Msg, outcome: Outcome, origin: str) -> None:
        if outcome.dead is not None:
            body = b"" if outcome.is_secret else message.data
            await self._bury(message.subject, body, outcome.dead, origin, f"{origin}-{message.metadata.sequence.stream}")
            await message.term()
        elif outcome.again_s is not None:
            await message.nak(delay=outcome.again_s)
        else:
            await message.ack()

    async def _bury(self, subject: str, body: bytes, reason: str, origin: str, name: str) -> None:
        told = " ".join(reason.split())[:LONGEST_REASON].encode("ascii", "replace").decode()
        headers = {MESSAGE_ID: f"dead-{name}", REASON: told, ORIGIN: subject}
        await self._link.js.publish(self._subjects.dead(origin), body, headers=headers)
        log.warning("dead_letter", origin=origin, subject=subject, reason=told)

    async def _given_up(self, message: Msg) -> None:
        """The broker stops to deliver a message after so many tries, and leaves it lie: it is moved to the dead letters."""
        origins = {self._subjects.stream(name): name.lower() for name in (TASKS, STATUS, IN)}
        try:
            advice = orjson.loads(message.data)
            stream, seq, told = advice["stream"], int(advice["stream_seq"]), advice["deliveries"]
            origin = origins[stream]
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            await message.term()  # whoever wrote that, it was not the broker
            return
        try:
            left = await self._link.js.get_msg(stream, seq)
        except nats.js.errors.NotFoundError:
            await message.ack()  # moved by an earlier try, or too old
            return
        reason = f"not taken in {told} deliveries"
        await self._bury(left.subject or "", left.data or b"", reason, origin, f"{stream}-{seq}")
        await self._link.js.delete_msg(stream, seq)
        await message.ack()


def _if_kept(handle: Callable[[Msg], Awaitable[None]]) -> Callable[[Msg], Awaitable[None]]:
    """What did not come out of a stream is nobody's business here."""

    async def handled(message: Msg) -> None:
        if message.reply.startswith("$JS.ACK."):
            await handle(message)

    return handled


def _arrived(message: Msg) -> Arrived:
    told = (message.headers or {}).get(MESSAGE_ID, "")
    return Arrived(message.subject, message.subject.rsplit(".", 1)[-1], message.data, told)
