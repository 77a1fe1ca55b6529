"""Runs as a tool: tries what a tool must not be able to do, and prints what it managed. Standard library only.

Its one argument is JSON: what there is outside to be reached. It prints `{"works": ..., "managed": [...]}`: whether it
could do a tool's work, and which of the forbidden things it did.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

PTRACE_SEIZE, NEW_USER_NAMESPACE, REMOVE_SEGMENT = 0x4206, 0x10000000, 0
PATIENCE_S = 2.0
Outside = Mapping[str, str]


def read_outside(outside: Outside) -> None:
    Path(outside["secret"]).read_bytes()


def list_outside(outside: Outside) -> None:
    """A namespace has a directory of this name, with nothing but the way to the tool's own in it."""
    secret = Path(outside["secret"])
    if secret.name not in os.listdir(secret.parent):
        raise LookupError


def write_outside(outside: Outside) -> None:
    Path(outside["mark"]).write_bytes(b"a tool was here")


def empty_outside(outside: Outside) -> None:
    os.truncate(outside["victim"], 0)


def remove_outside(outside: Outside) -> None:
    Path(outside["victim"]).unlink()


def write_input(outside: Outside) -> None:
    """It came as a descriptor for reading."""
    os.close(os.open(f"/proc/self/fd/{outside['input']}", os.O_WRONLY))


def change_outside(outside: Outside) -> None:
    """Who may read a file, which needs no right to open it."""
    os.chmod(outside["victim"], 0o644)


def leave_memory(outside: Outside) -> None:
    """That stays when all of the tool's processes are gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(0, ctypes.c_size_t(4096), 0o600)
    if segment < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    libc.shmctl(segment, REMOVE_SEGMENT, None)


def set_kernel(outside: Outside) -> None:
    """Root may by its number alone, whatever powers it has lost; opening says it, nothing is written."""
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))


def connect_tcp(outside: Outside) -> None:
    socket.create_connection(("127.0.0.1", int(outside["tcp_port"])), PATIENCE_S).close()


def send_udp(outside: Outside) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"a tool was here", ("127.0.0.1", int(outside["udp_port"])))


def connect_unix(outside: Outside) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect("\0" + outside["abstract"])


def send_unix(outside: Outside) -> None:
    """A pair is connected, and its datagrams may go elsewhere all the same."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"a tool was here", outside["datagrams"])


def signal_engine(outside: Outside) -> None:
    """The engine tells whether it came: inside a namespace the number may be somebody else's."""
    os.kill(int(outside["pid"]), signal.SIGURG)


def trace_engine(outside: Outside) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(ctypes.c_long(PTRACE_SEIZE), ctypes.c_long(int(outside["pid"])), None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def see_environment(outside: Outside) -> None:
    if not set(json.loads(outside["names"])) & set(os.environ):
        raise LookupError


def plant_link(outside: Outside) -> None:
    os.symlink(outside["secret"], "link")


def plant_pipe(outside: Outside) -> None:
    os.mkfifo("pipe")


def enter_namespace(outside: Outside) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_USER_NAMESPACE) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def find_no_limits(outside: Outside) -> None:
    """The engine gives this tool a limit on the size of files."""
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY:
        raise LookupError


def lift_limits(outside: Outside) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


CRIMES: tuple[Callable[[Outside], None], ...] = (
    *(
        read_outside,
        list_outside,
        write_outside,
        change_outside,
        empty_outside,
        remove_outside,
        connect_tcp,
        send_udp,
        connect_unix,
        send_unix,
    ),
    *(
        write_input,
        change_outside,
        leave_memory,
        signal_engine,
        trace_engine,
        see_environment,
        plant_link,
        plant_pipe,
        enter_namespace,
    ),
    *(find_no_limits, lift_limits),
)


def main() -> None:
    """`sandbox_probe.py <descriptor of the input> <JSON>`"""
    outside = {**json.loads(sys.argv[2]), "input": sys.argv[1]}
    with open(int(sys.argv[1]), "rb", closefd=False) as source:
        content = source.read()
    made = Path("made")
    made.write_bytes(content)
    print(json.dumps({"works": made.read_bytes() == content, "managed": [c.__name__ for c in CRIMES if _managed(c, outside)]}))  # noqa: T201 - what the engine reads


def _managed(crime: Callable[[Outside], None], outside: Outside) -> bool:
    try:
        crime(outside)
    except (OSError, LookupError, ValueError):
        return False
    return True


if __name__ == "__main__":
    main()
