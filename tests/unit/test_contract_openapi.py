"""The OpenAPI document is whole: everything described, everything referred to there, every example true."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from dispatch.api.openapi import document, text
from dispatch.api.openapi.examples import NoExample, example_of
from dispatch.api.openapi.parameters import UndescribedParameter, described
from dispatch.api.openapi.refusals import codes
from dispatch.api.openapi.replies import HEADERS
from dispatch.api.openapi.surroundings import TAGS
from dispatch.core import webhooks
from dispatch.core.records import Event, NewEvent
from protocol.admin import Pong, Scope
from protocol.errors import ERRORS, ErrorCode
from protocol.events import EventType
from protocol.jobs import RetryRequest
from protocol.operations import OPERATIONS, STREAMS, Operation
from protocol.webhooks import WebhookEvent
from tests.contract.contract_conformance import Contract, Json
from tests.unit.dispatch_jobs import make_job
from tools.docs import FIRST_INSIDE_A_JOB

DOCUMENT = document("1.2.3")
CONTRACT = Contract(DOCUMENT)
BEFORE_ANY_CALL = {
    ErrorCode.ROUTE_NOT_FOUND,
    ErrorCode.METHOD_NOT_ALLOWED,
    ErrorCode.MALFORMED_REQUEST,
    ErrorCode.HEADERS_TOO_LARGE,
    ErrorCode.REQUEST_TOO_SLOW,
    ErrorCode.URL_TOO_LONG,
}
"""Answers of the router and of the connection, which no operation gives."""

SIGNED = {"webhook-id", "webhook-timestamp", "webhook-signature"}


def written() -> Iterator[tuple[str, Json]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def nodes(node: object) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def contents() -> Iterator[tuple[str, Json]]:
    """Every described body, with where it stands."""
    for name, operation in written():
        for kind, row in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{name} takes {kind}", row
        for status, answer in operation["responses"].items():
            for kind, row in CONTRACT.resolved(answer).get("content", {}).items():
                yield f"{name} {status} {kind}", row


def test_every_reference_leads_somewhere() -> None:
    references = {node["$ref"] for node in nodes(DOCUMENT) if isinstance(node.get("$ref"), str)}

    assert all(isinstance(CONTRACT.resolved({"$ref": reference}), dict) for reference in references)
    assert len(references) > 100


def test_every_example_fits_its_schema() -> None:
    told = {}
    for place, row in contents():
        for name, example in row.get("examples", {}).items():
            value = CONTRACT.resolved(example)["value"]
            told[f"{place} {name}"] = list(CONTRACT.problems(row["schema"], value))

    assert {place: problems for place, problems in told.items() if problems} == {}
    assert len(told) > 500


def test_every_json_body_has_an_example() -> None:
    bare = [place for place, row in contents() if place.endswith(" application/json") and not row.get("examples")]

    assert bare == ["get /openapi.json 200 application/json"]


def test_every_parameter_has_an_example_that_fits_or_a_schema_that_tells_all() -> None:
    wrong = []
    for name, operation in written():
        for parameter in operation["parameters"]:
            schema = parameter["schema"]
            examples = schema.get("examples", [])
            is_told = examples or schema.keys() & {"enum", "default", "minimum"} or parameter.get("description")
            problems = [problem for example in examples for problem in CONTRACT.problems(schema, example)]
            if problems or not (is_told or schema.get("description")):
                wrong.append((name, parameter["name"], problems))

    assert wrong == []


def test_every_operation_tells_what_it_is_for_and_who_may_call() -> None:
    for name, operation in written():
        is_open = operation["x-scope"] == Scope.OPEN
        statuses = set(operation["responses"])
        assert operation["summary"], name
        assert operation["description"], name
        assert bool(operation["security"]) is not is_open, name
        assert ("401" in statuses) is not is_open, name
        assert any(status < "300" or status == "302" for status in statuses), name
        assert "default" not in statuses, name


def test_every_tag_is_described_and_used() -> None:
    assert {tag for _, operation in written() for tag in operation["tags"]} == TAGS.keys()


def test_every_link_leads_to_an_operation_and_names_all_of_its_path() -> None:
    by_id = {operation["operationId"]: (name, operation) for name, operation in written()}
    links = [
        (link, answer["content"]["application/json"]["schema"])
        for _, operation in written()
        for answer in map(CONTRACT.resolved, operation["responses"].values())
        for link in answer.get("links", {}).values()
    ]
    for link, schema in links:
        _, target = by_id[link["operationId"]]
        wanted = {f"path.{row['name']}" for row in target["parameters"] if row["in"] == "path"}
        assert link["parameters"].keys() == wanted
        fields = CONTRACT.resolved(schema)["properties"]
        assert {expression.removeprefix("$response.body#/") for expression in link["parameters"].values()} <= fields.keys()

    assert {"get_job", "cancel_job", "why_job"} <= {link["operationId"] for link, _ in links}


def test_every_code_of_a_call_is_told_by_some_call() -> None:
    ours = list(ErrorCode)
    answers = set(ours[: ours.index(FIRST_INSIDE_A_JOB)])
    told = {code for operation in OPERATIONS for given in codes(operation).values() for code in given}
    inputs = {code for code in answers if code.startswith("INPUT_")}  # most of them a job tells, not a call

    assert answers - told - inputs - BEFORE_ANY_CALL == set()
    assert told - answers == set()


def test_codes_stand_under_their_own_status() -> None:
    for operation in OPERATIONS:
        assert all(ERRORS[code].status == status for status, given in codes(operation).items() for code in given)


def test_every_header_is_described_in_one_place() -> None:
    told = DOCUMENT["components"]["headers"]

    assert told.keys() == HEADERS.keys()
    assert {name for name, row in told.items() if row["required"]} == {"X-Request-Id"}


def test_head_tells_what_get_tells_without_bodies() -> None:
    for operation in OPERATIONS:
        if operation.method != "GET" or operation.gives in STREAMS:
            continue
        path = re.sub(r"\{(\w+)(?::[^}]*)?\}", r"{\1}", operation.path)
        get, head = DOCUMENT["paths"][path]["get"], DOCUMENT["paths"][path]["head"]
        assert head["responses"].keys() == get["responses"].keys()
        assert not any("content" in answer for answer in head["responses"].values())


def test_every_webhook_event_is_told_with_its_signed_headers() -> None:
    told = DOCUMENT["webhooks"]

    assert told.keys() == {event.value for event in WebhookEvent}
    assert {row["name"] for row in told["job.completed"]["post"]["parameters"]} == SIGNED


@pytest.mark.parametrize("name", [WebhookEvent.JOB_FAILED, WebhookEvent.JOB_PURGED])
@pytest.mark.parametrize("has_job", [True, False])
def test_what_receivers_get_is_what_the_document_tells(name: WebhookEvent, *, has_job: bool) -> None:
    error: Json = {"code": "TOOL_FAILED", "message": "m", "failure_class": "engine", "step": None, "evidence": {}}
    job = make_job(error_json=json.dumps(error)) if has_job else None
    event = NewEvent(EventType.JOB_FAILED, 1.0, "default", job_id="job_1", to_state="failed", data_json='{"files": 3}')
    body = json.loads(webhooks.payload(Event(7, event), name, job, "https://farm.example"))

    assert list(CONTRACT.problems(DOCUMENT["components"]["schemas"]["WebhookMessage"], body)) == []


def test_document_is_one_line_of_json_that_reads_back() -> None:
    assert "\n" not in text(DOCUMENT)
    assert json.loads(text(DOCUMENT)) == DOCUMENT


def test_parameter_without_a_row_is_refused_by_name() -> None:
    new = Operation("new", "GET", "/api/v1/reels/{reel_id}", Scope.JOBS_READ, "New", None, Pong)

    with pytest.raises(UndescribedParameter, match="new: no row in PATH_PARAMETERS for reel_id"):
        described(new)


def test_text_that_nothing_can_fill_is_refused_by_name() -> None:
    with pytest.raises(NoExample, match=r"colour matches \^#"):
        example_of({"type": "string", "pattern": "^#[0-9a-f]{6}$"}, {}, field="colour")


def test_request_example_holds_what_is_needed_and_no_more() -> None:
    definitions = RetryRequest.model_json_schema()

    assert example_of({"$ref": "#/x"}, {"x": definitions}, is_reply=False) == {"priority": 5}
