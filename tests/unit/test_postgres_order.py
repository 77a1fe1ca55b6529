"""The order in which a server tells commits, its own and those between them."""

from __future__ import annotations

from dispatch.store.postgres.order import Order


def test_a_commit_waits_until_it_is_known_what_lies_before_it() -> None:
    order: Order[str] = Order(95)

    assert order.land(97, "97")
    assert order.ready() == []
    order.skip([97], 97)
    assert order.ready() == ["97"]
    assert order.last == 97


def test_a_number_that_nobody_has_committed_yet_is_passed_with_a_commit_behind_it_alone() -> None:
    """After a crash PostgreSQL gives such a number out once more, perhaps to another server."""
    order: Order[str] = Order(96)

    order.skip([], 96)
    assert order.last == 96  # 97 was taken here and undone
    assert order.land(98, "ours")
    assert order.ready() == []
    assert order.jump(98) == ["ours"]  # told with 97, which another server has committed since
    assert order.last == 98


def test_what_landed_behind_the_last_row_seen_calls_for_another_look() -> None:
    order: Order[str] = Order(95)
    order.land(97, "97")

    assert (order.has_beyond(96), order.has_beyond(97)) == (True, False)
