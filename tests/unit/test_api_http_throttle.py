"""How often one may call, on a clock that is moved by hand; and whose address a call comes from."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from aiohttp.test_utils import make_mocked_request

from dispatch.api.peers import Peers, household
from dispatch.api.throttle import NO_LIMIT, Failures, Throttle, Windows
from dispatch.core.callers import Caller
from protocol.errors import ErrorCode


@dataclass
class Watch:
    elapsed: float = 1000.0

    def __call__(self) -> float:
        return self.elapsed


def caller(key: str = "key_1", *, tenant: str = "default", jobs: int | None = 2) -> Caller:
    return Caller(key, tenant, frozenset(), jobs_per_hour=jobs)


def throttle(watch: Watch, calls: int = 3, tenant_calls: int = 5) -> Throttle:
    return Throttle(calls_per_s=calls, tenant_calls_per_s=tenant_calls, monotonic=watch)


def charged(limits: Throttle, who: Caller, operation: str) -> tuple[str, str, str, float | None]:
    headers, refusal = limits.charge(who, operation)
    numbers = (headers["RateLimit-Limit"], headers["RateLimit-Remaining"], headers["RateLimit-Reset"])
    return (*numbers, None if refusal is None else refusal.retry_after)


def test_calls_that_make_jobs_are_counted_by_the_hour() -> None:
    watch = Watch()
    limits = throttle(watch)
    told = [charged(limits, caller(), "submit_job") for _ in range(2)]
    watch.elapsed += 3000
    refused = charged(limits, caller(), "submit_batch")
    watch.elapsed += 600
    again = charged(limits, caller(), "upload_job")

    assert told == [("2", "1", "3600", None), ("2", "0", "3600", None)]
    assert (refused, again) == (("2", "0", "600", 600), ("2", "1", "3600", None))


def test_other_calls_are_counted_by_the_second_and_apart_from_those() -> None:
    watch = Watch()
    limits = throttle(watch)
    told = [charged(limits, caller(), "get_job")[3] for _ in range(4)]
    job = charged(limits, caller(), "submit_job")
    watch.elapsed += 1.0

    assert (told, job[3], charged(limits, caller(), "get_job")) == ([None, None, None, 1], None, ("3", "2", "1", None))


def test_keys_of_one_tenant_share_what_the_tenant_may() -> None:
    limits = throttle(Watch())
    told = [charged(limits, caller(f"key_{number}"), "get_job") for number in range(6)]

    assert [row[3] for row in told] == [None] * 5 + [1]
    assert (told[5][0], charged(limits, caller("key_9", tenant="acme"), "get_job")[3]) == ("5", None)


def test_unlimited_caller_is_told_so_and_never_counted() -> None:
    limits = throttle(Watch(), calls=1, tenant_calls=1)

    assert [limits.charge(caller(jobs=None), "get_job") for _ in range(5)] == [(NO_LIMIT, None)] * 5


def test_the_window_that_ends_next_makes_room_and_never_a_longer_one() -> None:
    windows = Windows(Watch(), most=2)
    for key, span in (("hour", 3600), ("a", 1), ("b", 2), ("c", 1)):
        windows.incr(key, span)

    assert [windows.get(key) for key in ("hour", "a", "b", "c")] == [1, 0, 0, 1]


def test_a_window_that_has_ended_is_no_room_and_begins_anew_with_its_next_call() -> None:
    watch = Watch()
    windows = Windows(watch, most=2)
    for key, span in (("hour", 3600), ("a", 1)):
        windows.incr(key, span)
    windows.clear("a")
    watch.elapsed += 0.5
    windows.incr("a", 1)
    watch.elapsed += 0.5  # the first one's end
    still = windows.incr("a", 1)
    watch.elapsed += 0.5
    again = [windows.incr(key, 1) for key in ("b", "a")]

    assert (still, again, windows.get("hour")) == (2, [1, 1], 1)


def test_wrong_keys_cost_longer_and_longer_waits() -> None:
    watch = Watch()
    failures = Failures(free=2, monotonic=watch)
    waits = []
    for _ in range(4):
        first, second = failures.note("a"), failures.note("a")
        waits.append((first is None, None if second is None else (second.code, second.retry_after)))
        watch.elapsed += 400

    limited = ErrorCode.RATE_LIMITED
    assert waits == [(True, None), (True, (limited, 2)), (True, (limited, 4)), (True, (limited, 8))]


def test_wait_is_bounded_and_forgotten_after_quiet() -> None:
    watch = Watch()
    failures = Failures(free=1, monotonic=watch)
    for _ in range(30):
        failures.note("a")
        watch.elapsed += Failures.LONGEST_WAIT_S
    failures.note("a")
    longest = failures.note("a")
    watch.elapsed += Failures.FORGOTTEN_AFTER_S + Failures.LONGEST_WAIT_S
    failures.note("a")
    fresh = failures.note("a")

    assert [fault.retry_after for fault in (longest, fresh) if fault is not None] == [300, 1]


def test_places_are_kept_in_bounded_room() -> None:
    failures = Failures(free=1, monotonic=Watch())
    failures.note("first")
    for number in range(Failures.MOST_PLACES):
        failures.note(str(number))

    assert failures.note("first") is None


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_place_is_an_address_or_a_network_of_one_household(address: str, place: str) -> None:
    assert household(address) == place


@pytest.mark.parametrize(
    ("trusted", "told", "address"),
    [
        ([], "203.0.113.9", "10.0.0.1"),
        (["192.0.2.0/24"], "203.0.113.9", "10.0.0.1"),
        (["10.0.0.0/8"], "203.0.113.9", "203.0.113.9"),
        (["10.0.0.0/8"], "198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (["10.0.0.0/8"], "203.0.113.9, nonsense", "10.0.0.1"),
        (["10.0.0.0/8"], "198.51.100.1, 203.0.113.9:4711, 10.0.0.2:80", "203.0.113.9"),
        (["10.0.0.0/8"], "[2001:db8::7]:4711", "2001:db8::7"),
        (["10.0.0.0/8"], "[2001:db8::7]", "2001:db8::7"),
        (["10.0.0.0/8"], "2001:db8::7", "2001:db8::7"),
        (["10.0.0.0/8"], "203.0.113.9:port", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.3", "10.0.0.3"),
        (["10.0.0.0/8"], "", "10.0.0.1"),
    ],
)
def test_forwarded_address_is_believed_from_trusted_hops_alone(trusted: list[str], told: str, address: str) -> None:
    class Transport:
        def get_extra_info(self, name: str, default: object = None) -> object:
            return ("10.0.0.1", 4711) if name == "peername" else default

        def is_closing(self) -> bool:
            return False

    request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": told}, transport=Transport())

    assert Peers(trusted).address(request) == address
