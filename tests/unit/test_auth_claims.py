"""The claims of a token: who it makes the caller, and everything that makes it worth nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.callers import Caller
from dispatch.core.claims import LEEWAY_S, Refused, TokenRules, caller_of, looks_like_token
from protocol.admin import Scope
from tests.unit.dispatch_jobs import NOW

RULES = TokenRules(
    issuer="https://login.example",
    audience="reelyard",
    tenant_claim="org",
    scopes_claim="scope",
    allows_admin=False,
    jobs_per_hour=100,
)
GOOD: dict[str, Any] = {  # any JSON
    "iss": "https://login.example",
    "aud": "reelyard",
    "exp": NOW + 300,
    "sub": "ci",
    "org": "acme",
    "scope": "jobs:read jobs:write",
}


def judged(rules: TokenRules = RULES, **changes: Any) -> Caller | None:
    """The caller, None when refused; a change to None takes the claim away."""
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    try:
        return caller_of(claims, rules, {"acme", "default"}, "192.0.2.7", now=NOW)
    except Refused:
        return None


def test_the_claims_say_who_calls() -> None:
    expected = Caller("jwt:ci", "acme", frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE}), "192.0.2.7", jobs_per_hour=100)

    assert judged() == expected
    assert judged(scope=["jobs:read", "jobs:write"], aud=["other", "reelyard"], nbf=NOW, iat=NOW - 5) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": "https://login.example.evil"},
        {"iss": ["https://login.example"]},
        {"aud": None},
        {"aud": "other"},
        {"aud": "reelyard other"},
        {"aud": []},
        {"aud": {"reelyard": 1}},
        {"exp": None},
        {"exp": NOW - LEEWAY_S},
        {"exp": str(NOW + 300)},
        {"exp": True},
        {"exp": math.nan},
        {"exp": math.inf},
        {"exp": [NOW + 300]},
        {"nbf": NOW + LEEWAY_S + 1},
        {"nbf": "now"},
        {"iat": NOW + LEEWAY_S + 1},
        {"iat": math.nan},
        {"org": None},
        {"org": "nobody"},
        {"org": ["acme"]},
        {"sub": None},
        {"sub": ""},
        {"sub": "two words"},
        {"sub": "line\nbreak"},
        {"sub": 5},
        {"sub": "x" * 201},
    ],
    ids=str,
)
def test_a_wrong_claim_opens_nothing(changes: dict[str, Any]) -> None:
    assert judged(**changes) is None


@pytest.mark.parametrize("changes", [{"exp": NOW - LEEWAY_S + 1}, {"nbf": NOW + LEEWAY_S}, {"iat": NOW + LEEWAY_S}], ids=str)
def test_the_issuers_clock_may_be_a_little_off(changes: dict[str, Any]) -> None:
    assert judged(**changes) is not None


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("admin engine registration open jobs:read", {Scope.JOBS_READ}),
        ("JOBS:READ jobs jobs:* nonsense", set()),
        (None, set()),
        ({"jobs:read": True}, set()),
        (["jobs:read jobs:write", 5, "files:read"], {Scope.FILES_READ}),
    ],
)
def test_only_scopes_a_client_may_have_are_taken(scope: Any, scopes: set[Scope]) -> None:
    caller = judged(scope=scope)

    assert caller is not None
    assert caller.scopes == scopes


def test_a_token_makes_an_admin_only_where_the_operator_allows_it() -> None:
    allowed, refused = judged(replace(RULES, allows_admin=True), scope="admin"), judged(scope="admin")

    assert allowed is not None
    assert refused is not None
    assert (allowed.is_admin, refused.is_admin) == (True, False)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from(["iss", "aud", "org"]), JSON)
def test_no_other_value_of_what_binds_a_token_to_us_is_taken(name: str, value: Any) -> None:
    caller = judged(**{name: value}) if value is not None else None

    assert caller is None or value in (GOOD[name], "default") or GOOD[name] in value


@given(st.dictionaries(st.sampled_from([*GOOD, "nbf", "iat"]), JSON))
def test_whatever_the_claims_are_they_are_judged_without_a_crash(changes: dict[str, Any]) -> None:
    caller = judged(**changes)

    assert caller is None or not {Scope.ADMIN, Scope.ENGINE, Scope.REGISTRATION, Scope.OPEN} & caller.scopes


@pytest.mark.parametrize(
    ("secret", "is_token"), [("a.b.c", True), ("rk_a.b.c", False), ("rk_abc", False), ("a.b", False), ("a.b.c.d", False)]
)
def test_a_token_is_told_from_a_key_by_its_form(secret: str, is_token: bool) -> None:
    assert looks_like_token(secret) is is_token
