"""No whole number a client can send is a fault of the server: generated from the examples of the document."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from protocol.admin import Scope
from tests.contract.api_server import Server, served
from tests.contract.contract_callers import MAKERS, NOWHERE, UNHURRIED, Callers, Route, callers, is_keyed, routes
from tests.contract.contract_conformance import current

HUGE = (2**63, 2**64, 10**30, -(2**63) - 1)
ROUTES = routes(current())


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # Any: JSON
    """Where whole numbers stand."""
    match value:
        case bool():
            return
        case int():
            yield at
        case dict():
            for key, inner in value.items():
                yield from places(inner, (*at, key))
        case list():
            for index, inner in enumerate(value):
                yield from places(inner, (*at, index))


def left_out(route: Route) -> Iterator[tuple[Any, ...]]:
    """Whole numbers that a body may hold and the example does not."""
    content = route.told.get("requestBody", {}).get("content", {}).get("application/json")
    rows = route.contract.resolved(content["schema"])["properties"] if content else {}
    for name, row in rows.items():
        if any(option.get("type") == "integer" for option in (row, *row.get("anyOf", ()))):
            yield (name,)


def changed(value: Any, at: tuple[Any, ...], number: int) -> Any:  # Any: JSON
    made = copy.deepcopy(value)
    inner = made
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = number
    return made


async def test_no_number_in_a_body_is_too_large_for_the_server(tmp_path: Path) -> None:
    statuses: dict[str, int] = {}
    async with served(tmp_path, UNHURRIED, sections=NOWHERE) as server:
        who, ids = await callers(server), {name: await make(server) for name, make in MAKERS.items()}
        ids["engine_id"] = who.engine[0]
        for route in ROUTES:
            body = route.options().get("json")
            for at in {*places(body), *left_out(route)}:
                for number in HUGE:
                    options = {**route.options(), "json": changed(body, at, number)}
                    answer = await server.call(route.method, route.filled(ids), key=_key(server, who, route), **options)
                    statuses[f"{route.name} {at} {number}"] = answer.status

    assert {place: status for place, status in statuses.items() if status >= 500} == {}
    assert len(statuses) >= 60


async def test_no_number_in_a_query_is_too_large_for_the_server(tmp_path: Path) -> None:
    statuses: dict[str, int] = {}
    async with served(tmp_path, UNHURRIED, sections=NOWHERE) as server:
        who, ids = await callers(server), {name: await make(server) for name, make in MAKERS.items()}
        for route in (route for route in ROUTES if route.method == "GET" and not route.is_stream and is_keyed(route)):
            for name in [row["name"] for row in route.told["parameters"] if row["in"] == "query"]:
                for number in HUGE:
                    path = f"{route.filled(ids)}?{name}={number}"
                    statuses[f"{route.name} {name} {number}"] = (
                        await server.call("GET", path, key=_key(server, who, route))
                    ).status

    assert {place: status for place, status in statuses.items() if status >= 500} == {}
    assert len(statuses) >= 100


def _key(server: Server, who: Callers, route: Route) -> str | None:
    match route.scope:
        case Scope.OPEN:
            return None
        case Scope.ENGINE:
            return who.engine[1]
        case Scope.REGISTRATION:
            return who.registration
        case _:
            return server.key
