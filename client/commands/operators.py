"""Commands about engines, keys, tenants, profiles and versions."""

from __future__ import annotations

from importlib.metadata import version as installed_version

from pydantic import ValidationError

from client import options as o
from client import rows
from client.api import ReelyardClient
from client.errors import ClientError, ExitCode
from client.location import locate
from client.shell import Shell
from client.sources import first_problem
from client.transport import RetryPolicy
from protocol.admin import EngineView, KeyRequest, Scope, TenantRequest
from protocol.errors import ErrorCode, ReelyardError

DEFAULT_SCOPES = (Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.FILES_READ)


ALL = {"limit": "200"}  # as many as one page may hold


def _rest(shell: Shell, shown: int, total: int) -> None:
    if shown < total:
        shell.screen.line(f"{shown} of {total}")


async def engines(shell: Shell, options: o.EnginesOptions) -> int:
    page = await shell.client.engines(**ALL)
    shell.screen.document(page)
    shell.screen.table(rows.engine_table(page))
    _rest(shell, len(page.engines), page.total)
    return ExitCode.DONE


async def engine_info(shell: Shell, options: o.EngineInfoOptions) -> int:
    return _show(shell, await shell.client.engine(options.engine_id))


async def drain(shell: Shell, options: o.DrainOptions) -> int:
    return _show(shell, await shell.client.drain(options.engine_id))


async def undrain(shell: Shell, options: o.UndrainOptions) -> int:
    return _show(shell, await shell.client.undrain(options.engine_id))


def _show(shell: Shell, engine: EngineView) -> int:
    shell.screen.document(engine)
    shell.screen.table(rows.engine_facts(engine))
    return ExitCode.DONE


async def create_key(shell: Shell, options: o.KeyCreateOptions) -> int:
    told = {"name": options.name, "tenant": options.tenant, "expires_at": options.expires_at}
    try:
        scopes = frozenset(Scope(scope) for scope in options.scope or DEFAULT_SCOPES)
        request = KeyRequest(scopes=scopes, **{name: value for name, value in told.items() if value is not None})
    except ValidationError as error:
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, first_problem(error)) from error
    except ValueError as error:
        known = ", ".join(scope for scope in Scope)
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, f"{error}; scopes are {known}") from error
    made = await shell.client.create_key(request)
    shell.screen.document(made)
    shell.screen.line(made.api_key)
    if not shell.screen.is_json:
        shell.screen.note(f"{made.key_id}: {made.warning}")
    return ExitCode.DONE


async def keys(shell: Shell, options: o.KeyListOptions) -> int:
    page = await shell.client.keys(**ALL)
    shell.screen.document(page)
    shell.screen.table(rows.key_table(page))
    _rest(shell, len(page.api_keys), page.total)
    return ExitCode.DONE


async def revoke_key(shell: Shell, options: o.KeyRevokeOptions) -> int:
    revoked = await shell.client.revoke_key(options.key_id)
    shell.screen.document(revoked)
    shell.screen.line(f"{revoked.key_id} ({revoked.name}) is revoked")
    return ExitCode.DONE


async def create_tenant(shell: Shell, options: o.TenantCreateOptions) -> int:
    try:
        request = TenantRequest(name=options.name, weight=options.weight)
    except ValidationError as error:
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, first_problem(error)) from error
    made = await shell.client.create_tenant(request)
    shell.screen.document(made)
    shell.screen.line(f"tenant {made.name}, weight {made.weight:g}")
    return ExitCode.DONE


async def tenants(shell: Shell, options: o.TenantListOptions) -> int:
    page = await shell.client.tenants(**ALL)
    shell.screen.document(page)
    shell.screen.table(rows.tenant_table(page))
    _rest(shell, len(page.tenants), page.total)
    return ExitCode.DONE


async def profiles(shell: Shell, options: o.ProfilesOptions) -> int:
    page = await shell.client.profiles()
    shell.screen.document(page)
    shell.screen.table(rows.profile_table(page))
    return ExitCode.DONE


async def version(shell: Shell, options: o.VersionOptions) -> int:
    """The server's part is left out where none answers: the question is about this program first."""
    here = installed_version("reelyard")
    told, why = await _server_version(options)
    shell.screen.document({"client": here, "server": told, "server_problem": why})
    shell.screen.line(f"reelyard {here}")
    shell.screen.line(f"server {told}" if told else f"no server told its version: {why}")
    return ExitCode.DONE


async def _server_version(options: o.VersionOptions) -> tuple[str | None, str | None]:
    try:
        place = locate(options)
        async with ReelyardClient(place.server, place.key, retry=RetryPolicy(attempts=1)) as client:
            return (await client.version()).version, None
    except (ReelyardError, ClientError) as error:
        return None, error.message
