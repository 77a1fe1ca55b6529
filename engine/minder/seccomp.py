"""The filter on system calls as a classic BPF program, for x86_64 and aarch64. Pure but for `install`.

A list of what is refused, not of what is allowed: FFmpeg, HandBrake, Python with its native modules and Shaka Packager
share one filter, and what they call changes with every libc. Refused is what opens a way out of the sandbox or into the
kernel's seldom used parts; the refusal is EPERM, so that a tool that only tries goes on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    Instruction: TypeAlias = tuple[int, int, int, int]
    """One step of classic BPF: code, how many steps to skip when the test holds, and when not, and its constant."""

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
KILL_PROCESS, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16
X32 = 0x40000000
ARCHES: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

NEW_NAMESPACES = 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000 | 0x00000080
"""CLONE_NEWCGROUP, UTS, IPC, USER, PID, NET, NS and TIME."""

REFUSED: Mapping[str, tuple[int | None, int | None]] = {
    # other machines and other processes
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "sendmsg": (46, 211), "sendmmsg": (307, 269), "setpriority": (141, 140), "ioprio_set": (251, 30),
    # memory that stays when the tool is gone
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    # owner, mode, times and attributes: Landlock guards none of them, and a descriptor for reading is enough for some
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setxattrat": (463, 463),
    "removexattrat": (466, 466), "file_setattr": (469, 469),
    # another view of the files
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "unshare": (272, 97), "setns": (308, 268), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    # what the engine would stumble over in the work directory
    "symlink": (88, None), "symlinkat": (266, 36), "mknod": (133, None), "mknodat": (259, 33),
    # the kernel's seldom used parts
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "modify_ldt": (154, None), "uselib": (134, None), "lookup_dcookie": (212, 18),
    "syslog": (103, 116),
    # the machine
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "delete_module": (176, 106),
    "finit_module": (313, 273), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162),
    "iopl": (172, None), "ioperm": (173, None), "vhangup": (153, 58),
}  # fmt: skip
"""By name: its number on x86_64 (asm/unistd_64.h) and on aarch64 (asm-generic/unistd.h)."""

SIGNALS: Mapping[str, tuple[int, int]] = {
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "pidfd_send_signal": (424, 424),
}
"""Refused besides where Landlock does not confine signals (before ABI 6); `kill` and `tgkill` then reach this process alone."""

CLONE, CLONE3, SOCKETPAIR, PERSONALITY, IOCTL, PRCTL = (56, 220), (435, 435), (53, 199), (135, 92), (16, 29), (157, 167)
SCHED_SETAFFINITY = (203, 122)
OF_ITSELF = (SCHED_SETAFFINITY, (142, 118), (144, 119), (314, 274))
"""And sched_setparam, sched_setscheduler, sched_setattr: a thread's own, not the engine's."""
PRLIMIT64, KILL, TGKILL, RT_TGSIGQUEUEINFO = (302, 261), (62, 129), (234, 131), (297, 240)
AF_UNIX, ASK_PERSONALITY = 1, 0xFFFFFFFF
DATAGRAMS = 0b10
"""The bit that tells SOCK_DGRAM and SOCK_RAW from SOCK_STREAM and SOCK_SEQPACKET."""
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
"""Both type into a terminal."""

SET_FLAGS, SET_ATTRIBUTES, ENABLE_VERITY = 0x40086602, 0x401C5820, 0x40806685
"""FS_IOC_*: what chattr does, for which a descriptor for reading is enough."""

ORDERS = (TIOCSTI, TIOCLINUX, SET_FLAGS, SET_ATTRIBUTES, ENABLE_VERITY)

HIDE_FROM_USER = 4
"""PR_SET_DUMPABLE: the minder could not see any more what its tool uses."""


def program(arch: str, own_pid: int | None = None) -> tuple[Instruction, ...]:
    """The filter for one architecture; with `own_pid`, signals reach no other process. Raises KeyError for an unknown one."""
    of = 0 if arch == "x86_64" else 1
    refuse = _back(ERRNO | errno.EPERM)
    steps = [(LOAD, 0, 0, ARCH_AT), (JUMP_EQUAL, 1, 0, ARCHES[arch]), _back(KILL_PROCESS)]
    steps.append((LOAD, 0, 0, NUMBER_AT))
    if arch == "x86_64":
        steps += [(JUMP_GREATER_EQUAL, 0, 1, X32), refuse]
    refused = [numbers[of] for numbers in REFUSED.values()]
    refused += [numbers[of] for numbers in SIGNALS.values()] if own_pid is not None else []
    for number in refused:
        if number is not None:
            steps += [(JUMP_EQUAL, 0, 1, number), refuse]
    steps += [(JUMP_EQUAL, 0, 1, CLONE3[of]), _back(ERRNO | errno.ENOSYS)]  # the C library then takes clone
    for number, verdict in _by_argument(of, own_pid):
        steps += [(JUMP_EQUAL, 0, len(verdict), number), *verdict]
    return (*steps, _back(ALLOW))


def encoded(steps: Sequence[Instruction]) -> bytes:
    """As the kernel and bubblewrap read it."""
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def install(steps: Sequence[Instruction]) -> None:
    """For this process and all that come of it, for good. `no_new_privs` must be set before. Raises OSError."""
    code = ctypes.create_string_buffer(encoded(steps), 8 * len(steps))
    header = struct.pack("@HP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), header, 0, 0) != 0:
        fault = ctypes.get_errno()
        raise OSError(fault, f"seccomp: {os.strerror(fault)}")


def _by_argument(of: int, own_pid: int | None) -> list[tuple[int, list[Instruction]]]:
    """Calls whose first arguments decide, each with the steps that give the verdict."""
    rows = [
        (CLONE[of], _unless([(JUMP_ANY_BIT, 0, 1, NEW_NAMESPACES)], argument=0)),
        (SOCKETPAIR[of], _pairs_of_streams()),
        (PERSONALITY[of], _only(ASK_PERSONALITY)),
        (PRLIMIT64[of], _only(0)),
        (IOCTL[of], _none_of(ORDERS, argument=1)),
        (PRCTL[of], _none_of((HIDE_FROM_USER,), argument=0)),
        *((number[of], _only(0)) for number in OF_ITSELF),
    ]
    if own_pid is not None:
        rows += [(number[of], _only(own_pid)) for number in (KILL, TGKILL, RT_TGSIGQUEUEINFO)]
    return rows


def _unless(tests: list[Instruction], *, argument: int) -> list[Instruction]:
    """Refused when the tests fall through to the next step, allowed when they skip one."""
    return [(LOAD, 0, 0, ARGUMENTS_AT + 8 * argument), *tests, _back(ERRNO | errno.EPERM), _back(ALLOW)]


def _none_of(values: Sequence[int], *, argument: int) -> list[Instruction]:
    """Refused with any of these values."""
    behind = len(values) - 1
    tests = [(JUMP_EQUAL, behind - n, 1 if n == behind else 0, value) for n, value in enumerate(values)]
    return _unless(tests, argument=argument)


def _only(value: int) -> list[Instruction]:
    """Allowed with this first argument alone (its lower half: the kernel reads no more of these)."""
    return _unless([(JUMP_EQUAL, 1, 0, value)], argument=0)


def _pairs_of_streams() -> list[Instruction]:
    """A datagram sent on one end of a pair may name any socket of the machine as its goal; Landlock does not guard those."""
    of_unix = [(LOAD, 0, 0, ARGUMENTS_AT), (JUMP_EQUAL, 1, 0, AF_UNIX), _back(ERRNO | errno.EPERM)]
    return [*of_unix, *_unless([(JUMP_ANY_BIT, 0, 1, DATAGRAMS)], argument=1)]


def _back(verdict: int) -> Instruction:
    return (RETURN, 0, 0, verdict)
