"""A process that is frozen: none of its tasks takes a step until it thaws, and then each goes on with what it had in hand."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol

Frozen = asyncio.Event | None


class Freezable(Protocol):
    frozen: Frozen


OWNER: ContextVar[Freezable | None] = ContextVar("owner", default=None)
"""Whose task it is: every task that one of its tasks makes is its own too."""


def context_of(owner: Freezable | None) -> Context:
    context = copy_context()
    context.run(OWNER.set, owner)
    return context


def task_factory(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **named: Any) -> asyncio.Task[Any]:
    """Tasks of an owner take each step of theirs only while it is not frozen."""
    context = named.get("context")
    owner = OWNER.get() if context is None else context.get(OWNER)
    return asyncio.Task(coroutine if owner is None else Held(owner, coroutine), loop=loop, **named)


class Held(Coroutine[Any, Any, Any]):
    """A coroutine each of whose steps waits until its owner is not frozen. Ended before its first, it ends at once."""

    def __init__(self, owner: Freezable, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine, self._steps = coroutine, _steps(owner, coroutine)
        self._is_begun = False

    def send(self, value: Any) -> Any:
        self._is_begun = True
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        return self._steps.throw(*error) if self._is_begun else self._coroutine.throw(*error)

    def close(self) -> None:
        self._steps.close()
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._steps


@types.coroutine
def _steps(owner: Freezable, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """What is thrown into it while it is frozen, a cancellation or a timeout, comes when it thaws."""
    thrown: BaseException | None = None
    while True:
        while (frozen := owner.frozen) is not None:
            try:
                yield from frozen.wait()
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001  # handed on below
                thrown = error
        step: Callable[[], Any] = (lambda: coroutine.send(None)) if thrown is None else _throwing(coroutine, thrown)
        try:
            awaited = step()
        except StopIteration as stop:
            return stop.value
        try:
            thrown = None
            yield awaited
        except BaseException as error:  # noqa: BLE001  # handed on in the next step
            thrown = error


def _throwing(coroutine: Coroutine[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: coroutine.throw(error)
