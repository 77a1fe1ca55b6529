"""What an attempt tells of its tools and of its refusals, for the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plugins.media.rejected import Rejected
from plugins.media.verdict import redact
from protocol.plugins import Outcome
from protocol.results import Failure, ToolUse


@dataclass(frozen=True, slots=True)
class ToolName:
    """What a tool is called in the record, for its path."""

    name: str
    version: str


def tool_uses(outcomes: Sequence[Outcome], names: Mapping[str, ToolName]) -> tuple[ToolUse, ...]:
    """What ran, with the tool's name for its path. `names` goes by that path."""
    uses = []
    for outcome in outcomes:
        path, *arguments = outcome.invocation.argv
        tool = names.get(path, ToolName(path.rpartition("/")[2], "unknown"))
        argv = (tool.name, *arguments)
        wall, cpu = outcome.wall_seconds, outcome.cpu_seconds
        uses.append(ToolUse(tool=tool.name, version=tool.version, argv=argv, wall_seconds=wall, cpu_seconds=cpu))
    return tuple(uses)


def refusal(rejected: Rejected, work: Outcome | None = None) -> Failure:
    """The failure that `rejected` is, with the last words of the process whose outputs it refuses."""
    log_tail = redact(work.stderr_tail) if work else ""
    return Failure(
        failure_class=rejected.failure_class, code=rejected.code, message=rejected.message, step=rejected.step, log_tail=log_tail
    )
