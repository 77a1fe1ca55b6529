"""Landlock by its three system calls: files below some paths, no TCP, no signals out. Whatever of it this kernel knows.

Standard library only: the minder's child calls it right before it becomes the tool. Rights and structures are those of
`linux/landlock.h`; a right the kernel does not know is left out of the ruleset, so an old kernel refuses less.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ONLY_TELL_VERSION = 1
RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
HANDLED_FROM_ABI = ((1, (1 << 13) - 1), (2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))
TCP_BIND_AND_CONNECT, TCP_FROM_ABI = 0b11, 4
SCOPED_SIGNALS, SCOPED_SOCKETS_AND_SIGNALS, SCOPES_FROM_ABI = 0b10, 0b11, 6

READ = READ_FILE | READ_DIR
READ_AND_RUN = READ | EXECUTE
DEVICE = READ_FILE | WRITE_FILE | IOCTL_DEV
WORK = READ | WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER
"""No links, sockets, pipes or devices: whoever reads the work directory afterwards finds plain files and directories."""

OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""The rights that a rule on something other than a directory may name."""

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The version this kernel speaks; 0 where it has no Landlock or it is switched off."""
    return max(0, int(_libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(ONLY_TELL_VERSION))))


def restrict(rules: Iterable[tuple[str, int]], version: int) -> None:
    """From here on this process may do below each path what is said with it, and nothing elsewhere. Raises OSError.

    Paths that do not exist are left out. `no_new_privs` must be set before.
    """
    handled = sum(rights for first, rights in HANDLED_FROM_ABI if version >= first)
    ruleset = _create(handled, version)
    try:
        for path, rights in rules:
            _allow(ruleset, path, rights & handled)
        _call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def restrict_signals() -> None:
    """From here on this process may signal itself and what comes of it, and nobody else. Raises OSError.

    For kernels of ABI 6 and later; `no_new_privs` must be set before. Moving files between directories is taken by any
    ruleset, whatever it is about, so it is given back.
    """
    attribute = struct.pack("=3Q", REFER, 0, SCOPED_SIGNALS)
    ruleset = _call(CREATE_RULESET, attribute, ctypes.c_size_t(len(attribute)), ctypes.c_uint(0))
    try:
        _allow(ruleset, "/", REFER)
        _call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def _create(handled: int, version: int) -> int:
    """The structure grew with the versions: 8, 16, 24 bytes."""
    parts = [handled]
    if version >= TCP_FROM_ABI:
        parts.append(TCP_BIND_AND_CONNECT)
    if version >= SCOPES_FROM_ABI:
        parts.append(SCOPED_SOCKETS_AND_SIGNALS)
    attribute = struct.pack(f"={len(parts)}Q", *parts)
    return _call(CREATE_RULESET, attribute, ctypes.c_size_t(len(attribute)), ctypes.c_uint(0))


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= OF_FILES
        attribute = struct.pack("=Qi", rights, place)
        _call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(RULE_PATH_BENEATH), attribute, ctypes.c_uint(0))
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    answer = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if answer < 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"landlock: {os.strerror(fault)}")
    return answer
