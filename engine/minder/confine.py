"""Confines the process that is about to become a tool: at tier 2 by Landlock and seccomp, at tier 3 by bubblewrap.

Standard library only, called in the minder's forked child (one thread) after limits and pinning, right before exec:
`confine`, then exec of `bubblewrap(...)` at tier 3, of the tool itself below. What a sandbox is made of comes as a plain
mapping, made by `engine.shell.sandbox`.
"""

from __future__ import annotations

import ctypes
import os
import struct

from engine.minder import landlock, seccomp

TYPE_CHECKING = False
"""For the checker; importing `typing` and `collections` costs as much as the rest of a start."""

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypedDict

    class Sandbox(TypedDict):
        """`directory` is the one a tool writes to; `tool` where its path leads, and the path; `devices` the nodes of its GPU."""

        tier: int
        directory: str
        tool: Sequence[str]
        readable: Sequence[str]
        devices: Sequence[str]
        bubblewrap: str


PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 24, 47, 4
CAPABILITY_VERSION_3 = 0x20080522
LAST_CAPABILITY = 63
"""The kernel knows 41 of them in 2026; asking for more is refused, which is the end of the loop."""

SYSTEM_TREES = (
    *("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share"),
    *("/usr/local/lib", "/usr/local/lib64", "/usr/local/share", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store"),
)
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/etc/fonts", "/etc/alternatives", "/etc/espeak-data")
KERNEL_FILES = ("/sys/devices/system/cpu", "/sys/devices/system/node", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat")
GPU_FILES = ("/sys/bus/pci", "/sys/devices", "/sys/class/drm", "/sys/dev/char", "/sys/module/nvidia", "/proc/driver/nvidia")
GPU_FILES_OF_PROC = ("/proc/devices", "/proc/modules", "/proc/version", "/proc/filesystems")
NAMESPACES = ("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc")
"""And of mounts. The name of the host and of the engine's cgroup may be seen: the unit for systemd grants no more namespaces."""

SHARED_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
SOURCES_OF_CHANCE = ("/dev/urandom", "/dev/random")


def confine(sandbox: Sandbox, inputs: Sequence[int] = ()) -> None:
    """Take from this process what its tool may not have; its inputs, open already, may be opened again for reading.

    Raises OSError where the kernel refuses: the tool must not run then.
    """
    if sandbox["tier"] not in (1, 2):
        return  # bubblewrap does all of it itself, and could not under Landlock
    _no_new_privileges()
    if sandbox["tier"] == 2:
        version = landlock.abi()
        if version == 0:
            raise OSError("landlock: this kernel has none")
        _drop_capabilities()
        landlock.restrict(_rules(sandbox, inputs), version)
        own_pid = os.getpid() if version < landlock.SCOPES_FROM_ABI else None
        seccomp.install(seccomp.program(os.uname().machine, own_pid))


def reach_only_own(sandbox: Sandbox) -> bool:
    """Called by the minder itself: whether a signal of its own to "everybody" reaches its tool's processes and no others.

    Not at tier 3, where a namespace ends with its first process, and bubblewrap may be one that has to gain privileges.
    """
    if sandbox["tier"] not in (1, 2) or landlock.abi() < landlock.SCOPES_FROM_ABI:
        return False
    try:
        _no_new_privileges()
        landlock.restrict_signals()
    except OSError:
        return False
    return True


def bubblewrap(sandbox: Sandbox, argv: Sequence[str], filter_fd: int) -> list[str]:
    """What to exec at tier 3. `filter_fd` is a file that holds `filter_program()`; every other open descriptor is the tool's.

    A tool that dies by a signal shows as exit code 128 + its number: `exit_code` gives it back.
    """
    words = [sandbox["bubblewrap"], *NAMESPACES, "--die-with-parent", "--cap-drop", "ALL"]
    for path in (*SYSTEM_TREES, *SYSTEM_FILES):
        words += ["--ro-bind-try", path, path]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for path in KERNEL_FILES:
        words += ["--ro-bind-try", path, path] if path.startswith("/sys") else []
    for path in GPU_FILES if sandbox["devices"] else ():
        words += ["--ro-bind-try", path, path] if path.startswith("/sys") else []
    for path in sandbox["devices"]:
        words += ["--dev-bind-try", path, path]
    for path in sandbox["readable"]:
        words += ["--ro-bind-try", path, path]
    for path in sandbox["tool"]:
        if not _is_below(path, sandbox["readable"]):
            words += ["--ro-bind", path, path]
    for path in ("/proc", "/dev"):  # the kernel's settings, which root may write without any powers; memory that no limit counts
        words += ["--remount-ro", path]
    words += ["--bind", sandbox["directory"], sandbox["directory"], "--remount-ro", "/", "--chdir", sandbox["directory"]]
    return [*words, "--seccomp", str(filter_fd), "--", *argv]


def filter_program() -> bytes:
    """The filter of tier 3, as bubblewrap reads it: the one of tier 2."""
    return seccomp.encoded(seccomp.program(os.uname().machine))


REAL_TIME = 32
"""Where the numbers of ordinary signals end."""


def exit_code(tier: int, code: int) -> int:
    """A tool's own, negative for a signal: bubblewrap tells a signal as 128 + number.

    Above the ordinary signals lie the codes that FFmpeg ends with by itself, as 183 for invalid data.
    """
    return 128 - code if tier == 3 and 128 < code < 128 + REAL_TIME else code


def _rules(sandbox: Sandbox, inputs: Sequence[int]) -> list[tuple[str, int]]:
    """What may be done below which path at tier 2. Inputs by their numbers: their paths may lead elsewhere by now."""
    rules = [(path, landlock.READ_AND_RUN) for path in (*SYSTEM_TREES, *sandbox["tool"], *sandbox["readable"])]
    rules += [(path, landlock.READ) for path in (*SYSTEM_FILES, *KERNEL_FILES, *SOURCES_OF_CHANCE, f"/proc/{os.getpid()}")]
    rules += [(path, landlock.DEVICE) for path in (*SHARED_DEVICES, *sandbox["devices"])]
    rules += [(f"/proc/self/fd/{number}", landlock.READ) for number in inputs]
    if sandbox["devices"]:
        rules += [(path, landlock.READ) for path in (*GPU_FILES, *GPU_FILES_OF_PROC)]
    return [*rules, (sandbox["directory"], landlock.WORK)]


def _no_new_privileges() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"no_new_privs: {os.strerror(fault)}")


def _drop_capabilities() -> None:
    """Root keeps its number and loses its powers, among them the one to raise its limits again."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(LAST_CAPABILITY + 1):
        if libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            break  # not allowed to (then there is nothing to drop), or there are no more
    libc.prctl(PR_CAP_AMBIENT, ctypes.c_ulong(PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    if libc.capset(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), struct.pack("=6I", *([0] * 6))) != 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"capset: {os.strerror(fault)}")


def _is_below(path: str, trees: Sequence[str]) -> bool:
    return any(path == tree or path.startswith(tree.rstrip("/") + "/") for tree in trees)
