"""The sums of usage follow from the rows of jobs, whatever was committed, undone or run again in one batch."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect, text
from sqlalchemy.exc import OperationalError

from dispatch.core import endings
from dispatch.core.metering import UsageFilter, parse_usage
from dispatch.core.paging import Wanted
from dispatch.core.quotas import Standing
from dispatch.core.records import Graph, Job, Source, Tenant, UsageRow
from dispatch.ports import StaleRow, Store, Transaction
from dispatch.store.migrate import migrate
from dispatch.store.rows import JOB_COLUMNS, job_values
from dispatch.store.running import connect, run_batch
from dispatch.store.transaction import SqlTransaction
from protocol.errors import ErrorCode, ReelyardError
from protocol.errors import FailureClass as F
from protocol.states import JobState
from tests.contract.store_adapters import ADAPTERS, new_database, open_store, saved
from tests.contract.store_adapters import job as stored_job
from tests.unit.dispatch_jobs import NOW, after, complete, fail, failure, granted, start

DAY = 86_400.0
TODAY, TOMORROW = "2027-01-15", "2027-01-16"
Function = Callable[[Transaction], Any]  # as the batch takes them


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


def job(name: str, size: int = 100, **changes: Any) -> Graph:  # any field of the job
    source = Source("storage", f"default/raw/job_{name}_original.mp4", "film.mp4", size)
    return stored_job(name, **{"source": source, "key_id": "key_1", **changes})


def ended(graph: Graph, how: str, *, now: float = NOW, token: int = 1) -> Graph:
    """The job completed, failed or cancelled."""
    task = graph.tasks[0].task_id
    match how:
        case "cancel":
            return endings.cancel(graph, now=now)
        case "complete":
            running = after(granted(graph, token, task=task, now=now), start(token, task), now=now)
            return after(running, complete(token, task), now=now + 5.0)
        case _:
            return after(granted(graph, token, task=task, now=now), fail(token, failure(F.INPUT), task), now=now)


async def usage(store: Store) -> list[UsageRow]:
    return list((await store.read(lambda tx: tx.list_usage(UsageFilter(page=Wanted(limit=200))))).rows)


def expected(jobs: Iterable[Job]) -> dict[tuple[str, str, str], list[float]]:
    """Counted from the rows alone, the slow way."""
    sums: dict[tuple[str, str, str], list[float]] = {}

    def of(job: Job, moment: float) -> list[float]:
        day = datetime.fromtimestamp(moment, UTC).date().isoformat()
        return sums.setdefault((day, job.tenant, job.key_id), [0.0] * 7)

    for row in jobs:
        of(row, row.created_at)[0] += 1
        column = {JobState.COMPLETED: 1, JobState.FAILED: 2, JobState.CANCELLED: 3}.get(row.state)
        if column is None:
            continue
        assert row.ended_at is not None
        account = of(row, row.ended_at)
        account[column] += 1
        account[4] += row.source.size
        if row.state is JobState.COMPLETED:
            account[5] += 0 if row.outputs_json is None else orjson.loads(row.outputs_json)["size_bytes"]
            account[6] += (row.completed_at or 0.0) - (row.started_at or 0.0)
    return sums


def as_sums(rows: Iterable[UsageRow]) -> dict[tuple[str, str, str], list[float]]:
    """Without the days on which everything was taken back."""
    made = {
        (r.day, r.tenant, r.key_id): [
            float(r.jobs_created),
            float(r.jobs_completed),
            float(r.jobs_failed),
            float(r.jobs_cancelled),
            float(r.input_bytes),
            float(r.output_bytes),
            round(r.processing_seconds, 6),
        ]
        for r in rows
    }
    return {account: sums for account, sums in made.items() if any(sums)}


async def test_a_job_counts_when_it_is_made_and_when_it_ends(store: Store) -> None:
    one = job("1")
    await store.transact(lambda tx: tx.insert([one, job("2", key_id="key_2"), job("3", tenant="acme")]))
    await saved(store, one, ended(one, "complete", now=NOW + DAY))

    assert await usage(store) == [
        UsageRow(TOMORROW, "default", "key_1", 0, 1, 0, 0, 100, 0, 5.0),
        UsageRow(TODAY, "default", "key_2", 1),
        UsageRow(TODAY, "default", "key_1", 1),
        UsageRow(TODAY, "acme", "key_1", 1),
    ]


async def test_what_a_job_published_counts(store: Store) -> None:
    one = job("1")
    await store.transact(lambda tx: tx.insert([one]))
    done = ended(one, "complete")
    done = replace(done, job=replace(done.job, outputs_json='{"outputs":{},"compression":{},"size_bytes":12345}'))

    await saved(store, one, done)

    assert [row.output_bytes for row in await usage(store)] == [12345]


async def test_a_failed_job_that_is_tried_again_counts_once(store: Store) -> None:
    one = job("1")
    await store.transact(lambda tx: tx.insert([one]))
    failed = await saved(store, one, ended(one, "fail"))
    retried = await saved(store, failed, endings.retry(failed, priority=5, now=NOW + DAY))
    between = await usage(store)
    await saved(store, retried, ended(retried, "complete", now=NOW + DAY, token=2))

    assert between == [UsageRow(TODAY, "default", "key_1", 1)]
    assert as_sums(await usage(store)) == {
        (TODAY, "default", "key_1"): [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        (TOMORROW, "default", "key_1"): [0.0, 1.0, 0.0, 0.0, 100.0, 0.0, 5.0],
    }


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ({}, ["16", "15", "15", "15"]),
        ({"tenant": "acme"}, ["15"]),
        ({"key_id": "key_2"}, ["15"]),
        ({"from": TOMORROW}, ["16"]),
        ({"to": TODAY}, ["15", "15", "15"]),
        ({"from": TODAY, "to": TODAY, "tenant": "default"}, ["15", "15"]),
        ({"limit": "1"}, ["16"]),
        ({"offset": "3"}, ["15"]),
    ],
)
async def test_usage_is_listed_as_asked(store: Store, query: dict[str, str], days: list[str]) -> None:
    one = job("1")
    await store.transact(lambda tx: tx.insert([one, job("2", key_id="key_2"), job("3", tenant="acme")]))
    await saved(store, one, ended(one, "cancel", now=NOW + DAY))

    found = await store.read(lambda tx: tx.list_usage(parse_usage(query)))

    assert [row.day[-2:] for row in found.rows] == days


@pytest.mark.parametrize("day", ["", "2027-1-5", "2027-13-01", "20270115", "2027-01-15T00:00:00Z", "٢٠٢٧-01-15"])
def test_a_day_that_is_none_is_refused(day: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        parse_usage({"from": day})

    assert refused.value.code is ErrorCode.VALIDATION_FAILED


# --- batches


def fails(tx: Transaction) -> None:
    tx.insert([job("never")])
    raise ReelyardError(ErrorCode.JOB_NOT_FOUND)


def moves_on(times: int, then: Function) -> Function:
    """Meets rows that have moved on so many times before it succeeds; each time it had written already."""
    left = [times]

    def function(tx: Transaction) -> None:
        then(tx)
        if left[0]:
            left[0] -= 1
            raise StaleRow("moved on")

    return function


def inserts(*names: str) -> Function:
    return lambda tx: tx.insert([job(name) for name in names])


def test_only_what_stands_is_counted_when_functions_fail_or_run_again(tmp_path: Path) -> None:
    connection = connect(f"sqlite:///{new_database(tmp_path)}")
    rerun, given_up = moves_on(3, inserts("3")), moves_on(99, inserts("4"))

    run_batch(connection, [inserts("1", "2"), fails, rerun, given_up, inserts("5")])

    rows = SqlTransaction(connection).list_usage(UsageFilter()).rows
    connection.close()
    assert rows == (UsageRow(TODAY, "default", "key_1", 4),)


def test_nothing_is_counted_when_the_batch_dies(tmp_path: Path) -> None:
    connection = connect(f"sqlite:///{new_database(tmp_path)}")

    def dies(_: Transaction) -> None:
        connection.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(OperationalError):
        run_batch(connection, [inserts("1"), dies])
    run_batch(connection, [inserts("1")])

    rows = SqlTransaction(connection).list_usage(UsageFilter()).rows
    connection.close()
    assert rows == (UsageRow(TODAY, "default", "key_1", 1),)


def test_a_quota_sees_what_the_batch_has_not_written_yet(tmp_path: Path) -> None:
    connection = connect(f"sqlite:///{new_database(tmp_path)}")
    tenant, one, seen = Tenant("default", 1.0, NOW, max_queued=9, max_bytes_per_month=1000), job("1"), list[Standing]()
    run_batch(connection, [lambda tx: tx.insert([one, job("2", size=30)])])

    def look(tx: Transaction) -> None:
        seen.append(tx.standing(tenant, NOW))

    def end(tx: Transaction) -> None:
        before = tx.graphs(["job_1"])["job_1"]
        tx.save([before], [ended(before, "cancel")])
        look(tx)

    run_batch(connection, [look, end, look])
    run_batch(connection, [look])
    connection.close()

    assert seen == [Standing(2, 130), Standing(1, 130), Standing(1, 130), Standing(1, 130)]


@pytest.mark.parametrize(("at", "size"), [(NOW, 130), (NOW + 31 * DAY, 30)])
async def test_bytes_count_in_the_month_in_which_a_job_ended(store: Store, at: float, size: int) -> None:
    tenant, one = Tenant("default", 1.0, NOW, max_bytes_per_month=1000), job("1")
    await store.transact(lambda tx: tx.insert([one, job("2", size=30), job("3", size=7, tenant="acme")]))
    await saved(store, one, ended(one, "cancel"))

    assert await store.read(lambda tx: tx.standing(tenant, at)) == Standing(0, size)


async def test_jobs_are_counted_no_further_than_the_quota(store: Store) -> None:
    await store.transact(lambda tx: tx.insert([job(str(n)) for n in range(10)]))

    assert await store.read(lambda tx: tx.standing(Tenant("default", 1.0, NOW, max_queued=4), NOW)) == Standing(4, 0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["insert", "complete", "fail", "cancel", "retry", "expire", "undone"]),
        st.integers(0, 30),
        st.floats(0.0, 2 * DAY),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_the_sums_are_those_of_the_rows_after_any_walk(steps: list[tuple[str, int, float]]) -> None:
    asyncio.run(_walk(steps))


async def _walk(steps: list[tuple[str, int, float]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with open_store("inline", Path(directory)) as store:
            names: list[str] = []
            for token, (what, pick, age) in enumerate(steps, start=1):
                await _step(store, names, what, pick, NOW + age, token)
            graphs = await store.read(lambda tx: tx.graphs(names))
            told = as_sums(await usage(store))
            assert told == {
                account: [round(amount, 6) for amount in sums]
                for account, sums in expected(graph.job for graph in graphs.values()).items()
            }


async def _step(store: Store, names: list[str], what: str, pick: int, now: float, token: int) -> None:
    if what == "undone":
        with pytest.raises(ReelyardError):
            await store.transact(fails)
        return
    if what == "insert" or not names:
        made = job(
            str(token), size=pick, created_at=now, ttl_from=now, tenant=("default", "acme")[pick % 2], key_id=f"key_{pick % 3}"
        )
        await store.transact(lambda tx: tx.insert([made]))
        names.append(made.job.job_id)
        return
    name = names[pick % len(names)]
    before = (await store.read(lambda tx: tx.graphs([name])))[name]
    changed = _changed(before, what, now, token)
    if changed is not None:
        await store.transact(lambda tx: tx.save([before], [changed]))


def _changed(graph: Graph, what: str, now: float, token: int) -> Graph | None:
    is_failed = graph.job.state is JobState.FAILED
    match what:
        case "retry" if is_failed:
            return endings.retry(graph, priority=5, now=now)
        case "expire" if endings.is_overdue(graph, now=now + DAY):
            return endings.expire_job(graph, now=now)
        case "complete" | "fail" | "cancel" if graph.job.state in (JobState.PENDING, JobState.RETRYING):
            return ended(graph, what, now=now, token=token)
        case _:
            return None


# --- jobs from before usage was kept


def test_jobs_from_before_are_counted_by_the_migration(tmp_path: Path) -> None:
    connection = connect(f"sqlite:///{tmp_path / 'dispatch.db'}")
    migrate(connection, "0001")
    columns = tuple(column["name"] for column in inspect(connection).get_columns("jobs"))
    made: dict[str, Any] = {"created_at": NOW, "updated_at": NOW + DAY, "completed_at": NOW + DAY, "started_at": NOW + DAY - 5}
    for name, changes in {"1": {"state": "completed"}, "2": {"state": "failed", "tenant": "acme"}, "3": {}}.items():
        values: dict[str, Any] = dict(zip(JOB_COLUMNS, job_values(job(name).job), strict=True)) | made | changes
        marks = ", ".join("?" for _ in columns)
        connection.exec_driver_sql(f"INSERT INTO jobs VALUES ({marks})", tuple(values[column] for column in columns))

    migrate(connection)

    found = SqlTransaction(connection).list_usage(UsageFilter()).rows
    connection.close()
    assert found == (
        UsageRow(TOMORROW, "default", "", 0, 1, 0, 0, 100, 0, 5.0),
        UsageRow(TOMORROW, "acme", "", 0, 0, 1, 0, 100, 0, 0.0),
        UsageRow(TODAY, "default", "", 2),
        UsageRow(TODAY, "acme", "", 1),
    )
