"""What is generated says what the tables say."""

from __future__ import annotations

import re

from openapi_spec_validator import validate

from dispatch.api.openapi import QUERY_SCHEMAS, document
from dispatch.api.server import HANDLERS
from dispatch.core.job_machine import JOB_TABLE
from dispatch.core.task_machine import TASK_TABLE
from protocol.operations import BY_NAME, OPERATIONS, STREAMS
from tools import docs


def test_every_operation_has_a_handler_and_no_other_is_there() -> None:
    assert HANDLERS.keys() == BY_NAME.keys()


def test_document_is_valid_openapi() -> None:
    validate(document("1.2.3"))


def test_every_operation_stands_in_the_document() -> None:
    written = {(method.upper(), path): row for path, rows in document("1.2.3")["paths"].items() for method, row in rows.items()}
    wanted = {(o.method, re.sub(r":[^}]*", "", o.path)): o.name for o in OPERATIONS}
    heads = {("HEAD", path): f"head_{name}" for (method, path), name in wanted.items() if method == "GET" and is_plain(name)}

    assert {key: row["operationId"] for key, row in written.items()} == wanted | heads


def is_plain(name: str) -> bool:
    return BY_NAME[name].gives not in STREAMS


def test_every_query_parameter_has_a_schema() -> None:
    """A row may be for one operation alone: `list_deliveries.state`. Clients name the rest of `metadata.*`."""
    named = {name if name.endswith("*") else name.rpartition(".")[2] for name in QUERY_SCHEMAS}

    assert {name for operation in OPERATIONS for name in operation.query} == named


def test_generated_pages_are_up_to_date() -> None:
    assert docs.stale() == []


def test_state_page_draws_every_move() -> None:
    page = docs.states_page()
    moves = {(str(row.source), str(row.target)) for table in (JOB_TABLE, TASK_TABLE) for row in table.rows}

    assert {tuple(found) for found in re.findall(r"^    (\w+) --> (\w+)", page, re.MULTILINE)} == moves
