"""The part of a transaction about webhooks: endpoints and deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Select, bindparam, delete, insert, literal, select, update

from dispatch.core import webhooks
from dispatch.core.paging import Slice
from dispatch.core.records import Delivery, Event, Job, NewEvent, WebhookEndpoint
from dispatch.ports.webhooks import DeliveryFilter
from dispatch.store import rows, schema
from dispatch.store.keyset import Order, load_slice
from dispatch.store.schema import IS_UNDELIVERED
from dispatch.store.statements import Lookup, Statement, by_ids, inserting
from protocol.webhooks import DeliveryState

ENDPOINTS, DELIVERIES = schema.webhook_endpoints, schema.webhook_deliveries

# Run with the events of every job: who of these tenants wants to be told.
ACTIVE = Lookup(by_ids(ENDPOINTS, "tenant").where(ENDPOINTS.c.disabled_at.is_(None)).order_by(ENDPOINTS.c.endpoint_id))
INSERT_DELIVERY = inserting(DELIVERIES)
BY_ID = Lookup(by_ids(DELIVERIES, "delivery_id").order_by(DELIVERIES.c.delivery_id))
CHANGING = tuple(
    name for name in rows.columns_of(DELIVERIES) if name in {"url", "state", "attempts", "next_at", "ended_at", "log_json"}
)
UPDATE_DELIVERY = Statement(
    update(DELIVERIES)
    .where(DELIVERIES.c.delivery_id == bindparam("was_id"))
    .values({name: bindparam(name) for name in CHANGING}),
    (*CHANGING, "was_id"),
)
FORGET_DELIVERY = Statement(delete(DELIVERIES).where(DELIVERIES.c.delivery_id == bindparam("gone_id")), ("gone_id",))
KNOWN_JOBS = Lookup(by_ids(schema.jobs, "job_id", "job_id"))
CHANGES = rows.DELIVERIES.values_of(CHANGING)
LEFT_OUT = {"payload": "", "log_json": "[]"}
SELECT_PENDING = select(
    *(literal(LEFT_OUT[c.name]).label(c.name) if c.name in LEFT_OUT else c for c in DELIVERIES.columns)
).where(IS_UNDELIVERED)
SELECT_ALL_PENDING = Statement(SELECT_PENDING.order_by(DELIVERIES.c.seq))
SELECT_ENDPOINT = Statement(select(ENDPOINTS).where(ENDPOINTS.c.endpoint_id == bindparam("wanted_id")), ("wanted_id",))
SELECT_SECRETS = Statement(
    select(schema.tenants.c.webhook_secrets).where(schema.tenants.c.name == bindparam("wanted_name")), ("wanted_name",)
)
NEWEST_FIRST = Order(DELIVERIES.c.delivery_id, is_descending=True)


class Receivers:
    """Who wants to be told, read once for all transactions of a batch; `forget` what any of them may have changed.

    `public_url` goes before the links in what is told.
    """

    def __init__(self, public_url: str = "") -> None:
        self.public_url = public_url
        self._known: dict[str, list[WebhookEndpoint]] = {}

    def of(self, connection: Connection, tenants: Iterable[str]) -> list[WebhookEndpoint]:
        wanted = dict.fromkeys(tenants)
        missing = wanted.keys() - self._known.keys()
        if missing:
            self._known |= {tenant: [] for tenant in missing}
            for endpoint in map(rows.ENDPOINTS.load, ACTIVE.rows(connection, sorted(missing))):
                self._known[endpoint.tenant].append(endpoint)
        return [endpoint for tenant in wanted for endpoint in self._known[tenant]]

    def forget(self) -> None:
        self._known.clear()


class WebhookQueries:
    """Mixed into SqlTransaction; remembers the endpoints and deliveries it changed for the listeners of the commit."""

    _connection: Connection
    _endpoints: list[WebhookEndpoint]
    _gone_endpoints: list[str]
    _deliveries: list[Delivery]
    _receivers: Receivers
    _pending_events: list[NewEvent]
    _active: list[WebhookEndpoint] | None

    # --- made with the events they tell of

    def find_receivers(self) -> None:
        """Now, for events that get their numbers later: who comes after them does not hear of them."""
        told = webhooks.told([Event(0, new) for new in self._pending_events])
        self._active = self._receivers.of(self._connection, (event.new.tenant for event in told))

    def make_deliveries(self, events: Sequence[Event], jobs: Iterable[Job]) -> None:
        """Rows for everybody who wants to be told of these events, in the transaction of the events themselves."""
        told = webhooks.told(events)
        if not told:
            return
        active = self._active
        if active is None:
            active = self._receivers.of(self._connection, (event.new.tenant for event in told))
        latest = {job.job_id: job for job in jobs}
        if not active and all(job.webhook_url is None for job in latest.values()):
            return
        made = webhooks.deliveries(told, latest, active, self._receivers.public_url)
        INSERT_DELIVERY.run_many(self._connection, [rows.DELIVERIES.values(delivery) for delivery in made])
        self._deliveries.extend(made)

    # --- endpoints

    def endpoint(self, endpoint_id: str) -> WebhookEndpoint | None:
        found = SELECT_ENDPOINT.rows(self._connection, (endpoint_id,))
        return rows.ENDPOINTS.load(found[0]) if found else None

    def endpoints_of(self, tenant: str | None) -> list[WebhookEndpoint]:
        statement = select(ENDPOINTS).order_by(ENDPOINTS.c.endpoint_id)
        if tenant is not None:
            statement = statement.where(ENDPOINTS.c.tenant == tenant)
        return [rows.ENDPOINTS.load(row) for row in self._connection.execute(statement)]

    def put_endpoint(self, endpoint: WebhookEndpoint) -> None:
        params = rows.ENDPOINTS.params(endpoint)
        same = ENDPOINTS.c.endpoint_id == endpoint.endpoint_id
        if self._connection.execute(update(ENDPOINTS).where(same).values(params)).rowcount == 0:
            self._connection.execute(insert(ENDPOINTS), params)
        self._endpoints.append(endpoint)
        self._receivers.forget()

    def delete_endpoint(self, endpoint_id: str) -> None:
        self._connection.execute(delete(ENDPOINTS).where(ENDPOINTS.c.endpoint_id == endpoint_id))
        self._gone_endpoints.append(endpoint_id)
        self._receivers.forget()

    # --- deliveries

    def deliveries(self, delivery_ids: Iterable[str]) -> list[Delivery]:
        return [rows.DELIVERIES.load(row) for row in BY_ID.rows(self._connection, delivery_ids)]

    def pending_deliveries(self) -> list[Delivery]:
        return [rows.DELIVERIES.load(row) for row in SELECT_ALL_PENDING.rows(self._connection)]

    def pending_of_endpoint(self, endpoint_id: str, limit: int) -> list[Delivery]:
        return self._found(select(DELIVERIES).where(IS_UNDELIVERED, DELIVERIES.c.endpoint_id == endpoint_id).limit(limit))

    def overdue_deliveries(self, before: float, limit: int) -> list[Delivery]:
        statement = select(DELIVERIES).where(IS_UNDELIVERED, DELIVERIES.c.next_at < before)
        return self._found(statement.order_by(DELIVERIES.c.next_at).limit(limit))

    def put_deliveries(self, deliveries: Iterable[Delivery]) -> None:
        """What has ended of a job that was purged meanwhile goes as the rest of the job went."""
        changed = list(deliveries)
        UPDATE_DELIVERY.run_many(self._connection, [(*CHANGES(one), one.delivery_id) for one in changed])
        over = [one for one in changed if one.state != DeliveryState.PENDING]
        known = {row[0] for row in KNOWN_JOBS.rows(self._connection, {one.job_id for one in over})}
        FORGET_DELIVERY.run_many(self._connection, [(one.delivery_id,) for one in over if one.job_id not in known])
        self._deliveries.extend(changed)

    def list_deliveries(self, wanted: DeliveryFilter) -> Slice[Delivery]:
        statement = select(DELIVERIES)
        for name in ("tenant", "state", "endpoint_id", "job_id", "event"):
            value = getattr(wanted, name)
            if value is not None:
                statement = statement.where(DELIVERIES.c[name] == value)
        return load_slice(self._connection, statement, NEWEST_FIRST, wanted.page, rows.DELIVERIES.load)

    def _found(self, statement: Select[tuple[object, ...]]) -> list[Delivery]:
        return [rows.DELIVERIES.load(row) for row in self._connection.execute(statement)]

    # --- the secrets of tenants

    def webhook_secrets(self, tenant: str) -> tuple[str, ...] | None:
        """As they are kept, sealed; None when there is no such tenant."""
        found = SELECT_SECRETS.rows(self._connection, (tenant,))
        return tuple(str(found[0][0]).split()) if found else None

    def put_webhook_secrets(self, tenant: str, kept: tuple[str, ...]) -> None:
        statement = update(schema.tenants).where(schema.tenants.c.name == tenant)
        self._connection.execute(statement.values(webhook_secrets=" ".join(kept)))
