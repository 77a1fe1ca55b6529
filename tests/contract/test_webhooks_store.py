"""Deliveries in the transactions of a batch: who is told is read once for all of them, and never wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from dispatch.core.records import Delivery, WebhookEndpoint
from dispatch.ports import StaleRow, Transaction
from dispatch.store.running import Function, connect, run_batch
from tests.contract.store_adapters import job, new_database
from tests.unit.dispatch_jobs import NOW

ENDPOINT = WebhookEndpoint("whe_1", "default", "https://hooks.example/", ("job.created",), ("0:x",), "", NOW)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    opened = connect(f"sqlite:///{new_database(tmp_path)}")
    yield opened
    opened.close()


def told(connection: Connection, *functions: Function, public_url: str = "") -> list[list[str]]:
    """By function: the jobs and receivers of the deliveries it made; nothing for one that failed."""
    answers = run_batch(connection, functions, public_url)
    made: list[tuple[Delivery, ...]] = [answer.commit.deliveries if answer.commit else () for answer in answers]
    return [[f"{one.job_id} {one.endpoint_id}" for one in deliveries] for deliveries in made]


def makes(name: str) -> Function:
    return lambda tx: tx.insert([job(name)])


def puts(endpoint: WebhookEndpoint) -> Function:
    return lambda tx: tx.put_endpoint(endpoint)


def test_an_endpoint_hears_of_what_follows_it_in_its_batch(connection: Connection) -> None:
    assert told(connection, makes("a"), puts(ENDPOINT), makes("b")) == [[], [], ["job_b whe_1"]]


def test_an_endpoint_that_goes_hears_no_more_in_its_batch(connection: Connection) -> None:
    run_batch(connection, [puts(ENDPOINT)])

    found = told(connection, makes("a"), lambda tx: tx.delete_endpoint("whe_1"), makes("b"))

    assert found == [["job_a whe_1"], [], []]


def test_a_disabled_endpoint_hears_nothing(connection: Connection) -> None:
    run_batch(connection, [puts(replace(ENDPOINT, disabled_at=NOW))])

    assert told(connection, makes("a")) == [[]]


def test_an_endpoint_of_a_transaction_that_is_undone_hears_nothing(connection: Connection) -> None:
    def undone(tx: Transaction) -> None:
        tx.put_endpoint(ENDPOINT)
        tx.insert([job("a")])
        raise KeyError("no")

    assert told(connection, undone, makes("b")) == [[], []]


def test_a_transaction_that_runs_again_makes_its_deliveries_once(connection: Connection) -> None:
    run_batch(connection, [puts(ENDPOINT)])
    runs: list[int] = []

    def stale_at_first(tx: Transaction) -> None:
        tx.insert([job("a")])
        runs.append(1)
        if len(runs) == 1:
            raise StaleRow("once")

    assert told(connection, stale_at_first) == [["job_a whe_1"]]
    assert len(runs) == 2
