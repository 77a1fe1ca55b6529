"""Views by id and version, in so many bytes."""

from __future__ import annotations

from dispatch.services.view_cache import ViewCache
from protocol.admin import Pong

SIZE = len(Pong(status="a").model_dump_json())


def view(letter: str) -> Pong:
    return Pong(status=letter)


def test_a_view_is_found_by_its_version_alone() -> None:
    cache = ViewCache[Pong](1000)
    cache.put("job_1", 3, view("a"))

    assert [cache.get("job_1", version) for version in (2, 3, 4)] == [None, view("a"), None]


def test_a_late_reader_does_not_put_an_old_view_in_the_place_of_a_new_one() -> None:
    cache = ViewCache[Pong](1000)
    cache.put("job_1", 3, view("n"))
    cache.put("job_1", 2, view("o"))

    assert (cache.get("job_1", 3), cache.get("job_1", 2)) == (view("n"), None)


def test_what_was_asked_for_least_lately_makes_room() -> None:
    cache = ViewCache[Pong](2 * SIZE)
    for name in ("a", "b"):
        cache.put(name, 1, view(name))
    cache.get("a", 1)
    cache.put("c", 1, view("c"))

    assert [cache.get(name, 1) for name in "abc"] == [view("a"), None, view("c")]


def test_a_new_version_takes_the_room_of_the_old_one() -> None:
    cache = ViewCache[Pong](2 * SIZE)
    cache.put("a", 1, view("a"))
    for version in range(1, 6):
        cache.put("b", version, view("b"))

    assert (cache.get("a", 1), cache.get("b", 5)) == (view("a"), view("b"))


def test_without_room_nothing_is_kept_and_everything_is_told() -> None:
    cache = ViewCache[Pong](0)

    assert (cache.put("a", 1, view("a")), cache.get("a", 1)) == (view("a"), None)
