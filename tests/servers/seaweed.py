"""A SeaweedFS of this test process, which speaks S3: started once on free ports, ended with it; tests share its bucket.

It is ended by SIGKILL, as its makers do: asked to stop, it takes seconds. `SeaweedServer` is one that a test may kill and
start again.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from plugins.storage_s3.settings import S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PR_SET_PDEATHSIG = 1
BUCKET, ACCESS_KEY, SECRET_KEY = "films", "a-key-of-tests", "a-secret-of-tests"
PORTS = ("master", "volume", "filer", "s3")
TRIES, PAUSE_S = 300, 0.1
_numbers = itertools.count(1)


class SeaweedServer:
    """In a directory of its own, on the same ports for all its lives. Ends with the thread that started it: the main one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        ports = iter(free_ports(2 * len(PORTS)))
        self._ports = {f"{part}.port{kind}": next(ports) for part in PORTS for kind in ("", ".grpc")}
        self.credentials = directory / "credentials"
        self.credentials.write_text(f"[default]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n")
        (directory / "data").mkdir()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return int(self._process.pid)

    def start(self) -> None:
        """Until a file can really be put: it answers before it can store anything."""
        command = [str(Path(sys.executable).parent / "weed"), "mini", f"-dir={self.directory / 'data'}"]
        command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-webdav=false", "-admin.ui=false"]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", *(f"-{name}={port}" for name, port in self._ports.items())]
        # Ports that this version opens besides, at numbers of its own, would meet those of another server.
        command += [f"-admin.port={free_ports(1)[0]}", f"-admin.port.grpc={free_ports(1)[0]}", "-volume.max=40"]
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env={**os.environ, **keys}, preexec_fn=_die_with_parent,
            )  # fmt: skip
        client, waiting = self.client(), threading.Event()
        for _ in range(TRIES):
            assert self._process.poll() is None, (self.directory / "log").read_text()[-2000:]
            if _takes_a_file(client):
                client.close()
                return
            waiting.wait(PAUSE_S)
        raise AssertionError(f"SeaweedFS took no file: {(self.directory / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._process = None

    def client(self) -> S3Client:
        """One that looks at things past the storage, and gives up at once."""
        config = Config(
            signature_version="s3v4",
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            connect_timeout=2,
            read_timeout=20,
        )
        return boto3.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=config,
        )

    def settings(self, prefix: str = "") -> S3Settings:
        return S3Settings(
            BUCKET,
            prefix=prefix,
            endpoint=self.url,
            path_style=True,
            credentials_file=self.credentials,
            connections=16,
            attempts=2,
        )


def _takes_a_file(client: S3Client) -> bool:
    try:
        client.create_bucket(Bucket=BUCKET)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            return False
    except BotoCoreError:
        return False
    try:
        client.put_object(Bucket=BUCKET, Key=".ready", Body=b"ready" * 1000)
    except (ClientError, BotoCoreError):
        return False
    return True


def free_ports(count: int) -> list[int]:
    """All at once, so that none is given twice."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


@contextmanager
def running() -> Iterator[SeaweedServer]:
    """A server of a test's own."""
    directory = Path(tempfile.mkdtemp(prefix="reelyard-s3-"))
    server = SeaweedServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@lru_cache(maxsize=1)
def shared() -> SeaweedServer:
    """The server of this process. Ask for it on the main thread."""
    opened = running()
    server = opened.__enter__()
    atexit.register(opened.__exit__, None, None, None)
    return server


def own_prefix() -> str:
    """Where one test keeps its files, as if it had a bucket of its own."""
    return f"test-{next(_numbers)}"
