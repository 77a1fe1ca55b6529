"""What the claims of a token of another issuer are worth, once its signature is checked (RFC 7519, 4.1)."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass

from dispatch.core.api_keys import PREFIX
from dispatch.core.callers import Caller
from protocol.admin import Scope

LEEWAY_S = 30.0
"""How far the issuer's clock may be from ours."""

NEVER_BY_TOKEN = frozenset({Scope.ENGINE, Scope.REGISTRATION, Scope.OPEN})
_SUBJECT = re.compile(r"[\x21-\x7e]{1,200}")
_KNOWN = {scope.value: scope for scope in Scope if scope not in NEVER_BY_TOKEN}
Claims = Mapping[str, object]


class Refused(Exception):
    """Why a token opens nothing; for our log, never for the caller."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """`allows_admin`: whether the scope `admin` is taken from a token at all. `jobs_per_hour` is every subject's."""

    issuer: str
    audience: str
    tenant_claim: str
    scopes_claim: str
    allows_admin: bool
    jobs_per_hour: int


def looks_like_token(secret: str) -> bool:
    """Three parts joined by dots, as RFC 7515 writes them; no key of ours has a dot."""
    return secret.count(".") == 2 and not secret.startswith(PREFIX)


def caller_of(claims: Claims, rules: TokenRules, tenants: Container[str], address: str, *, now: float) -> Caller:
    """Who calls. Raises Refused."""
    _check_times(claims, now)
    if claims.get("iss") != rules.issuer:
        raise Refused("iss is another")
    if rules.audience not in _words(claims.get("aud"), split=False):
        raise Refused("aud is another")
    tenant, subject = claims.get(rules.tenant_claim), claims.get("sub")
    if not isinstance(tenant, str) or tenant not in tenants:
        raise Refused(f"{rules.tenant_claim} names no tenant")
    if not isinstance(subject, str) or _SUBJECT.fullmatch(subject) is None:
        raise Refused("sub is missing or malformed")
    scopes = {_KNOWN[word] for word in _words(claims.get(rules.scopes_claim), split=True) if word in _KNOWN}
    if not rules.allows_admin:
        scopes.discard(Scope.ADMIN)
    return Caller(f"jwt:{subject}", tenant, frozenset(scopes), address, jobs_per_hour=rules.jobs_per_hour)


def _check_times(claims: Claims, now: float) -> None:
    if _moment(claims, "exp", default=-math.inf) <= now - LEEWAY_S:
        raise Refused("exp is missing or has passed")
    for name in ("nbf", "iat"):
        if _moment(claims, name, default=now) > now + LEEWAY_S:
            raise Refused(f"{name} lies ahead")


def _moment(claims: Claims, name: str, *, default: float) -> float:
    if name not in claims:
        return default
    told = claims[name]
    if not isinstance(told, int | float) or isinstance(told, bool) or (isinstance(told, float) and not math.isfinite(told)):
        raise Refused(f"{name} is no number")
    return told


def _words(told: object, *, split: bool) -> list[str]:
    """One text (of several words, where `split`), or a list of texts."""
    if isinstance(told, str):
        return told.split() if split else [told]
    return [word for word in told if isinstance(word, str)] if isinstance(told, list) else []
