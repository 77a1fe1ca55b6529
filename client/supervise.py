"""What `reelyard up` does about its two children: facts come in, instructions go out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

DISPATCH, ENGINE = "dispatch", "engine"
DRAINED = (
    "the engine was drained and has ended; the server runs on. To have one again: "
    "`reelyard undrain ENGINE`, then Ctrl-C here and a new start"
)
PATIENCE_S = 15.0
"""How long the survivor of a fault may take to stop by itself; asked for by nobody, so nobody else would press on."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Dispatch wrote where it listens."""

    url: str


@dataclass(frozen=True, slots=True)
class Exited:
    who: str
    code: int


@dataclass(frozen=True, slots=True)
class StopAsked:
    """A signal from the user, or patience that ran out."""


Fact = Listening | Exited | StopAsked


@dataclass(frozen=True, slots=True)
class StartEngine:
    url: str


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Terminate:
    who: str


@dataclass(frozen=True, slots=True)
class Kill:
    who: str


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Hand in a `StopAsked` after so many seconds."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Finish:
    """Everything has ended. `fault` is None when it was wished."""

    fault: str | None


Instruction = StartEngine | Say | Terminate | Kill | AskAgain | Finish


@dataclass(slots=True)
class Supervisor:
    """Dispatch is started before the first fact; the engine once dispatch listens. The engine is always stopped first."""

    alive: set[str] = field(default_factory=lambda: {DISPATCH})
    asked: int = 0
    fault: str | None = None

    def handle(self, fact: Fact) -> list[Instruction]:
        match fact:
            case Listening(url):
                return self._listening(url)
            case StopAsked():
                return self._asked()
            case Exited(who, code):
                return self._exited(who, code)

    @property
    def _is_stopping(self) -> bool:
        return self.asked > 0 or self.fault is not None

    def _listening(self, url: str) -> list[Instruction]:
        if self._is_stopping:
            return []
        self.alive.add(ENGINE)
        return [StartEngine(url)]

    def _asked(self) -> list[Instruction]:
        """First: drain. Second: the engine hands its work back at once. After that: by force."""
        self.asked += 1
        first = ENGINE if ENGINE in self.alive else DISPATCH
        match self.asked:
            case 1:
                text = "stopping: running work is finished first; Ctrl-C again hands it back at once"
                return [Say(text), Terminate(first)] if self.fault is None else [Terminate(first)]
            case 2:
                return [Terminate(first)]
            case _:
                return [Kill(who) for who in sorted(self.alive)]

    def _exited(self, who: str, code: int) -> list[Instruction]:
        self.alive.discard(who)
        if who == ENGINE and code == 0 and not self._is_stopping:
            return [Say(DRAINED)]
        is_first_fault = not self._is_stopping
        if is_first_fault:
            self.fault = f"{who} ended by itself with exit code {code}; its messages stand above"
        if not self.alive:
            return [Finish(self.fault)]
        press_on: list[Instruction] = [AskAgain(PATIENCE_S), AskAgain(2 * PATIENCE_S)] if is_first_fault else []
        if is_first_fault or who == ENGINE:
            return [Terminate(next(iter(self.alive))), *press_on]
        return []  # dispatch went while the engine drains; the engine ends by itself
