"""The part of a transaction about webhooks: endpoints and deliveries."""

from __future__ import annotations

from sqlalchemy import Connection


class WebhookQueries:
    """Mixed into SqlTransaction."""

    _connection: Connection
