"""The part of a transaction about engines, keys, tenants and idempotency: few rows, plain statements."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from dispatch.core.records import ApiKey, Engine, IdempotencyRow, Tenant
from dispatch.store import rows, schema
from dispatch.store.statements import Lookup, Statement, by_ids, inserting
from dispatch.store.updates import Columns, Update

# What every call of an engine or a client runs; building a statement costs more than running it.
SELECT_ENGINE = Statement(select(schema.engines).where(schema.engines.c.engine_id == bindparam("wanted_id")), ("wanted_id",))
SELECT_CREDENTIAL = Statement(
    select(schema.engines).where(schema.engines.c.credential_sha256 == bindparam("sha256")), ("sha256",)
)
UPDATE_ENGINE = Statement(
    update(schema.engines)
    .where(schema.engines.c.engine_id == bindparam("wanted_id"))
    .values({column.name: bindparam(column.name) for column in schema.engines.columns}),
    (*schema.engines.columns.keys(), "wanted_id"),
)
INSERT_ENGINE = inserting(schema.engines)
ENGINES_BY_ID = Lookup(by_ids(schema.engines, "engine_id"))
UPDATE_BEATEN = Update(
    schema.engines,
    Engine,
    Columns(
        guards=("engine_id", "version"),
        keeps="engine_id registered_at",
        usual="state slots_json load_json last_heartbeat_at version",
    ),
    rows.ENGINES.values_of,
)
"""What a heartbeat changes leaves the capabilities alone, which are most of the row."""

SELECT_TENANTS = Statement(select(schema.tenants).order_by(schema.tenants.c.name))
SAME_CALL = tuple(schema.idempotency.c[name] == bindparam(f"of_{name}") for name in ("tenant", "route", "key"))
CALL = ("of_tenant", "of_route", "of_key")
SELECT_ANSWER = Statement(select(schema.idempotency).where(*SAME_CALL), CALL)
DELETE_ANSWER = Statement(delete(schema.idempotency).where(*SAME_CALL), CALL)
INSERT_ANSWER = inserting(schema.idempotency)


class RegistryQueries:
    """Mixed into SqlTransaction; remembers the engines and tenants it changed for the listeners of the commit."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._engines: list[Engine] = []
        self._tenants: list[Tenant] = []
        self._keys: list[str] = []
        self._gone_engines: list[str] = []

    def engine(self, engine_id: str) -> Engine | None:
        found = SELECT_ENGINE.rows(self._connection, (engine_id,))
        return rows.ENGINES.load(found[0]) if found else None

    def engine_by_credential(self, sha256: str) -> Engine | None:
        found = SELECT_CREDENTIAL.rows(self._connection, (sha256,))
        return rows.ENGINES.load(found[0]) if found else None

    def engines(self) -> list[Engine]:
        statement = select(schema.engines).order_by(schema.engines.c.engine_id)
        return [rows.ENGINES.load(row) for row in self._connection.execute(statement)]

    def put_engine(self, engine: Engine) -> None:
        values = rows.ENGINES.values(engine)
        if not UPDATE_ENGINE.run_many(self._connection, [(*values, engine.engine_id)]):
            INSERT_ENGINE.run_many(self._connection, [values])
        self._engines.append(engine)

    def engines_of(self, engine_ids: Iterable[str]) -> dict[str, Engine]:
        found = map(rows.ENGINES.load, ENGINES_BY_ID.rows(self._connection, dict.fromkeys(engine_ids)))
        return {engine.engine_id: engine for engine in found}

    def put_engines(self, changes: Iterable[tuple[Engine, Engine]]) -> None:
        wanted = list(changes)
        UPDATE_BEATEN.run(self._connection, wanted)
        self._engines.extend(new for _, new in wanted)

    def delete_engine(self, engine_id: str) -> None:
        self._connection.execute(delete(schema.engines).where(schema.engines.c.engine_id == engine_id))
        self._gone_engines.append(engine_id)

    def key_by_digest(self, sha256: str) -> ApiKey | None:
        """The key whose secret has this digest, or had it before its last rotation."""
        table = schema.api_keys
        wanted = select(table).where(or_(table.c.sha256 == sha256, table.c.previous_sha256 == sha256))
        found = self._connection.execute(wanted).first()
        return None if found is None else rows.KEYS.load(found)

    def key(self, key_id: str) -> ApiKey | None:
        found = self._connection.execute(select(schema.api_keys).where(schema.api_keys.c.key_id == key_id)).first()
        return None if found is None else rows.KEYS.load(found)

    def keys(self) -> list[ApiKey]:
        statement = select(schema.api_keys).order_by(schema.api_keys.c.key_id)
        return [rows.KEYS.load(row) for row in self._connection.execute(statement)]

    def put_key(self, key: ApiKey) -> None:
        params = rows.KEYS.params(key)
        table = schema.api_keys
        changed = self._connection.execute(update(table).where(table.c.key_id == key.key_id).values(params))
        if changed.rowcount == 0:
            self._connection.execute(insert(table), params)
        self._keys.append(key.key_id)

    def tenants(self) -> list[Tenant]:
        return [rows.TENANTS.load(row) for row in SELECT_TENANTS.rows(self._connection)]

    def put_tenant(self, tenant: Tenant) -> None:
        params = rows.TENANTS.params(tenant)
        table = schema.tenants
        changed = self._connection.execute(update(table).where(table.c.name == tenant.name).values(params))
        if changed.rowcount == 0:
            self._connection.execute(insert(table), params)
        self._tenants.append(tenant)

    def idempotency(self, tenant: str, route: str, key: str) -> IdempotencyRow | None:
        found = SELECT_ANSWER.rows(self._connection, (tenant, route, key))
        return rows.IDEMPOTENCY.load(found[0]) if found else None

    def put_idempotency(self, row: IdempotencyRow) -> None:
        DELETE_ANSWER.run_many(self._connection, [(row.tenant, row.route, row.key)])
        INSERT_ANSWER.run_many(self._connection, [rows.IDEMPOTENCY.values(row)])

    def delete_idempotency_before(self, moment: float) -> int:
        table = schema.idempotency
        return int(self._connection.execute(delete(table).where(table.c.created_at < moment)).rowcount)
