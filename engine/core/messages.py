"""What the engine's machine hears (events), what it asks for (instructions), and the records both carry."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from engine.core.attempts import Final, Key
from engine.core.sessions import SessionLimit
from engine.core.slots import Slot, SlotPlan
from protocol.capabilities import Capabilities, EncoderSpeed, Load, RegisterReply, RegisterRequest, Tag
from protocol.errors import ErrorCode
from protocol.leases import Complete, Fail, Goodbye, Grant, Heartbeat, HeartbeatReply, LeaseReply, LeaseRequest
from protocol.results import StepReport


class Timer(Enum):
    """Each rings once; setting it again replaces it."""

    REGISTER = auto()
    HEARTBEAT = auto()
    PROGRESS = auto()
    LEASE_RETRY = auto()
    LINGER = auto()
    OUTBOX = auto()
    DRAIN = auto()
    SESSIONS = auto()
    GOODBYE = auto()


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds.

    `linger_s` bounds how long a lease request waits for a disk write under way.
    """

    drain_timeout_s: float = 600.0
    goodbye_s: float = 30.0
    hurry_s: float = 10.0
    progress_s: float = 2.0
    linger_s: float = 0.02
    wait_s: float = 25.0


@dataclass(frozen=True, slots=True)
class Setup:
    """Who this engine is."""

    name: str
    hostname: str
    boot_id: str
    version: str
    slots: SlotPlan
    capabilities: Capabilities = field(default_factory=Capabilities)
    addresses: tuple[str, ...] = ()
    tags: frozenset[Tag] = frozenset()
    registration_token: str | None = None
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class Identity:
    """What dispatch knows this engine by."""

    engine_id: str
    credential: str


@dataclass(frozen=True, slots=True)
class SavedAttempt:
    """One row of the local queue. `retry_count` counts the starts of the engine that found it unfinished.

    `slot` is the name of the slot it was started in, by which a later run gives it the same one.
    """

    grant: Grant
    order: int
    is_started: bool = False
    retry_count: int = 0
    final: Final | None = None
    slot: str | None = None


class Placed(NamedTuple):
    """An attempt that is started in this slot."""

    key: Key
    slot: str


@dataclass(frozen=True, slots=True)
class Saved:
    """Everything the local queue held when the engine started; for the machine, after `recovery.recovered`."""

    identity: Identity | None = None
    attempts: tuple[SavedAttempt, ...] = ()
    sessions: tuple[SessionLimit, ...] = ()
    speeds: tuple[EncoderSpeed, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes to the local queue, applied in one transaction, `forgotten` first. `speeds`, if any, are all of them."""

    identity: Identity | None = None
    forgotten: tuple[Key, ...] = ()
    granted: tuple[SavedAttempt, ...] = ()
    started: tuple[Placed, ...] = ()
    finals: tuple[Final, ...] = ()
    sessions: tuple[SessionLimit, ...] = ()
    speeds: tuple[EncoderSpeed, ...] = ()

    @property
    def is_waited_for(self) -> bool:
        """Whether something is told to dispatch once these changes are on disk."""
        return bool(self.granted or self.started or self.finals)


# Events


@dataclass(frozen=True, slots=True)
class Started:
    """The first event."""


@dataclass(frozen=True, slots=True)
class Registered:
    reply: RegisterReply


@dataclass(frozen=True, slots=True)
class RegisterFailed:
    """`code` is None when no answer came."""

    code: ErrorCode | None
    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class HeartbeatAnswered:
    reply: HeartbeatReply


@dataclass(frozen=True, slots=True)
class HeartbeatFailed:
    code: ErrorCode | None
    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class LeaseAnswered:
    """`waited` is how long the answer took, in seconds. `concluded` are the results of granted work that needs no tool."""

    request_id: str
    reply: LeaseReply
    waited: float
    concluded: tuple[Complete | Fail, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseFailed:
    request_id: str
    code: ErrorCode | None
    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class GoodbyeEnded:
    """Dispatch heard `offline`, or could not be told."""


@dataclass(frozen=True, slots=True)
class ChangesSaved:
    """The disk has them."""

    changes: Changes


@dataclass(frozen=True, slots=True)
class SaveFailed:
    """The disk refused a write; the shell keeps trying it."""


@dataclass(frozen=True, slots=True)
class Progressed:
    key: Key
    steps: tuple[StepReport, ...]


@dataclass(frozen=True, slots=True)
class RunEnded:
    report: Complete | Fail


@dataclass(frozen=True, slots=True)
class RunStopped:
    """The tool that was to be stopped is gone."""

    key: Key


@dataclass(frozen=True, slots=True)
class LoadRead:
    load: Load


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What the engine can do was proven anew."""

    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Rang:
    timer: Timer


@dataclass(frozen=True, slots=True)
class StopAsked:
    """SIGTERM or SIGINT. The first drains, the second hands everything back at once."""


@dataclass(frozen=True, slots=True)
class UpdateReady:
    """Another version is installed beside this one, and waits for its trial: drain, then leave for it."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """No event is left to handle: the moment to talk to dispatch about all that happened."""


Answer = Registered | RegisterFailed | HeartbeatAnswered | HeartbeatFailed | LeaseAnswered | LeaseFailed | GoodbyeEnded
Happening = ChangesSaved | SaveFailed | Progressed | RunEnded | RunStopped | LoadRead | Surveyed
Event = Started | Answer | Happening | Rang | StopAsked | UpdateReady | Quiet


# Instructions


@dataclass(frozen=True, slots=True)
class Register:
    request: RegisterRequest
    credential: str | None


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    who: Identity
    request: Heartbeat


@dataclass(frozen=True, slots=True)
class AskLease:
    who: Identity
    request: LeaseRequest


@dataclass(frozen=True, slots=True)
class SayGoodbye:
    who: Identity
    goodbye: Goodbye


@dataclass(frozen=True, slots=True)
class Save:
    """Answered by ChangesSaved; several may be saved as one."""

    changes: Changes


@dataclass(frozen=True, slots=True)
class Run:
    """Answered by Progressed any number of times and one RunEnded."""

    grant: Grant
    slot: Slot


@dataclass(frozen=True, slots=True)
class Stop:
    """Answered by RunStopped when the tool is gone, or by RunEnded when the work ended first."""

    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """End the stream that an attempt receives, in good order."""

    key: Key


@dataclass(frozen=True, slots=True)
class Forget:
    """What the attempt left on the scratch disk is not needed any more."""

    key: Key
    reason: str


@dataclass(frozen=True, slots=True)
class Wake:
    timer: Timer
    after: float


@dataclass(frozen=True, slots=True)
class Prove:
    """What this machine can do is in doubt: survey it now, answered by Surveyed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exit:
    code: int
    message: str


Instruction = Register | SendHeartbeat | AskLease | SayGoodbye | Save | Run | Stop | Finish | Forget | Wake | Prove | Exit
