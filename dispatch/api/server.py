"""The HTTP application: every row of the operations table gets its handler, behind one guard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from aiohttp import web

from dispatch.api import (
    access,
    care,
    docs,
    engines,
    files,
    jobs,
    live,
    operators,
    playback,
    profiles,
    releases,
    shards,
    sockets,
    streams,
    tasks,
    tenants,
    tus,
    uploads,
    webhooks,
)
from dispatch.api.call import Handler
from dispatch.api.closing import DOOR, Door
from dispatch.api.connections import GuardedServer, Watch
from dispatch.api.cors import Origins
from dispatch.api.guard import REQUEST_IDS, RequestIds, guard, signer
from dispatch.api.leaders import line
from dispatch.api.peers import PEERS, Peers
from dispatch.api.seats import SEATS, Seats
from dispatch.api.serving import Serving
from dispatch.api.throttle import Failures, Throttle
from dispatch.api.wiring import LIMITS, SERVICES, Limits, Services
from protocol.admin import Scope
from protocol.operations import BY_NAME, Operation

HANDLERS: Mapping[str, Handler] = {
    **engines.HANDLERS,  # first in the router, because they come thousands of times a second
    **tasks.HANDLERS,
    **jobs.HANDLERS,
    **live.HANDLERS,
    **care.HANDLERS,
    **uploads.HANDLERS,
    **tus.HANDLERS,
    **webhooks.HANDLERS,
    **streams.HANDLERS,
    **sockets.HANDLERS,
    **releases.HANDLERS,
    **files.HANDLERS,
    **playback.HANDLERS,
    **access.HANDLERS,
    **tenants.HANDLERS,
    **profiles.HANDLERS,
    **operators.HANDLERS,
    **docs.HANDLERS,
}

BREAK_OFF_S = 1.0
"""What still runs after `shutdown_s` gets so long before its connection is closed."""


class MissingHandler(Exception):
    """The operations table and the handlers differ; the server does not start like that."""


def application(services: Services, limits: Limits, *, at_shutdown: Iterable[Callable[[], object]] = ()) -> web.Application:
    """The whole API. `at_shutdown` ends what waits below this layer, such as long polls; streams end by themselves."""
    ids = RequestIds(services.ids.new("req", services.clock.now()))
    door = Door((services.hub.close, *at_shutdown))
    app = web.Application(middlewares=[guard(ids, door)], client_max_size=0)
    app[SERVICES], app[LIMITS], app[REQUEST_IDS], app[DOOR] = services, limits, ids, door
    app.cleanup_ctx.append(line)
    app[PEERS], app[SEATS] = Peers(limits.trusted_proxies), Seats(limits.streams_per_tenant)
    serving = _serving(services, limits)
    for name, handler in _checked(HANDLERS).items():
        serving.route(app, _row(name, limits), handler)
    serving.close()
    app.on_cleanup.append(_uncounted)
    if services.shards is not None:
        app.cleanup_ctx.append(shards.line)
    app.on_response_prepare.append(signer(Origins(limits.cors_origins, limits.playback_origins)))
    app.on_response_prepare.append(tus.sign)
    return app


async def _uncounted(app: web.Application) -> None:
    await app[SERVICES].windows.close()


def _row(name: str, limits: Limits) -> Operation:
    row = BY_NAME[name]
    return replace(row, scope=Scope.OPEN) if name == "metrics" and limits.open_metrics else row


def _serving(services: Services, limits: Limits) -> Serving:
    monotonic = services.clock.monotonic
    windows = services.windows
    throttle = Throttle(windows, calls_per_s=limits.calls_per_s, tenant_calls_per_s=limits.tenant_calls_per_s)
    return Serving(services, throttle, Failures(free=limits.failures_free, monotonic=monotonic))


class Runner(web.AppRunner):
    """Its connections are guarded, and it finishes what runs before it breaks anything off.

    No access log: it would cost more than a lease call, and paths of signed links are keys.
    """

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=BREAK_OFF_S, handler_cancellation=False)

    async def _make_server(self) -> web.Server:
        watch = Watch(self.app[LIMITS], self.app[REQUEST_IDS].new)
        return GuardedServer(await super()._make_server(), watch)

    async def cleanup(self) -> None:
        """Running requests get `shutdown_s`; new ones are told SHUTTING_DOWN meanwhile, and then nobody listens."""
        await self.app[DOOR].close(self.app[LIMITS].shutdown_s)
        await super().cleanup()


def runner(app: web.Application) -> web.AppRunner:
    return Runner(app)


def _checked(handlers: Mapping[str, Handler]) -> Mapping[str, Handler]:
    if differing := handlers.keys() ^ BY_NAME.keys():
        raise MissingHandler(f"in the operations table or among the handlers only: {', '.join(sorted(differing))}")
    return handlers
