"""Every route against every kind of caller, generated from the OpenAPI document: nobody is let in who should not be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

from protocol.admin import Scope
from protocol.operations import BY_NAME
from tests.contract.api_server import Answer, Server, served
from tests.contract.contract_callers import (
    MAKERS,
    MISSING,
    NOWHERE,
    UNHURRIED,
    Callers,
    Route,
    callers,
    is_keyed,
    jwt_section,
    operation_names,
    routes,
    token,
    without_ids,
)
from tests.contract.contract_conformance import current

ROUTES = routes(current())
REFUSED, LACKING = (401, "UNAUTHORIZED"), (403, "FORBIDDEN")
Head = tuple[int, str]


def head_of(answer: Answer) -> Head:
    """HEAD has no body to tell the code by."""
    return answer.status, answer.json["error"]["code"] if answer.json is not None and "error" in answer.json else ""


def expected(route: Route, wanted: Head) -> Head:
    return (wanted[0], "") if route.method == "HEAD" else wanted


async def things(server: Server) -> dict[str, str]:
    return {name: await make(server) for name, make in MAKERS.items()}


async def ask(server: Server, route: Route, ids: Mapping[str, str], key: str | None) -> Answer:
    return await server.call(route.method, route.filled(ids), key=key, **route.options())


async def told(server: Server, ids: Mapping[str, str], asked: list[tuple[Route, str | None]]) -> dict[tuple[str, str], Head]:
    """What each is answered, eight at a time."""
    found: dict[tuple[str, str], Head] = {}
    waiting = iter(asked)

    async def work() -> None:
        for route, key in waiting:
            found[route.name, str(key)] = head_of(await ask(server, route, ids, key))

    async with asyncio.TaskGroup() as workers:
        for _ in range(8):
            workers.create_task(work())
    return found


def closed() -> list[Route]:
    return [route for route in ROUTES if route.scope is not Scope.OPEN]


def test_every_operation_is_in_the_matrix_and_every_parameter_has_a_thing() -> None:
    names = {name for route in ROUTES for name in route.parameters}

    assert operation_names(ROUTES) == BY_NAME.keys()
    assert names <= MAKERS.keys(), "a new kind of path parameter needs a row in MAKERS"
    assert MAKERS.keys() == MISSING.keys()
    assert (len(ROUTES) > 80, len(closed()) > 60) == (True, True)


async def test_nobody_gets_in_without_a_key_that_is_good_here_and_now(tmp_path: Path) -> None:
    async with served(tmp_path, UNHURRIED, sections={**NOWHERE, "jwt": jwt_section(tmp_path)}) as server:
        who, ids = await callers(server), await things(server)
        bad = [None, who.unknown, who.revoked, who.expired, who.elsewhere, who.expired_token]
        good = [await server.call("GET", "/api/v1/jobs", key=key) for key in (who.own, token(server, ends_in=60))]
        found = await told(server, ids, [(route, key) for route in closed() for key in bad])

    assert [answer.status for answer in good] == [200, 200]
    assert found == {(route.name, str(key)): expected(route, REFUSED) for route in closed() for key in bad}
    assert len(found) >= 6 * 60


async def test_credential_and_token_open_nothing_but_what_they_are_for(tmp_path: Path) -> None:
    keyed = [route for route in ROUTES if is_keyed(route)]
    of_engines = [route for route in ROUTES if route.scope is Scope.ENGINE]
    async with served(tmp_path, UNHURRIED, sections=NOWHERE) as server:
        who, ids = await callers(server), await things(server)
        by_engine = await told(server, ids, [(route, who.engine[1]) for route in keyed])
        by_token = await told(server, ids, [(route, who.registration) for route in (*keyed, *of_engines)])
        by_key = await told(server, ids, [(route, who.own) for route in of_engines])

    assert by_engine == {(route.name, who.engine[1]): expected(route, REFUSED) for route in keyed}
    assert by_token == {(route.name, who.registration): expected(route, REFUSED) for route in (*keyed, *of_engines)}
    assert by_key == {(route.name, who.own): expected(route, REFUSED) for route in of_engines}
    assert len(of_engines) >= 10


async def test_key_that_lacks_the_scope_is_told_which(tmp_path: Path) -> None:
    keyed = [route for route in ROUTES if is_keyed(route)]
    found: dict[str, object] = {}
    async with served(tmp_path, UNHURRIED, sections=NOWHERE) as server:
        who, ids = await callers(server), await things(server)
        for route in keyed:
            answer = await ask(server, route, ids, who.lacking[route.scope])
            scope = answer.json["error"]["details"]["scope"] if route.method != "HEAD" else route.scope.value
            found[route.name] = (*head_of(answer), scope)

    assert found == {route.name: (*expected(route, LACKING), route.scope.value) for route in keyed}
    assert {route.scope for route in keyed} >= {Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.FILES_READ, Scope.ADMIN}


def of_a_tenant() -> Iterator[Route]:
    """Routes that name a thing of one tenant, and that a key of another tenant could call."""
    for route in ROUTES:
        is_named = any(name in OWNED for name in route.parameters)
        if is_named and is_keyed(route) and route.scope is not Scope.ADMIN:
            yield route


OWNED = {"job_id", "upload_id", "endpoint_id", "delivery_id"}
"""What belongs to a tenant; engines, profiles and the rest are of the farm."""


async def test_thing_of_another_tenant_is_answered_as_one_that_is_not_there(tmp_path: Path) -> None:
    found, statuses = {}, {}
    async with served(tmp_path, UNHURRIED, sections=NOWHERE) as server:
        who, ids = await callers(server), await things(server)
        seen = {name: await _is_there(server, who, ids, name) for name in OWNED}
        for route in of_a_tenant():
            foreign, missing = await ask(server, route, ids, who.other), await ask(server, route, MISSING, who.other)
            found[route.name] = (without_ids(foreign, ids), without_ids(missing, MISSING))
            statuses[route.name] = foreign.status
        after = {name: await _is_there(server, who, ids, name) for name in OWNED}

    assert {name: pair for name, pair in found.items() if pair[0] != pair[1]} == {}
    assert seen == after == dict.fromkeys(OWNED, 200), "each of them is there for its owner, also afterwards"
    assert {name for name, status in statuses.items() if status != 404} == set()
    assert len(found) >= 30


async def _is_there(server: Server, who: Callers, ids: Mapping[str, str], name: str) -> int:
    """What the owner is told of the thing itself."""
    own = next(route for route in ROUTES if route.method == "GET" and route.path.endswith(f"/{{{name}}}"))
    return (await ask(server, own, ids, who.own)).status


async def test_lists_hold_nothing_of_another_tenant(tmp_path: Path) -> None:
    lists = [r for r in ROUTES if r.method == "GET" and not r.parameters and not r.is_stream and is_keyed(r)]
    plain = [route for route in lists if route.scope is not Scope.ADMIN and "200" in route.told["responses"]]
    async with served(tmp_path, UNHURRIED, sections=NOWHERE) as server:
        who, ids = await callers(server), await things(server)
        own = {route.name: (await ask(server, route, ids, who.own)).body.decode() for route in plain}
        other = {route.name: (await ask(server, route, ids, who.other)).body.decode() for route in plain}

    owned = [ids[name] for name in OWNED]
    assert [name for name, body in other.items() if any(thing in body for thing in owned)] == []
    assert len([name for name, body in own.items() if any(thing in body for thing in owned)]) >= 2


async def test_engine_speaks_for_itself_alone(tmp_path: Path) -> None:
    named = [route for route in ROUTES if route.scope is Scope.ENGINE and "engine_id" in route.parameters]
    tasks = [route for route in ROUTES if route.scope is Scope.ENGINE and "task_id" in route.parameters]
    async with served(tmp_path, UNHURRIED, sections=NOWHERE) as server:
        who, ids = await callers(server), await things(server)
        foreign = await told(server, ids, [(route, who.engine[1]) for route in named])
        missing = await told(server, MISSING, [(route, who.engine[1]) for route in named])
        not_held = await told(server, ids, [(route, who.engine[1]) for route in tasks])

    assert foreign == missing == {(route.name, who.engine[1]): LACKING for route in named}
    assert set(not_held.values()) <= {(409, "STALE_LEASE"), (404, "TASK_NOT_FOUND")}
    assert (len(named) >= 4, len(tasks) >= 6) == (True, True)


async def test_open_routes_look_at_no_key(tmp_path: Path) -> None:
    opened = [route for route in ROUTES if route.scope is Scope.OPEN]
    async with served(tmp_path, UNHURRIED, sections=NOWHERE) as server:
        who, ids = await callers(server), await things(server)
        asked = [None, who.unknown, who.revoked, who.other]
        found = await told(server, ids, [(route, key) for route in opened for key in asked])

    differing = {
        route.name: [found[route.name, str(key)] for key in asked]
        for route in opened
        if len({found[route.name, str(key)] for key in asked}) > 1
    }
    assert (differing, REFUSED in found.values()) == ({}, False)
    assert len(opened) >= 8


async def test_every_route_of_the_server_is_in_the_document_and_the_other_way_round(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        resources = [(resource.canonical, list(resource)) for resource in server.web.app.router.resources()]
    running = {(route.method, path) for path, found in resources for route in found if route.method != "*"}

    assert running == {(route.method, route.path) for route in ROUTES}


async def test_odd_path_of_a_file_is_still_a_path_of_a_file(tmp_path: Path) -> None:
    async with served(tmp_path, UNHURRIED, sections=NOWHERE) as server:
        job = await MAKERS["job_id"](server)
        odd = ["a%0Ab", "%C2%84", "a%2Fb", "%F3%B9%B0%95"]
        told = [head_of(await server.call("GET", f"/api/v1/jobs/{job}/files/{path}")) for path in odd]
        signed = [head_of(await server.call("GET", f"/files/s/AAAA.1/{path}", key=None)) for path in odd]

    assert {code for _, code in told} <= {"FILE_NOT_FOUND", "OUTPUTS_NOT_READY"}
    assert set(signed) == {(403, "LINK_INVALID")}


async def test_fixed_path_means_itself_alone(tmp_path: Path) -> None:
    fixed = [route for route in ROUTES if not route.parameters and route.path.startswith("/api/v1/")]
    allowed = {route.path: {r.method for r in fixed if r.path == route.path} for route in fixed}
    async with served(tmp_path) as server:
        answers = {path: await server.call("TRACE", path) for path in allowed}

    told = {path: {*answer.headers["Allow"].split(", ")} - {"OPTIONS"} for path, answer in answers.items()}
    assert {answer.code for answer in answers.values()} == {"METHOD_NOT_ALLOWED"}
    assert told == {path: methods - {"OPTIONS"} for path, methods in allowed.items()}
