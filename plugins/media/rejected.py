"""The refusal of outputs that are not what was asked for."""

from __future__ import annotations

from protocol.errors import ErrorCode, FailureClass


class Rejected(Exception):
    """The outputs are not what was asked for. `step` is what the client sees fail."""

    def __init__(self, code: ErrorCode, message: str, step: str | None = None) -> None:
        self.code, self.message, self.step = code, message, step
        super().__init__(message)

    @property
    def failure_class(self) -> FailureClass:
        return FailureClass.INPUT if self.code.startswith("INPUT_") else FailureClass.ENGINE
