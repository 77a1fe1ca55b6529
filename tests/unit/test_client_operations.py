"""The client has a method for every operation that is meant for clients and operators; the rest is listed with its reason."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

import pytest

from client import direct, tus
from client.api import ReelyardClient
from client.calls.base import Calls
from client.transport import Call
from protocol.admin import Scope
from protocol.operations import BY_NAME, OPERATIONS

NO_METHOD = {
    "events_socket": "the same events as those of `events`, for browsers and others that want a WebSocket",
    "signed_get": "`download` follows a link as the server wrote it; it is not made of a template",
    "live_get": "players follow the link that `live` answers with; it is not made of a template",
    "live_put": "where engines show a stream; no client is given such a link",
    "signed_put": "where engines stage files; no client is given such a link",
    "signed_post": "licence requests come from players",
    "playback_hls": "for players that can show a key; `playback` gives them a link that needs none",
    "playback_dash": "the same",
    "submit_minio": "another name of `submit_s3`",
    "override_upload": "for clients that cannot send PATCH or DELETE; ours can",
    "metrics": "text for Prometheus, which asks by itself",
    "docs": "a page for browsers",
    "docs_asset": "a part of that page",
}
OF_ENGINES = {operation.name for operation in OPERATIONS if operation.scope in (Scope.ENGINE, Scope.REGISTRATION)}
AREAS = [area for area in ReelyardClient.__mro__ if issubclass(area, Calls) and area is not Calls]


def _called(source: str) -> Iterator[str]:
    """The operations that a piece of code names in a call of ours."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and _name(node.func) in ("Call", "_ask"):
            for constant in ast.walk(node.args[0]):
                if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                    yield constant.value


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_every_operation_has_a_method_or_a_reason() -> None:
    called = {
        name for module in (*map(inspect.getmodule, AREAS), tus, direct) if module for name in _called(inspect.getsource(module))
    }

    assert set(BY_NAME) - OF_ENGINES - called == set(NO_METHOD)
    assert called <= set(BY_NAME)


def test_no_engine_call_has_a_method() -> None:
    called = {name for area in AREAS for name in _called(inspect.getsource(inspect.getmodule(area) or area))}

    assert called & OF_ENGINES == set()


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.__name__)
def test_every_public_method_is_typed_and_names_no_dictionary_to_take(area: type[Calls]) -> None:
    for name, method in vars(area).items():
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        signature = inspect.signature(method)
        assert signature.return_annotation is not inspect.Signature.empty, name
        assert all(p.annotation is not inspect.Parameter.empty for p in list(signature.parameters.values())[1:]), name


@pytest.mark.parametrize(
    ("call", "path"),
    [
        (Call("get_job", ids={"job_id": "../x?y#z"}), "/api/v1/jobs/..%2Fx%3Fy%23z"),
        (Call("job_file", ids={"job_id": "job_1", "path": "360p/a b.mp4"}), "/api/v1/jobs/job_1/files/360p/a%20b.mp4"),
        (Call("list_jobs"), "/api/v1/jobs"),
    ],
)
def test_a_path_holds_its_ids_quoted(call: Call, path: str) -> None:
    assert call.path == path
