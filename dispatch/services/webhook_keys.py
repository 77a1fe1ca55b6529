"""The secrets that deliveries are signed with: made here, kept sealed, opened to sign and to be shown to their tenant."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from dispatch.core import webhook_secrets
from dispatch.ports import Clock, Transaction
from dispatch.services.sealing import Sealer, Unsealable
from protocol.errors import ErrorCode, ReelyardError


class WebhookKeys:
    """`chance` gives fresh text of at least 256 random bits at each call; `Ids.secret` does."""

    def __init__(self, sealer: Sealer, chance: Callable[[], str], clock: Clock) -> None:
        self._sealer, self._chance, self._clock = sealer, chance, clock

    def first(self) -> tuple[str, ...]:
        """A new secret, as a row keeps it."""
        return webhook_secrets.first(self._fresh())

    def rotated(self, kept: tuple[str, ...]) -> tuple[str, ...]:
        return webhook_secrets.rotated(kept, self._fresh(), now=self._clock.now())

    def open(self, kept: tuple[str, ...]) -> list[str]:
        """Those that are good now, the newest first; one that cannot be read is left out. Raises Unsealable when none can."""
        opened = []
        for text in webhook_secrets.valid(kept, now=self._clock.now()):
            with suppress(Unsealable):  # of a server before: a rotation must help at once
                opened.append(self._sealer.open(text))
        if not opened:
            raise Unsealable("none of the secrets was sealed by this server")
        return opened

    def previous_until(self, kept: tuple[str, ...]) -> float | None:
        return webhook_secrets.previous_until(kept, now=self._clock.now())

    def _fresh(self) -> str:
        return self._sealer.seal(webhook_secrets.secret_of(self._chance()))


def tenant_secrets(tx: Transaction, tenant: str, fresh: tuple[str, ...]) -> tuple[str, ...]:
    """The tenant's own, which are `fresh` when it had none until now. Raises FORBIDDEN for a tenant that is no row here."""
    kept = tx.webhook_secrets(tenant)
    if kept is None:
        raise ReelyardError(ErrorCode.FORBIDDEN, f"there is no tenant {tenant} here")
    if kept:
        return kept
    tx.put_webhook_secrets(tenant, fresh)
    return fresh
