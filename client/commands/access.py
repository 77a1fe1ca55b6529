"""Commands about keys and tenants."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from client import operator_rows as rows
from client import options as o
from client.commands.pages import ALL, show_all
from client.errors import ClientCode, ClientError, ExitCode
from client.shell import Shell
from protocol.admin import KeyCreated, KeyRequest, Scope, TenantPatch, TenantRequest, TenantView
from protocol.base import Message
from protocol.errors import ErrorCode, ReelyardError
from protocol.misfits import first_misfit

CLIENT_SCOPES = (Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.FILES_READ, Scope.FILES_WRITE)
"""What `reelyard submit` and all that follows from it need."""

NO_LIMIT = "none"
M = TypeVar("M", bound=Message)
_NUMBERS = ("max_running", "max_queued", "max_bytes_per_month")


def checked(model: type[M], told: dict[str, object]) -> M:
    """Raises ReelyardError VALIDATION_FAILED as the server would."""
    try:
        return model.model_validate(told)
    except ValidationError as error:
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, first_misfit(error)) from error


def number_or_none(option: str, text: str) -> int | None:
    """Raises ClientError USAGE for what is neither a number nor `none`."""
    if text == NO_LIMIT:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ClientError(ClientCode.USAGE, f"--{option} {text!r}: give a number, or {NO_LIMIT} for no limit")
    return int(text)


async def create_key(shell: Shell, options: o.KeyCreateOptions) -> int:
    try:
        scopes = frozenset(Scope(scope) for scope in options.scope or CLIENT_SCOPES)
    except ValueError as error:
        known = ", ".join(scope for scope in Scope if scope not in (Scope.REGISTRATION, Scope.OPEN))
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, f"{error}; scopes are {known}") from error
    told: dict[str, object] = {"name": options.name, "tenant": options.tenant, "scopes": scopes}
    if options.expires_at is not None:
        told["expires_at"] = options.expires_at
    if options.allow_ip:
        told["allowed_ips"] = tuple(options.allow_ip)
    if options.per_hour is not None:
        told["rate_limit_per_hour"] = number_or_none("per-hour", options.per_hour)
    return _show_secret(shell, await shell.client.create_key(checked(KeyRequest, told)))


async def rotate_key(shell: Shell, options: o.KeyRotateOptions) -> int:
    if not 0 <= options.overlap <= 2_592_000:
        raise ClientError(ClientCode.USAGE, "--overlap is 0 to 2592000 seconds, thirty days")
    return _show_secret(shell, await shell.client.rotate_key(options.key_id, overlap_s=options.overlap))


def _show_secret(shell: Shell, made: KeyCreated) -> int:
    shell.screen.document(made)
    shell.screen.line(made.api_key)
    if not shell.screen.is_json:
        shell.screen.note(f"{made.key_id}: {made.warning}")
    return ExitCode.DONE


async def keys(shell: Shell, options: o.KeyListOptions) -> int:
    page = await shell.client.keys(**ALL)
    return show_all(shell, page, rows.key_table(page))


async def revoke_key(shell: Shell, options: o.KeyRevokeOptions) -> int:
    revoked = await shell.client.revoke_key(options.key_id)
    shell.screen.document(revoked)
    shell.screen.line(f"{revoked.key_id} ({revoked.name}) is revoked")
    return ExitCode.DONE


def _told(options: o.TenantCreateOptions | o.TenantSetOptions) -> dict[str, object]:
    """What was told of a tenant, by the names of the wire; `none` takes it away."""
    texts = ("prefix", "default_profile")
    given = {name: getattr(options, name) for name in (*_NUMBERS, *texts) if getattr(options, name) is not None}
    told: dict[str, object] = {name: None if value == NO_LIMIT else value for name, value in given.items()}
    for name in _NUMBERS:
        if name in given:
            told[name] = number_or_none(name.replace("_", "-"), given[name])
    plain = {"weight": options.weight, "untrusted": options.untrusted}
    return {**told, **{name: value for name, value in plain.items() if value is not None}}


async def create_tenant(shell: Shell, options: o.TenantCreateOptions) -> int:
    request = checked(TenantRequest, {"name": options.name, **_told(options)})
    return _show_tenant(shell, await shell.client.create_tenant(request))


async def set_tenant(shell: Shell, options: o.TenantSetOptions) -> int:
    told = _told(options)
    if not told:
        raise ClientError(ClientCode.USAGE, "say what to change: --weight, --max-running, ...; see --help")
    seen = await shell.client.tenant(options.name)
    return _show_tenant(shell, await shell.client.patch_tenant(seen, checked(TenantPatch, told)))


def _show_tenant(shell: Shell, tenant: TenantView) -> int:
    shell.screen.document(tenant)
    shell.screen.table(rows.tenant_table((tenant,)))
    return ExitCode.DONE


async def tenants(shell: Shell, options: o.TenantListOptions) -> int:
    page = await shell.client.tenants(**ALL)
    return show_all(shell, page, rows.tenant_table(page.tenants))
