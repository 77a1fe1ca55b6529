"""Runs one command: opens what it needs, turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina.instrumentation

from client.api import ReelyardClient
from client.errors import ClientCode, ClientError, ExitCode, exit_code
from client.location import locate
from client.options import Common, Remote
from client.screen import Screen
from client.transport import RetryPolicy
from protocol.errors import ErrorCode, ReelyardError

O = TypeVar("O", bound=Common)  # noqa: E741 - options
PATIENCE = RetryPolicy(attempts=5, within_s=4.0, longest_wait_s=3.0)
"""A person waits for the answer: a server that restarts is met, one that is not there is told soon."""

INTERRUPTED, PIPE_CLOSED = 130, 141  # 128 + SIGINT, 128 + SIGPIPE, as shells have it


class Shell:
    """What a command acts through."""

    def __init__(self, screen: Screen, client: ReelyardClient | None) -> None:
        self.screen = screen
        self._client = client

    @property
    def client(self) -> ReelyardClient:
        if self._client is None:
            raise ClientError(ClientCode.SERVER_UNKNOWN, "this command speaks to no server")
        return self._client


Handler = Callable[[Shell, O], Awaitable[int]]


def run(handler: Handler[O], options: O) -> int:
    """The exit code of a command. No exception leaves, but for one that would be a fault of this program's start."""
    stamina.instrumentation.set_on_retry_hooks([])  # the default ones log to stdout, where the document goes
    screen = Screen(is_json=options.json, is_live=sys.stdout.isatty())
    try:
        return asyncio.run(_run(handler, options, screen))
    except (ReelyardError, ClientError) as error:
        screen.error(error)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; the last flush must not fail too
        return PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - this function owns the command: a user gets one line, never a traceback
        if os.environ.get("REELYARD_TRACEBACK"):
            raise
        fault = f"{type(error).__name__}: {error}. REELYARD_TRACEBACK=1 shows where"
        screen.error(ReelyardError(ErrorCode.INTERNAL_ERROR, f"a fault of this program: {fault}"))
        return ExitCode.UNREACHABLE


async def _run(handler: Handler[O], options: O, screen: Screen) -> int:
    if not isinstance(options, Remote):
        return await handler(Shell(screen, None), options)
    place = locate(options)
    async with ReelyardClient(place.server, place.key, retry=PATIENCE) as client:
        return await handler(Shell(screen, client), options)
