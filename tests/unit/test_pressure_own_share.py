"""What a tree of processes used between two readings."""

from __future__ import annotations

from plugins.monitors.processes import Process, spent


def process(pid: int, cpu_s: float, *, parent: int = 1, began: float = 0.0, io_wait_s: float = 0.0) -> Process:
    return Process(pid, parent, cpu_s, io_wait_s, began)


def by_pid(*processes: Process) -> dict[int, Process]:
    return {one.pid: one for one in processes}


def test_what_a_process_used_meanwhile_counts() -> None:
    before, now = by_pid(process(7, 10.0, io_wait_s=1.0)), by_pid(process(7, 14.0, io_wait_s=1.5))

    assert spent(before, now, since=100.0) == (4.0, 0.5)


def test_a_process_started_meanwhile_counts_whole() -> None:
    assert spent({}, by_pid(process(7, 3.0, began=101.0)), since=100.0) == (3.0, 0.0)


def test_a_process_taken_over_from_an_earlier_engine_counts_from_now_on() -> None:
    assert spent({}, by_pid(process(7, 3600.0, began=5.0)), since=100.0) == (0.0, 0.0)


def test_what_an_ended_process_used_is_counted_once_in_its_parents_account() -> None:
    before = by_pid(process(7, 1.0), process(8, 50.0, parent=7))
    now = by_pid(process(7, 1.0 + 52.0))

    assert spent(before, now, since=100.0) == (2.0, 0.0)


def test_a_process_that_ended_without_a_parent_of_ours_takes_nothing_away() -> None:
    before, now = by_pid(process(7, 1.0), process(9, 50.0)), by_pid(process(7, 3.0))

    assert spent(before, now, since=100.0) == (2.0, 0.0)


def test_another_process_of_the_same_number_is_not_the_same() -> None:
    before, now = by_pid(process(7, 50.0, began=1.0)), by_pid(process(7, 2.0, began=101.0))

    assert spent(before, now, since=100.0) == (2.0, 0.0)
