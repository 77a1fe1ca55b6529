"""Who may call, put together: keys, tokens of another issuer, registration, idempotency, the audit log."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from config.dispatch import DispatchSettings, Jwt
from dispatch.app.outside import Outside
from dispatch.app.secrets import Unusable
from dispatch.core.claims import TokenRules
from dispatch.core.sharding import key_prefix
from dispatch.ports import CommitListener
from dispatch.services.audit import AuditService
from dispatch.services.duties import Duty
from dispatch.services.idempotency import Idempotency, KeyRules
from dispatch.services.jwks import JwksUrl
from dispatch.services.key_sets import BadKey, VerificationKey, of_file, of_secret
from dispatch.services.keys import KeyService
from dispatch.services.registration import Policy, RegistrationService, TokenFile
from dispatch.services.sealing import Sealer
from dispatch.services.tokens import KeyRing, TokenService

KEY_SET_EVERY_S = 300.0


@dataclass(frozen=True, slots=True)
class AccessParts:
    sealer: Sealer
    once: Idempotency
    keys: KeyService
    registration: RegistrationService
    audit: AuditService
    listeners: tuple[CommitListener, ...]


def assemble_access(outside: Outside, settings: DispatchSettings) -> AccessParts:
    store, clock, ids, secrets = outside.store, outside.clock, outside.ids, outside.secrets
    sealer = Sealer(secrets.signing, ids.secret)
    is_shared = settings.database.url is not None
    rules = KeyRules(outside.server.boot_id, settings.api.require_idempotency_key, is_shared)
    once = Idempotency(store, sealer, clock, rules)
    prefix = key_prefix(settings.shards.own)
    keys = KeyService(store, once, ids, clock, jobs_per_hour=settings.api.jobs_per_hour, prefix=prefix)
    policy = Policy(settings.registration.policy)
    file = TokenFile(secrets.registration, lambda: f"rt_{ids.secret()}", secrets.write_registration, sealer)
    registration = RegistrationService(policy, file, keys, once, store, clock)
    return AccessParts(sealer, once, keys, registration, AuditService(store), (keys, registration))


def assemble_tokens(
    outside: Outside, settings: DispatchSettings, tenants: Container[str]
) -> tuple[TokenService, tuple[Duty, ...]]:
    """The service, and the duty that keeps a fetched key set fresh. Raises Unusable for a file that holds no key."""
    fetch = None if settings.jwt.jwks_url is None else JwksUrl(settings.jwt.jwks_url).fetch
    ring = KeyRing(_keys(settings.jwt), fetch, outside.clock)
    tokens = TokenService(ring, _rules(settings), tenants, outside.clock)
    return tokens, () if fetch is None else (Duty("key set", tokens.refresh, KEY_SET_EVERY_S),)


def _rules(settings: DispatchSettings) -> TokenRules | None:
    wanted = settings.jwt
    if wanted.issuer is None or wanted.audience is None:
        return None
    return TokenRules(
        issuer=wanted.issuer,
        audience=wanted.audience,
        tenant_claim=wanted.tenant_claim,
        scopes_claim=wanted.scopes_claim,
        allows_admin=wanted.allow_admin,
        jobs_per_hour=settings.api.jobs_per_hour,
    )


def _keys(wanted: Jwt) -> tuple[VerificationKey, ...]:
    if wanted.key_file is not None:
        return _read("jwt.key_file", wanted.key_file, of_file)
    if wanted.secret_file is not None:
        return _read("jwt.secret_file", wanted.secret_file, lambda content: (of_secret(content.strip()),))
    return ()


def _read(setting: str, path: Path, parse: Callable[[bytes], tuple[VerificationKey, ...]]) -> tuple[VerificationKey, ...]:
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise Unusable(f"{setting}: {path} cannot be read: {error.strerror}") from None
    except BadKey as error:
        raise Unusable(f"{setting}: {path}: {error}") from None
