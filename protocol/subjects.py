"""The subjects of the broker. `prefix` is `reelyard` unless a farm shares its broker with another.

`<prefix>.engine.<id>.tasks` holds grants for one engine until they lie in its own queue, and comes to it on
`<prefix>.engine.<id>.work`; `<prefix>.ask.<id>` are asks for work, answered at once or when there is some;
`<prefix>.status.<kind>.<id>` what engines report, settled on `<prefix>.engine.<id>.settled`; `<prefix>.events.<type>` is for
everybody; `<prefix>.in.<type>` is what others send in; `<prefix>.dead.<from>` is what nobody could use.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subjects:
    prefix: str = "reelyard"

    def tasks(self, engine_id: str) -> str:
        return f"{self.prefix}.engine.{engine_id}.tasks"

    def work(self, engine_id: str) -> str:
        return f"{self.prefix}.engine.{engine_id}.work"

    def settled(self, engine_id: str) -> str:
        return f"{self.prefix}.engine.{engine_id}.settled"

    def ask(self, engine_id: str) -> str:
        return f"{self.prefix}.ask.{engine_id}"

    def status(self, kind: str, engine_id: str) -> str:
        """`kind` is ack, start, complete, fail or release, each kept until it is settled; progress is a heartbeat, and is not."""
        return f"{self.prefix}.status.{kind}.{engine_id}"

    def leader(self) -> str:
        """Told by the server that leads, when it comes to and every few seconds: the name of its run."""
        return f"{self.prefix}.leader"

    def dispatch(self, of: str) -> str:
        """Where what is kept for dispatch comes to one of its servers: `of` is status, in or advice."""
        return f"{self.prefix}.dispatch.{of}"

    def inbox(self, role: str) -> str:
        """What the answers to `role` (dispatch, engine) come to begins so: permissions can keep them apart."""
        return f"_INBOX_{self.prefix}_{role}"

    def stream(self, name: str) -> str:
        """`name` is TASKS, STATUS, EVENTS, IN, DEAD or ADVICE."""
        return f"{self.prefix.upper()}_{name}"

    def event(self, type_: str) -> str:
        return f"{self.prefix}.events.{type_}"

    def incoming(self, type_: str) -> str:
        return f"{self.prefix}.in.{type_}"

    def dead(self, origin: str) -> str:
        """`origin` is `tasks`, `status` or `in`."""
        return f"{self.prefix}.dead.{origin}"
