"""Who calls: API keys, tokens of another issuer, engines' credentials. A refusal tells nothing about what exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dispatch.api.call import Call
from dispatch.api.guard import REQUEST_ID
from dispatch.api.leaders import vouched_address
from dispatch.api.peers import PEERS
from dispatch.core.callers import Caller
from dispatch.core.claims import looks_like_token
from protocol.admin import Scope
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import KEY_SUBPROTOCOL

FROM_SHARD = "X-Reelyard-From-Shard"
"""Holds a voucher of another farm, which passed this call on."""

LONGEST_SECRET = 8192
"""A token of another issuer may carry many claims; one header cannot be longer in any case."""


def secrets_of(headers: Mapping[str, str]) -> list[str]:
    """What the caller shows: `X-API-Key` first, then `Authorization: Bearer`, then a subprotocol of a WebSocket."""
    shown = [headers.get("X-API-Key", "")]
    if (told := headers.get("Authorization")) is not None:
        scheme, _, secret = told.partition(" ")
        if scheme.lower() == "bearer":
            shown.append(secret.strip())
    if (told := headers.get("Sec-WebSocket-Protocol")) is not None:
        offered = (word.strip() for word in told.split(","))
        shown += [word.removeprefix(KEY_SUBPROTOCOL) for word in offered if word.startswith(KEY_SUBPROTOCOL)]
    return [secret for secret in shown if 0 < len(secret) <= LONGEST_SECRET and secret.isascii()]


def _secret(call: Call) -> str:
    shown = secrets_of(call.request.headers)
    if not shown:
        raise ReelyardError(ErrorCode.UNAUTHORIZED)
    return shown[0]


async def admit(call: Call) -> None:
    """Let the call in, or raise UNAUTHORIZED or FORBIDDEN. Registration judges its secrets itself."""
    match call.operation.scope:
        case Scope.OPEN | Scope.REGISTRATION:
            return
        case Scope.ENGINE:
            await _admit_engine(call)
        case scope:
            call.who = await _identify(call)
            if not call.who.may(scope):
                raise ReelyardError(ErrorCode.FORBIDDEN, f"this key lacks the scope {scope}", details={"scope": scope.value})


async def _identify(call: Call) -> Caller:
    """Raises UNAUTHORIZED, the same whatever is wrong with what was shown."""
    secret, address = _secret(call), address_of(call)
    by = call.services.tokens if looks_like_token(secret) else call.services.keys
    return replace(await by.authenticate(secret, address), request_id=call.request[REQUEST_ID])


def address_of(call: Call) -> str:
    """The client's own, also where another server of the farm, or another farm, passed the call on."""
    return vouched_address(call) or shard_address(call) or call.request.app[PEERS].address(call.request)


def shard_address(call: Call) -> str | None:
    """Where the client came from, when another farm says so."""
    voucher = call.header(FROM_SHARD)
    return None if voucher is None else call.services.vouchers.address_in(voucher)


async def _admit_engine(call: Call) -> None:
    """An engine speaks for itself alone: the id in the path is its own."""
    call.engine_id = await call.services.engines.authenticate(_secret(call))
    if call.request.match_info.get("engine_id", call.engine_id) != call.engine_id:
        raise ReelyardError(ErrorCode.FORBIDDEN, "an engine may call for itself only", details={"scope": Scope.ENGINE.value})
