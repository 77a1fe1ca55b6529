"""A server whose certificate nobody here vouches for: one line that says so, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.errors import Unreachable
from client.transport import Call, RetryPolicy, Transport
from tests.contract.test_webhooks_sending import own_certificate


async def test_a_certificate_that_nobody_signed_is_told_as_that(tmp_path: Path) -> None:
    async with own_certificate(tmp_path) as port:
        transport = Transport(f"https://127.0.0.1:{port}", "key", retry=RetryPolicy(attempts=1), answer_timeout_s=5.0)
        with pytest.raises(Unreachable) as refused:
            await transport.answer(Call("list_jobs"))
        await transport.close()

    told = f"https://127.0.0.1:{port} cannot be trusted: self-signed certificate. A certificate of an authority of your own: "
    assert str(refused.value).removeprefix("SERVER_UNREACHABLE: ") == told + "SSL_CERT_FILE=ca.pem"
