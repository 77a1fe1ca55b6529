"""Which farm a tenant lives in."""

from __future__ import annotations

import jwt
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.sharding import SECRET, ShardRouter, Shards, key_prefix

TENANTS = [f"tenant-{number}" for number in range(3000)]
NAMES = st.lists(st.from_regex("[a-z][a-z0-9]{0,15}", fullmatch=True), min_size=1, max_size=8, unique=True)
SECRETS = st.text("abcXYZ019-_", min_size=SECRET, max_size=SECRET)


HERE = Shards("a", {name: f"http://{name}" for name in "abc"}, ShardRouter(("a", "b", "c")), "org")


def test_tenants_live_where_they_lived_in_every_release() -> None:
    router = ShardRouter(("a", "b", "c"))

    assert [router.owner(name) for name in ("default", "acme", "globex", "initech", "umbrella")] == ["a", "b", "b", "c", "b"]


def test_farms_have_about_as_many_tenants_each() -> None:
    owners = [ShardRouter(("a", "b", "c")).owner(tenant) for tenant in TENANTS]

    assert all(900 < owners.count(name) < 1100 for name in "abc")


def test_one_farm_more_takes_its_share_and_moves_nobody_else() -> None:
    before, after = ShardRouter(("a", "b", "c")), ShardRouter(("a", "b", "c", "d"))
    moved = [tenant for tenant in TENANTS if before.owner(tenant) != after.owner(tenant)]

    assert {after.owner(tenant) for tenant in moved} == {"d"}
    assert 650 < len(moved) < 850


@given(NAMES, st.text(max_size=40))
def test_the_order_of_names_changes_nothing(names: list[str], tenant: str) -> None:
    assert ShardRouter(tuple(names)).owner(tenant) == ShardRouter(tuple(reversed(names))).owner(tenant)


def test_a_pinned_tenant_lives_where_it_is_pinned() -> None:
    free = ShardRouter(("a", "b")).owner("acme")
    other = "b" if free == "a" else "a"

    assert ShardRouter(("a", "b"), {"acme": other}).owner("acme") == other


@given(NAMES, SECRETS)
def test_a_key_tells_the_farm_that_made_it_whatever_its_secret(names: list[str], secret: str) -> None:
    router = ShardRouter(tuple(names))

    assert [router.shard_of_key(key_prefix(name) + secret) for name in names] == names
    assert router.shard_of_key(key_prefix("zz9unknown") + secret) is None


@given(NAMES, SECRETS)
def test_a_key_without_a_name_tells_none(names: list[str], secret: str) -> None:
    assert ShardRouter(tuple(names)).shard_of_key(key_prefix(None) + secret) is None


@given(NAMES, st.text(max_size=80))
def test_other_texts_are_no_keys(names: list[str], text: str) -> None:
    assert ShardRouter(tuple(names)).shard_of_key(f"x{text}") is None


def test_a_token_goes_to_the_farm_of_the_tenant_it_names() -> None:
    tokens = [jwt.encode({"org": tenant}, "s" * 64, "HS256") for tenant in ("default", "acme", "initech")]

    assert [HERE.by_secret(token) for token in tokens] == [None, "http://b", "http://c"]


@given(st.text("abc=-_.", max_size=40))
def test_what_is_no_token_is_for_the_farm_that_was_asked(text: str) -> None:
    assert HERE.by_secret(f"{text}.{text}.") is None
