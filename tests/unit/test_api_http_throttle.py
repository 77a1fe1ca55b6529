"""How often one may call, on a clock that is moved by hand; and whose address a call comes from."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from aiohttp.test_utils import make_mocked_request

from dispatch.api.peers import Peers, household
from dispatch.api.throttle import NO_LIMIT, Failures, Throttle
from dispatch.core.callers import Caller
from dispatch.ports.limits import Limit
from dispatch.services.limits import MemoryWindows
from protocol.errors import ErrorCode


@dataclass
class Watch:
    """A clock; and, called, its monotonic time."""

    elapsed: float = 1000.0

    def __call__(self) -> float:
        return self.elapsed

    def now(self) -> float:
        return self.elapsed

    def monotonic(self) -> float:
        return self.elapsed


def caller(key: str = "key_1", *, tenant: str = "default", jobs: int | None = 2) -> Caller:
    return Caller(key, tenant, frozenset(), jobs_per_hour=jobs)


def throttle(watch: Watch, calls: int = 3, tenant_calls: int = 5) -> Throttle:
    return Throttle(MemoryWindows(watch), calls_per_s=calls, tenant_calls_per_s=tenant_calls)


async def charged(limits: Throttle, who: Caller, operation: str) -> tuple[str, str, str, float | None]:
    headers, refusal = await limits.charge(who, operation)
    numbers = (headers["RateLimit-Limit"], headers["RateLimit-Remaining"], headers["RateLimit-Reset"])
    return (*numbers, None if refusal is None else refusal.retry_after)


async def test_calls_that_make_jobs_are_counted_by_the_hour() -> None:
    watch = Watch()
    limits = throttle(watch)
    told = [await charged(limits, caller(), "submit_job") for _ in range(2)]
    watch.elapsed += 3000
    refused = await charged(limits, caller(), "submit_batch")
    watch.elapsed += 600
    again = await charged(limits, caller(), "upload_job")

    assert told == [("2", "1", "3600", None), ("2", "0", "3600", None)]
    assert (refused, again) == (("2", "0", "600", 600), ("2", "1", "3600", None))


async def test_other_calls_are_counted_by_the_second_and_apart_from_those() -> None:
    watch = Watch()
    limits = throttle(watch)
    told = [(await charged(limits, caller(), "get_job"))[3] for _ in range(4)]
    job = await charged(limits, caller(), "submit_job")
    watch.elapsed += 1.0

    assert (told, job[3]) == ([None, None, None, 1], None)
    assert await charged(limits, caller(), "get_job") == ("3", "2", "1", None)


async def test_keys_of_one_tenant_share_what_the_tenant_may() -> None:
    limits = throttle(Watch())
    told = [await charged(limits, caller(f"key_{number}"), "get_job") for number in range(6)]
    other = await charged(limits, caller("key_9", tenant="acme"), "get_job")

    assert [row[3] for row in told] == [None] * 5 + [1]
    assert (told[5][0], other[3]) == ("5", None)


async def test_what_a_key_may_not_do_is_not_counted_against_its_tenant() -> None:
    limits = throttle(Watch(), calls=1)
    for _ in range(20):
        await charged(limits, caller(), "get_job")
    others = [(await charged(limits, caller(f"other_{number}"), "get_job"))[3] for number in range(5)]

    assert others == [None] * 4 + [1]


async def test_unlimited_caller_is_told_so_and_never_counted() -> None:
    limits = throttle(Watch(), calls=1, tenant_calls=1)

    assert [await limits.charge(caller(jobs=None), "get_job") for _ in range(5)] == [(NO_LIMIT, None)] * 5


async def counted(windows: MemoryWindows, name: str, span_s: int) -> int:
    return (await windows.count([Limit(name, 100, span_s)]))[0].calls


async def test_the_window_that_ends_next_makes_room_and_never_a_longer_one() -> None:
    windows = MemoryWindows(Watch(), most=2)
    for name, span_s in (("hour", 3600), ("a", 1), ("b", 2), ("c", 1)):
        await counted(windows, name, span_s)

    assert [await counted(windows, *window) for window in (("hour", 3600), ("c", 1))] == [2, 2]


async def test_a_window_begins_with_its_first_call_and_anew_with_the_first_after_its_end() -> None:
    watch = Watch()
    windows = MemoryWindows(watch)
    counts = []
    for _ in range(4):
        counts.append(await counted(windows, "a", 1))
        watch.elapsed += 0.5

    assert counts == [1, 2, 1, 2]


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
