"""Makes a tool's inputs read-only for good: a descriptor opened for reading could be opened again for writing.

Where `/proc` can be seen and nothing like Landlock is in force, `/proc/self/fd/<n>` leads past the read-only mounts of a
sandbox, to a file that the engine's user may write. So each is opened anew through a mount of its own that forbids it.
Standard library only; called before bubblewrap, in user and mount namespaces in which that sets up its own.
"""

from __future__ import annotations

import ctypes
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000
OPEN_TREE, MOUNT_SETATTR = 428, 442
CLONE_TREE, CLOSED_AT_EXEC, THIS_VERY = 1, os.O_CLOEXEC, 0x1000
READ_ONLY = 1
AT_CWD = -100

_libc = ctypes.CDLL(None, use_errno=True)


def protect(numbers: Sequence[int]) -> None:
    """No write can come of these descriptors. Raises OSError where one could, and the kernel does not let us prevent it."""
    exposed = [number for number in numbers if _may_be_written(number)]
    if not exposed:
        return
    _own_namespaces()
    for number in exposed:
        _reopen(number)


def _may_be_written(number: int) -> bool:
    """By this user without any powers. Neither pipes, nor what nobody of ours may write, nor what has no name any more."""
    found, path = os.fstat(number), f"/proc/self/fd/{number}"
    if found.st_mode & 0o170000 != 0o100000 or found.st_nlink == 0:
        return False
    return (found.st_uid == os.geteuid() and found.st_mode & 0o200 != 0) or os.access(path, os.W_OK, effective_ids=True)


def _own_namespaces() -> None:
    user, group = os.geteuid(), os.getegid()
    _call(_libc.unshare(NEW_USER | NEW_MOUNTS), "unshare")
    for name, words in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(words)


def _reopen(number: int) -> None:
    path = os.readlink(f"/proc/self/fd/{number}")
    tree = _system(OPEN_TREE, ctypes.c_int(AT_CWD), os.fsencode(path), ctypes.c_uint(CLONE_TREE | CLOSED_AT_EXEC))
    try:
        attributes = struct.pack("=4Q", READ_ONLY, 0, 0, 0)
        size = ctypes.c_size_t(len(attributes))
        _system(MOUNT_SETATTR, ctypes.c_int(tree), b"", ctypes.c_uint(THIS_VERY), attributes, size)
        again = os.open(f"/proc/self/fd/{tree}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(tree)
    was, now = os.fstat(number), os.fstat(again)
    if (was.st_dev, was.st_ino) != (now.st_dev, now.st_ino):
        raise OSError(f"{path} is not the input any more")
    os.dup2(again, number)
    os.close(again)


def _system(number: int, *arguments: object) -> int:
    return _call(int(_libc.syscall(ctypes.c_long(number), *arguments)), "read-only input")


def _call(answer: int, what: str) -> int:
    if answer < 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"{what}: {os.strerror(fault)}")
    return answer
