"""PostgreSQL killed, cut off in the middle of a COMMIT, or not the one it should be: nothing is lost, nothing done twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.exc import OperationalError

from dispatch.ports import Store, Transaction
from dispatch.store.postgres.connecting import Reach
from protocol.errors import ErrorCode, ReelyardError
from tests.contract.api_server import until
from tests.contract.store_adapters import noted, postgres_store
from tests.servers.cutting import Cut, cutting_line, sealed_line
from tests.servers.postgres import database, migrated, running, shared

Function = Callable[[Transaction], Any]  # each has its own result


@pytest.fixture
def url() -> Iterator[str]:
    with database() as made:
        yield made


def note(word: str) -> Function:
    return lambda tx: tx.append(noted(word))


async def words(store: Store) -> list[str | None]:
    events = await store.read(lambda tx: tx.events_after(0, job_id=None, tenant=None, limit=100_000))
    return [event.new.to_state for event in events]


# --- killed


async def test_what_was_answered_outlives_a_killed_server_and_nothing_ran_twice() -> None:
    accepted: list[str] = []
    refused: list[ReelyardError] = []
    is_over = False

    with running() as server:
        server.create_database("farm")
        migrated(server.url("farm"))

        async def call(store: Store, name: str) -> None:
            number = 0
            while not is_over:
                word = f"{name} {(number := number + 1)}"
                try:
                    await store.transact(note(word))
                    accepted.append(word)
                except ReelyardError as error:
                    refused.append(error)

        async def has(more: int) -> None:
            wanted = len(accepted) + more

            async def is_so() -> bool:
                return len(accepted) >= wanted

            await until(is_so)

        url = server.url("farm")
        async with postgres_store(url, server="srv_1") as first, postgres_store(url, server="srv_2") as second:
            async with asyncio.TaskGroup() as owner:
                for number in range(6):
                    owner.create_task(call((first, second)[number % 2], str(number)))
                for _ in range(2):
                    await has(40)
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                await has(40)
                is_over = True
            found = Counter(await words(second))

    assert found == Counter(accepted)
    assert {(error.code, error.retry_after) for error in refused} == {(ErrorCode.DATABASE_UNAVAILABLE, 5.0)}


# --- cut off


@pytest.mark.parametrize("how", list(Cut))
async def test_a_commit_whose_answer_is_lost_is_found_out_and_done_once(url: str, how: Cut) -> None:
    server = shared()
    name = url.rpartition("/")[2]
    runs: list[str] = []

    def counted(tx: Transaction) -> str:
        runs.append("run")
        tx.append(noted("once"))
        return "done"

    with cutting_line(server.port) as line:
        through = url.replace(f":{server.port}/{name}", f":{line.port}/{name}")
        async with postgres_store(through) as store:
            line.armed = how
            async with asyncio.timeout(20):
                assert await store.transact(counted) == "done"
                assert await store.transact(note("next")) is None
                found = await words(store)
            asked = store.counts.asked

    assert line.cuts == 1
    assert found == ["once", "next"]
    assert (len(runs), asked) == {Cut.BEFORE: (2, 1), Cut.AFTER: (1, 1)}[how]


async def test_who_waits_for_a_commit_nobody_can_tell_of_is_not_told_that_it_failed(url: str) -> None:
    """Told so, a caller would take back what belongs to the commit, such as the file of a job."""
    server = shared()
    name = url.rpartition("/")[2]
    with cutting_line(server.port) as line:
        through = url.replace(f":{server.port}/{name}", f":{line.port}/{name}")
        async with postgres_store(through) as store:
            line.armed, line.is_last = Cut.AFTER, True
            waiting = asyncio.ensure_future(store.transact(note("stands")))  # noqa: TID251  # awaited below, in this test

            async def is_cut() -> bool:
                return line.cuts == 1

            async with asyncio.timeout(20):
                await until(is_cut)
        outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]
    async with postgres_store(url) as store:
        found = await words(store)

    assert (type(outcome), found) == (asyncio.CancelledError, ["stands"])


async def test_a_connection_that_an_operator_ends_costs_nobody_anything(url: str) -> None:
    server = shared()
    async with postgres_store(url) as store:
        await store.transact(note("a"))
        await store.read(lambda tx: tx.last_seq())
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'reelyard'")

        await store.transact(note("b"))

        assert await words(store) == ["a", "b"]


ENDED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"


async def test_a_connection_that_ends_between_two_statements_of_a_function_costs_a_rerun(url: str) -> None:
    """Statements that SQLAlchemy runs itself leave its own transaction behind."""
    server, runs = shared(), Counter[str]()

    def function(tx: Transaction) -> int:
        runs["it"] += 1
        before = tx.last_seq()
        if runs["it"] == 1:
            server.execute(ENDED)
        assert tx.last_seq() == before
        tx.append(noted("a"))
        return before

    async with postgres_store(url) as store:
        assert await store.transact(function) == 0
        assert (await words(store), runs["it"]) == (["a"], 2)


# --- trusted


@dataclass(frozen=True)
class Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(subject: str, key: ec.EllipticCurvePrivateKey, by: Authority | None) -> x509.Certificate:
    now = datetime.fromtimestamp(1_790_000_000, UTC)
    issuer = by.certificate.subject if by else named(subject)
    made = x509.CertificateBuilder(issuer, named(subject), key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=4000)).not_valid_after(now + timedelta(days=4000))
    made = made.add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    if by is not None:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    return made.sign(by.key if by else key, hashes.SHA256())


def authority(name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(key, certificate(name, key, None))


def written(path: Path, made: x509.Certificate) -> Path:
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


@dataclass(frozen=True)
class Trusted:
    """Ports of a server with a password, behind TLS and without; the authority it belongs to, and another one."""

    sealed: int
    plain: int
    good: Path
    bad: Path


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trusted]:
    directory = tmp_path_factory.mktemp("trust")
    good, bad = authority("good"), authority("bad")
    key = ec.generate_private_key(ec.SECP256R1())
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "server.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    shown = written(directory / "server.crt", certificate("postgres", key, good))
    access = ("host all app 127.0.0.1/32 scram-sha-256", "host all reelyard 127.0.0.1/32 trust")
    with running(access=access) as server:
        server.execute("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'secret'")
        server.create_database("farm")
        migrated(server.url("farm"))
        with sealed_line(server.port, shown, directory / "server.key") as line:
            authorities = (written(directory / f"{one}.pem", by.certificate) for one, by in (("good", good), ("bad", bad)))
            yield Trusted(line.port, server.port, *authorities)


def reach(port: int, ca_file: Path, password: str = "secret") -> Reach:
    return Reach(f"postgresql://app@localhost:{port}/farm?hostaddr=127.0.0.1", password, ssl_mode="verify-full", ca_file=ca_file)


async def test_a_server_of_the_authority_is_believed(trusted: Trusted) -> None:
    async with postgres_store("", reach=reach(trusted.sealed, trusted.good)) as store:
        await store.transact(note("sealed"))

        assert await words(store) == ["sealed"]


async def test_a_server_of_another_authority_or_without_tls_or_with_another_password_is_refused(trusted: Trusted) -> None:
    refused = {
        "certificate verify failed": reach(trusted.sealed, trusted.bad),
        "password authentication failed": reach(trusted.sealed, trusted.good, "wrong"),
        "server does not support SSL": reach(trusted.plain, trusted.good),
    }
    for reason, way in refused.items():
        with pytest.raises(OperationalError, match=reason):
            async with postgres_store("", reach=way):
                pass
