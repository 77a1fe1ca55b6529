"""What a search of jobs is read as, and what is refused."""

from __future__ import annotations

import pytest

from dispatch.core.callers import Caller
from dispatch.core.job_list import MetadataMatch, parse
from protocol.admin import Scope
from protocol.errors import ErrorCode, ReelyardError

ADMIN = Caller("key_9", "default", frozenset({Scope.ADMIN}))


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("3", ('"3"', "3")),
        ("-0.5e3", ('"-0.5e3"', "-0.5e3")),
        ("03", ('"03"',)),
        ("true", ('"true"', "true")),
        ("null", ('"null"', "null")),
        ("True", ('"True"',)),
        ("", ('""',)),
        ('"', ('"\\""',)),
        ("[1]", ('"[1]"',)),
        ("٣", ('"٣"',)),
    ],
)
def test_a_value_is_meant_as_text_and_as_json_where_it_reads_so(value: str, texts: tuple[str, ...]) -> None:
    assert parse({"metadata.n": value}, ADMIN).metadata == (MetadataMatch(("n",), texts),)


def test_several_entries_and_a_nested_one() -> None:
    wanted = parse({"metadata.a": "x", "metadata.b.c": "y", "q": "film"}, ADMIN)

    assert wanted.metadata == (MetadataMatch(("a",), ('"x"',)), MetadataMatch(("b", "c"), ('"y"',)))
    assert wanted.text == "film"


@pytest.mark.parametrize(
    "query",
    [
        {"metadata.a.b.c": "x"},
        {"metadata.": "x"},
        {"metadata.a.": "x"},
        {"metadata..a": "x"},
        {'metadata.a"b': "x"},
        {"metadata.a\\b": "x"},
        {"q": ""},
        {"q": "x" * 201},
        {f"metadata.k{n}": "x" for n in range(11)},
    ],
)
def test_what_cannot_be_searched_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ReelyardError) as refused:
        parse(query, ADMIN)

    assert refused.value.code is ErrorCode.VALIDATION_FAILED


@pytest.mark.parametrize(
    ("query", "is_search"),
    [
        ({}, False),
        ({"status": "completed", "tenant": "acme", "order": "asc"}, False),
        ({"created_after": "2026-01-31T12:00:00Z", "offset": "10000"}, False),
        ({"q": "film"}, True),
        ({"metadata.n": "3"}, True),
        ({"sort": "completed_at"}, True),
        ({"offset": "10001"}, True),
    ],
)
def test_a_list_that_no_index_finds_is_a_search(query: dict[str, str], is_search: bool) -> None:
    assert parse(query, ADMIN).is_search is is_search


def test_a_tenant_is_asked_for_by_admins_and_by_itself() -> None:
    mine = Caller("key_1", "acme", frozenset({Scope.JOBS_READ}))

    told = [parse(query, who).tenant for who in (ADMIN, mine) for query in ({}, {"tenant": "acme"})]

    assert told == [None, "acme", "acme", "acme"]


def test_a_tenant_that_asks_for_another_is_told_so_and_given_nothing_else() -> None:
    with pytest.raises(ReelyardError, match="this key sees what is of acme alone") as refused:
        parse({"tenant": "default"}, Caller("key_1", "acme", frozenset({Scope.JOBS_READ})))

    assert refused.value.code is ErrorCode.VALIDATION_FAILED
