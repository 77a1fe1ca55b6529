"""Commands about webhooks: endpoints, secrets, deliveries."""

from __future__ import annotations

from client import operator_rows as rows
from client import options as o
from client.commands.access import checked
from client.commands.pages import ALL, query, show_all, show_page
from client.errors import ExitCode
from client.shell import Shell
from client.table import span
from protocol.errors import ErrorCode, ReelyardError
from protocol.webhooks import DeliveryDetail, EndpointPatch, EndpointRequest, SecretReply, WebhookEvent


async def endpoints(shell: Shell, options: o.EndpointListOptions) -> int:
    page = await shell.client.endpoints(**ALL)
    return show_all(shell, page, rows.endpoint_table(page))


async def add_endpoint(shell: Shell, options: o.EndpointAddOptions) -> int:
    told: dict[str, object] = {"url": options.url}
    if options.event:
        told["events"] = _events(options.event)
    if options.description is not None:
        told["description"] = options.description
    made = await shell.client.create_endpoint(checked(EndpointRequest, told))
    shell.screen.document(made)
    shell.screen.line(f"{made.endpoint_id} is told of {' '.join(sorted(made.events))}")
    shell.screen.line(f"its messages are signed with {made.secret}")
    return ExitCode.DONE


def _events(names: list[str]) -> frozenset[WebhookEvent]:
    try:
        return frozenset(WebhookEvent(name) for name in names)
    except ValueError as error:
        known = ", ".join(event for event in WebhookEvent if event is not WebhookEvent.TEST)
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, f"{error}; events are {known}") from error


async def remove_endpoint(shell: Shell, options: o.EndpointRemoveOptions) -> int:
    was = await shell.client.delete_endpoint(options.endpoint_id)
    shell.screen.document(was)
    shell.screen.line(f"{was.endpoint_id} ({was.url}) is removed")
    return ExitCode.DONE


async def test_endpoint(shell: Shell, options: o.EndpointTestOptions) -> int:
    reply = await shell.client.test_endpoint(options.endpoint_id)
    shell.screen.document(reply)
    came = f"status {reply.status}" if reply.status is not None else "no answer"
    reason = f": {reply.error}" if reply.error else ""
    verb = "delivered" if reply.delivered else "not delivered"
    shell.screen.line(f"{verb} in {span(reply.seconds)}, {came}{reason}")
    return ExitCode.DONE if reply.delivered else ExitCode.JOB_FAILED


async def enable_endpoint(shell: Shell, options: o.EndpointEnableOptions) -> int:
    return await _enable(shell, options.endpoint_id, is_enabled=True)


async def disable_endpoint(shell: Shell, options: o.EndpointDisableOptions) -> int:
    return await _enable(shell, options.endpoint_id, is_enabled=False)


async def _enable(shell: Shell, endpoint_id: str, *, is_enabled: bool) -> int:
    changed = await shell.client.patch_endpoint(endpoint_id, EndpointPatch(enabled=is_enabled))
    shell.screen.document(changed)
    shell.screen.line(f"{changed.endpoint_id} is {'enabled' if changed.enabled else 'disabled'}")
    return ExitCode.DONE


async def show_secret(shell: Shell, options: o.SecretShowOptions) -> int:
    client, endpoint_id = shell.client, options.endpoint_id
    return _secret(shell, await (client.webhook_secret() if endpoint_id is None else client.endpoint_secret(endpoint_id)))


async def rotate_secret(shell: Shell, options: o.SecretRotateOptions) -> int:
    client, endpoint_id = shell.client, options.endpoint_id
    made = await (client.rotate_webhook_secret() if endpoint_id is None else client.rotate_endpoint_secret(endpoint_id))
    return _secret(shell, made)


def _secret(shell: Shell, reply: SecretReply) -> int:
    shell.screen.document(reply)
    shell.screen.line(reply.secret)
    if reply.previous_until is not None and not shell.screen.is_json:
        shell.screen.note(f"the one before signs too, until {reply.previous_until}")
    return ExitCode.DONE


async def deliveries(shell: Shell, options: o.DeliveryListOptions) -> int:
    asked = query(state=options.state, endpoint_id=options.endpoint, job_id=options.job)
    page = await shell.client.deliveries(**asked, **query(limit=options.limit, cursor=options.cursor))
    return show_page(shell, page, rows.delivery_table(page))


async def delivery(shell: Shell, options: o.DeliveryShowOptions) -> int:
    return _show(shell, await shell.client.delivery(options.delivery_id))


async def redeliver(shell: Shell, options: o.RedeliverOptions) -> int:
    return _show(shell, await shell.client.redeliver(options.delivery_id))


def _show(shell: Shell, found: DeliveryDetail) -> int:
    shell.screen.document(found)
    shell.screen.line(f"{found.delivery_id} {found.state}: {found.event} of {found.job_id} to {found.url}")
    shell.screen.table(rows.try_table(found))
    return ExitCode.DONE
