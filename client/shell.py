"""Runs one command: opens what it needs, turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from client.errors import ClientCode, ClientError, exit_code
from client.location import Location, locate
from client.options import Common, Remote
from client.screen import Screen
from protocol.errors import ErrorCode, ReelyardError

if TYPE_CHECKING:
    from client.api import ReelyardClient

O = TypeVar("O", bound=Common)  # noqa: E741 - options
PATIENCE = (5, 4.0, 3.0)
"""Attempts, seconds in all, longest wait. A person waits for the answer: a server that restarts is met, one that is not there
is told soon."""

INTERRUPTED, PIPE_CLOSED = 130, 141  # 128 + SIGINT, 128 + SIGPIPE, as shells have it


class Shell:
    """What a command acts through. The server is looked for when a command first speaks to it."""

    def __init__(self, screen: Screen, options: Common) -> None:
        self.screen = screen
        self._options = options
        self._client: ReelyardClient | None = None
        self._has_key = True

    @property
    def client(self) -> ReelyardClient:
        """Raises ClientError when nobody tells where a server is."""
        if self._client is None:
            if not isinstance(self._options, Remote):
                raise ClientError(ClientCode.SERVER_UNKNOWN, "this command speaks to no server")
            place = locate(self._options)
            self._has_key = bool(place.key)
            self._client = connect(place)
        return self._client

    def explained(self, error: ReelyardError) -> ReelyardError:
        """A refusal for want of a key, in words of this command line; any other as it is."""
        if error.code is not ErrorCode.UNAUTHORIZED or self._has_key:
            return error
        return ReelyardError(
            error.code, "no key was given: --key, or REELYARD_API_KEY. The one in --data goes to its server alone."
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


def connect(place: Location) -> ReelyardClient:
    """Imported here: what speaks HTTP takes longer to load than all else, and not every command needs it."""
    import stamina.instrumentation

    from client.api import ReelyardClient
    from client.notes import default_directory
    from client.transport import RetryPolicy

    stamina.instrumentation.set_on_retry_hooks([])  # the default ones log to stdout, where the document goes
    return ReelyardClient(place.server, place.key, retry=RetryPolicy(*PATIENCE), notes=default_directory())


Handler = Callable[[Shell, O], Awaitable[int]]


def run(handler: Handler[O], options: O) -> int:
    """The exit code of a command. What goes wrong becomes one line; nothing is raised."""
    screen = Screen(is_json=options.json, is_live=sys.stdout.isatty())
    try:
        return asyncio.run(_run(handler, options, screen))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; the last flush must not fail too
        return PIPE_CLOSED
    except Exception as error:
        if os.environ.get("REELYARD_TRACEBACK"):
            raise
        told = tellable(error)
        screen.error(told)
        return exit_code(told)


def tellable(error: Exception) -> ReelyardError | ClientError:
    """The error to show: the first of a group, since tasks of one command fail for one reason; ours when it is no other."""
    match error:
        case ReelyardError() | ClientError():
            return error
        case ExceptionGroup(exceptions=(first, *_)):
            return tellable(first)
        case _:
            fault = f"a fault of this program: {type(error).__name__}: {error}. REELYARD_TRACEBACK=1 shows where"
            return ReelyardError(ErrorCode.INTERNAL_ERROR, fault)


async def _run(handler: Handler[O], options: O, screen: Screen) -> int:
    shell = Shell(screen, options)
    try:
        return await handler(shell, options)
    except ReelyardError as error:
        raise shell.explained(error) from error
    finally:
        await shell.close()
