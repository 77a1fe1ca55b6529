"""The world of the authorization matrix: callers of every kind, and one thing for each kind of path parameter."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jwt

from config.dispatch import Jwt, Webhooks
from dispatch.api.wiring import Limits
from dispatch.ports import Transaction
from dispatch.services.engines import digest
from protocol.admin import Scope
from protocol.operations import BY_NAME
from tests.contract.api_server import Answer, Server
from tests.contract.contract_conformance import Contract, Json

MANY = 10_000_000
UNHURRIED = Limits(calls_per_s=MANY, tenant_calls_per_s=MANY, failures_free=MANY)
"""A matrix is a thousand wrong keys from one address."""

GRANTABLE = frozenset(Scope) - {Scope.ADMIN, Scope.ENGINE, Scope.REGISTRATION, Scope.OPEN}
ISSUER = {"iss": "https://issuer.example", "aud": "reelyard", "sub": "anna"}
JWT_SECRET = "a secret of thirty-two bytes and more"
ELSEWHERE = "192.0.2.1/32"
"""A network for documentation (RFC 5737): nobody calls from there."""


RECEIVER = "http://127.0.0.1:9"
"""Nobody listens there (RFC 863), and nothing leaves this machine."""

NOWHERE = {"webhooks": Webhooks(allow_private_addresses=True, ports=(9, 80, 443))}


def jwt_section(directory: Path) -> Jwt:
    secret = directory / "jwt.secret"
    secret.write_text(JWT_SECRET)
    return Jwt(secret_file=secret, issuer=ISSUER["iss"], audience=ISSUER["aud"])


def token(server: Server, *, ends_in: int) -> str:
    ends = int(server.core.outside.clock.now()) + ends_in
    scopes = " ".join(sorted(GRANTABLE))
    return jwt.encode({**ISSUER, "tenant": "default", "scope": scopes, "exp": ends}, JWT_SECRET, algorithm="HS256")


ALWAYS_SENT = ("Tus-Resumable", "Upload-Offset")
"""Not needed by every call that knows them, and looked at before the thing itself."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, as the document tells it."""

    contract: Contract
    method: str
    path: str
    told: Json

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def scope(self) -> Scope:
        return Scope(self.told["x-scope"])

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def is_stream(self) -> bool:
        return not {"text/event-stream"}.isdisjoint(self.told["responses"].get("200", {}).get("content", {}))

    def filled(self, ids: Mapping[str, str]) -> str:
        return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], self.path)

    def options(self) -> dict[str, Any]:  # Any: aiohttp's own
        """A body and headers that the document calls good, so that a call gets as far as it may."""
        known = (row for row in self.told["parameters"] if row["in"] == "header")
        needed = (row for row in known if row["required"] or row["name"] in ALWAYS_SENT)
        headers = {row["name"]: _sample(row["schema"]) for row in needed}
        bodies = self.told.get("requestBody", {}).get("content", {})
        if "application/json" in bodies:
            example = next(iter(bodies["application/json"]["examples"].values()))
            return {"headers": headers, "json": self.contract.resolved(example)["value"]}
        kind = next(iter(bodies), None)
        if kind is None or kind.startswith("multipart/"):
            return {"headers": headers}
        return {"headers": {**headers, "Content-Type": kind}, "data": b"12345678"}


def _sample(schema: Json) -> str:
    return str(schema["examples"][0] if "examples" in schema else schema["enum"][0])


def routes(contract: Contract) -> list[Route]:
    return [
        Route(contract, method.upper(), path, told)
        for path, methods in contract.told["paths"].items()
        for method, told in methods.items()
    ]


@dataclass(frozen=True, slots=True)
class Callers:
    """Secrets by what is wrong with them. `other` is good, but for another tenant; `lacking` has all scopes but one."""

    unknown: str
    revoked: str
    expired: str
    elsewhere: str
    expired_token: str
    registration: str
    engine: tuple[str, str]
    other: str
    own: str
    lacking: Mapping[Scope, str]


async def callers(server: Server) -> Callers:
    await server.new_tenant("acme")
    everything = sorted(GRANTABLE)
    revoked, expired = [await server.new_key(*everything) for _ in range(2)]
    await _change_key(server, revoked, revoked_at=1.0)
    await _change_key(server, expired, expires_at=1.0)
    fields = {"name": "t", "scopes": everything, "allowed_ips": [ELSEWHERE]}
    elsewhere = await server.call("POST", "/api/v1/admin/api-keys", json=fields)
    return Callers(
        unknown="rk_0123456789abcdefghijkl",
        revoked=revoked,
        expired=expired,
        elsewhere=elsewhere.json["api_key"],
        expired_token=token(server, ends_in=-3600),
        registration=server.core.outside.secrets.registration,
        engine=await server.new_engine(name="caller"),
        other=await server.new_key(*everything, tenant="acme"),
        own=await server.new_key(*everything),
        lacking={scope: await server.new_key(*(GRANTABLE - {scope})) for scope in (*GRANTABLE, Scope.ADMIN)},
    )


async def _change_key(server: Server, secret: str, **changes: float) -> None:
    """Before it was ever used, so that nothing in memory knows it otherwise."""

    def change(tx: Transaction) -> None:
        key = tx.key_by_digest(digest(secret))
        assert key is not None
        tx.put_key(replace(key, **changes))  # type: ignore[arg-type]  # moments are floats

    await server.core.outside.store.transact(change)


# --- one thing of tenant `default` for each kind of path parameter


async def _job(server: Server) -> str:
    made = await server.submit(webhook_url=f"{RECEIVER}/told")
    await server.call("POST", f"/api/v1/jobs/{made['job_id']}/cancel")
    job_id: str = made["job_id"]
    return job_id


async def _engine(server: Server) -> str:
    return (await server.new_engine(name="named"))[0]


async def _task(server: Server) -> str:
    job = await server.submit()

    def first(tx: Transaction) -> str:
        return tx.graphs([job["job_id"]])[job["job_id"]].tasks[0].task_id

    return await server.core.outside.store.read(first)


async def _key(server: Server) -> str:
    made = await server.call("POST", "/api/v1/admin/api-keys", json={"name": "named", "scopes": ["jobs:read"]})
    key_id: str = made.json["key_id"]
    return key_id


async def _upload(server: Server) -> str:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "8"}
    made = await server.call("POST", "/api/v1/uploads", headers=headers)
    return made.headers["Location"].rpartition("/")[2]


async def _endpoint(server: Server) -> str:
    made = await server.call("POST", "/api/v1/webhooks/endpoints", json={"url": f"{RECEIVER}/all"})
    endpoint_id: str = made.json["endpoint_id"]
    return endpoint_id


async def _delivery(server: Server) -> str:
    await _job(server)
    listed = await server.call("GET", "/api/v1/webhooks/deliveries")
    delivery_id: str = listed.json["deliveries"][0]["delivery_id"]
    return delivery_id


async def _tenant(server: Server) -> str:
    await server.new_tenant("named")
    return "named"


async def _signature(server: Server) -> str:
    return server.signed("GET", "default/nothing").rpartition("/")[2]


def _always(value: str) -> Callable[[Server], Awaitable[str]]:
    async def give(server: Server) -> str:
        return value

    return give


MAKERS: dict[str, Callable[[Server], Awaitable[str]]] = {
    "job_id": _job,
    "engine_id": _engine,
    "task_id": _task,
    "key_id": _key,
    "upload_id": _upload,
    "endpoint_id": _endpoint,
    "delivery_id": _delivery,
    "tenant": _tenant,
    "signature": _signature,
    "path": _always("web/a.mp4"),
    "wheel": _always("reelyard-9.0.0-py3-none-any.whl"),
    "asset": _always("swagger-ui.css"),
    "profile": _always("web"),
    "part": _always("db"),
}
"""A new kind of path parameter needs a row here: without one the matrix fails."""

MISSING: dict[str, str] = {
    **{f"{kind}_id": f"{prefix}_0000missing" for kind, prefix in (("job", "job"), ("engine", "eng"), ("task", "tsk"))},
    **{f"{kind}_id": f"{prefix}_0000missing" for kind, prefix in (("key", "key"), ("upload", "upl"))},
    **{f"{kind}_id": f"{prefix}_0000missing" for kind, prefix in (("endpoint", "whe"), ("delivery", "whd"))},
    "tenant": "nobody",
    "signature": "AAAA.1",
    "path": "web/none.mp4",
    "wheel": "none.whl",
    "asset": "none.css",
    "profile": "none",
    "part": "none",
}
"""Of the same form, and there is none."""


def without_ids(answer: Answer, ids: Mapping[str, str]) -> Json:
    """The body as far as it may differ between what is not there and what is not yours."""
    text = answer.body.decode()
    for name in (name for name in ids if name.endswith("_id")):
        text = text.replace(ids[name], f"<{name}>")
    return {"status": answer.status, "text": re.sub(r'"request_id":"[^"]*"', '"request_id":""', text)}


def is_keyed(route: Route) -> bool:
    return route.scope in (*GRANTABLE, Scope.ADMIN)


def operation_names(found: list[Route]) -> set[str]:
    return {route.told["operationId"].removeprefix("head_") for route in found} & BY_NAME.keys()
