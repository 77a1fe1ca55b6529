"""What HandBrakeCLI's last words mean. Its exit codes: 0 done, 1 cancelled, 2 no input that it reads, 3 bad start, 4 failed."""

from __future__ import annotations

from dataclasses import replace

from plugins.media.verdict import MACHINE_ROWS, UNKNOWN, Row, judge_by
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Outcome
from protocol.results import Failure

_I, _E = FailureClass.INPUT, FailureClass.ENGINE

ROWS: tuple[Row, ...] = (
    *(row for row in MACHINE_ROWS if "libnvidia" not in row.pattern),  # each start looks for NVENC, and says so in vain
    Row(
        "[Uu]nknown option|[Ii]nvalid (video encoder|audio encoder|codec|preset)|Missing argument|Failed to initialize job",
        *(_E, ErrorCode.TOOL_FAILED, "This engine's HandBrake lacks what the recipe needs."),
    ),
    Row("scan thread found 0 valid title|No title found", _I, ErrorCode.INPUT_FORMAT, "HandBrake finds no film in the file."),
    Row("Encode failed", _E, ErrorCode.TOOL_FAILED, "HandBrake could not finish the encode; the job's log has its words."),
    UNKNOWN,
)
"""The first row that fits counts. An input that ends early exits 0: its output is shorter, and verification refuses it."""

DONE = "Encode done!"
NOT_DONE = 4
"""HandBrake's own exit code for a failed encode."""


def judge(outcome: Outcome, step: str) -> Failure | None:
    """The verdict on an encode. Exit 0 without the last word of a whole one, as after an unknown option, is a failure."""
    if outcome.exit_code == 0 and DONE not in outcome.stderr_tail:
        outcome = replace(outcome, exit_code=NOT_DONE)
    return judge_by(outcome, ROWS, step)
