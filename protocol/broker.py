"""What an engine and dispatch say to each other over a broker: the bodies, who may read them, and what names a message.

Every body between them is sealed with a key that follows from the engine's own credential: a message is believed because
it opens, nobody else on the broker reads what it holds, and the credential itself goes nowhere.
"""

from __future__ import annotations

import hashlib
import hmac

from protocol.base import Message, Seconds, Token
from protocol.errors import ErrorCode
from protocol.leases import HeartbeatReply, Order, Report, Settlement, digest_of

MESSAGE_ID = "Nats-Msg-Id"
"""The broker drops a second message with the same one."""

ANSWERS = "Reelyard-Answers"
"""In the header of an answer: the id of the message that is answered."""

REASON = "Reelyard-Reason"
"""In the header of a dead letter: why nobody could use it, as a code and a sentence."""

ORIGIN = "Reelyard-Origin"
"""In the header of a dead letter: the subject it came on."""

PURPOSE = b"reelyard broker 1"
KINDS = ("ack", "start", "complete", "fail", "release")
"""Of reports, in the order in which those of one attempt are made."""


def sealing_key(credential_sha256: str) -> bytes:
    """The key (AES-256-GCM) of one engine, from the digest of its credential: both sides have that, and nobody else."""
    return hmac.new(bytes.fromhex(credential_sha256), PURPOSE, hashlib.sha256).digest()


def bound_to(subject: str, answered: str = "") -> bytes:
    """What a sealed body is good for: one subject, and as an answer for one message alone."""
    return f"{subject} {answered}".encode()


def report_id(report: Report) -> str:
    """The id of a report's message: the same report has the same one, whoever sends it when."""
    digest = digest_of(report)
    return f"{report.task_id}-{report.token}-{report.type}" + (f"-{digest[:32]}" if digest is not None else "")


def reports_id(reports: tuple[Report, ...]) -> str:
    """Of one report its own id; of several that go in one message what follows from theirs."""
    if len(reports) == 1:
        return report_id(reports[0])
    return hashlib.sha256(" ".join(report_id(report) for report in reports).encode()).hexdigest()


class Refusal(Message):
    """The error that the same call over HTTP would have been answered with."""

    code: ErrorCode
    message: str
    retry_after: Seconds | None = None


class AskAnswer(Message):
    """`tokens` are of grants that lie on the engine's subject. `by_http`: they could not be put there; ask again by HTTP."""

    tokens: tuple[Token, ...] = ()
    orders: tuple[Order, ...] = ()
    by_http: bool = False
    refusal: Refusal | None = None


class ReportsAnswer(Message):
    """One settlement for each report, in their order, or the refusal of all of them."""

    settled: tuple[Settlement, ...] = ()
    refusal: Refusal | None = None


class BeatAnswer(Message):
    """`leader` is the base URL of the server that answers, which leads: where the engine's calls over HTTP go.

    None where its settings do not tell it.
    """

    reply: HeartbeatReply | None = None
    leader: str | None = None
    refusal: Refusal | None = None
