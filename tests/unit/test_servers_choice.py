"""Whom an engine asks: the leader once it is known, those configured when that one is gone, nobody twice in one call."""

from __future__ import annotations

import pytest

from engine.core.servers import Servers

A, B, C, LEADER = "http://a:8080", "http://b:8080", "http://c:8080", "http://leader:9000"


def test_a_call_goes_on_where_it_is_pointed_and_the_next_begins_there() -> None:
    servers = Servers([f"{A}/", B])
    there = servers.pointed(servers.begin(), f"{LEADER}/")

    assert there is not None
    assert (there.server, servers.begin().server) == (LEADER, LEADER)


def test_where_nobody_leads_the_call_is_over() -> None:
    servers = Servers([A, B])

    assert servers.pointed(servers.begin(), None) is None
    assert servers.begin().server == A


def test_a_leader_that_leads_no_more_sends_back_to_those_configured() -> None:
    servers = Servers([A, B])
    servers.pointed(servers.begin(), LEADER)
    back = servers.pointed(servers.begin(), None)

    assert back is not None
    assert (back.server, servers.begin().server) == (A, A)


def test_a_leader_that_is_gone_is_forgotten_and_those_configured_are_asked_in_turn() -> None:
    servers = Servers([A, B])
    servers.pointed(servers.begin(), LEADER)
    route = servers.failed(servers.begin(), is_unsent=True)
    assert route is not None
    asked = [route.server]
    while (route := servers.failed(route, is_unsent=True)) is not None:
        asked.append(route.server)

    assert asked == [A, B]


def test_servers_that_point_at_one_another_end_a_call() -> None:
    servers = Servers([A])
    there = servers.pointed(servers.begin(), B)
    assert there is not None

    assert servers.pointed(there, A) is None


def test_a_dead_leader_whom_everybody_still_names_ends_a_call() -> None:
    servers = Servers([A])
    there = servers.pointed(servers.begin(), LEADER)
    assert there is not None

    assert servers.failed(there, is_unsent=True) is None
    assert servers.begin().server == A


def test_what_was_sent_is_not_sent_elsewhere_by_the_same_call() -> None:
    servers = Servers([A, B])

    assert servers.failed(servers.begin(), is_unsent=False) is None
    assert servers.begin().server == B


def test_the_server_that_answered_is_asked_first() -> None:
    servers = Servers([A, B, C])
    route = servers.failed(servers.begin(), is_unsent=True)
    assert route is not None
    servers.answered(route)

    assert servers.begin().server == B


@pytest.mark.parametrize(
    ("configured", "leader"),
    [
        ("https://front", "http://plain:8080"),
        (A, "ftp://a"),
        (A, "http://user:word@a:1"),
        (A, "http://[::1"),
        (A, "//a"),
        (A, "http://a/?to=b"),
    ],
)
def test_a_credential_goes_to_no_address_that_is_worse_than_the_configured_one(configured: str, leader: str) -> None:
    servers = Servers([configured])

    assert servers.pointed(servers.begin(), leader) is None


def test_files_go_on_at_the_next_server_and_at_the_leader_where_it_is_another() -> None:
    servers = Servers([A, B])
    servers.pointed(servers.begin(), LEADER)
    went = []
    for _ in range(4):
        went.append(servers.for_files)
        servers.missed(servers.for_files)

    assert went == [A, B, LEADER, A]


def test_two_transfers_that_fail_at_one_server_leave_it_once() -> None:
    servers = Servers([A, B, C])
    servers.missed(A)
    servers.missed(A)

    assert servers.for_files == B


def test_files_come_back_from_a_leader_that_is_forgotten() -> None:
    servers = Servers([A])
    servers.pointed(servers.begin(), LEADER)
    servers.missed(A)
    servers.failed(servers.begin(), is_unsent=False)
    servers.missed(LEADER)

    assert servers.for_files == A


def test_a_leader_that_is_told_of_by_another_way_is_asked_where_nobody_configured_is_there() -> None:
    servers = Servers([A])
    servers.failed(servers.begin(), is_unsent=True)
    servers.told_leader(LEADER)
    servers.missed(A)

    assert (servers.begin().server, servers.for_files) == (LEADER, LEADER)


def test_no_address_that_may_not_be_trusted_takes_the_place_of_a_leader() -> None:
    servers = Servers([A])
    servers.told_leader(LEADER)
    servers.told_leader("http://u:p@elsewhere.example")

    assert servers.begin().server == LEADER
