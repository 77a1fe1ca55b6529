"""A broker over TLS: believed by the certificate the settings name, and by no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dispatch.events.nats_link import NatsLink, NatsPlace
from engine.shell.broker import BrokerPlace
from engine.shell.nats_link import NatsLink as EngineLink
from tests.contract.api_server import until
from tests.servers.nats import nats_server

YEAR = timedelta(days=365)


def _certificate(directory: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), today - YEAR, today + 20 * YEAR)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    (directory / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return directory / "cert.pem"


async def _soon(is_so: Callable[[], bool]) -> None:
    async def fact() -> bool:
        return is_so()

    async with asyncio.timeout(20):
        await until(fact)


async def test_both_sides_believe_the_certificate_they_are_told_and_no_other(tmp_path: Path) -> None:
    certificate, conf = _certificate(tmp_path), tmp_path / "tls.conf"
    conf.write_text(f'tls {{ cert_file: "{certificate}", key_file: "{tmp_path}/key.pem" }}\n')
    async with nats_server(tmp_path / "nats", conf) as broker, asyncio.TaskGroup() as tasks:
        url = (broker.url.replace("nats://", "tls://"),)
        dispatch, engine = NatsLink(NatsPlace(url, "t", ca_file=certificate)), EngineLink(BrokerPlace(url, ca_file=certificate))
        stranger = NatsLink(NatsPlace(url, "t"))
        carried = [tasks.create_task(link.run()) for link in (dispatch, engine, stranger)]
        await _soon(lambda: dispatch.problem is None and engine.is_up)
        await _soon(lambda: "CERTIFICATE_VERIFY_FAILED" in (stranger.problem or ""))
        assert not stranger.client.is_connected
        for task in carried:
            task.cancel()
