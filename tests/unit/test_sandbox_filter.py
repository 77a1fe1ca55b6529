"""The filter on system calls, run as the kernel would run it, and bubblewrap's words."""

from __future__ import annotations

import errno
import struct

import pytest

from engine.minder import confine, seccomp

ALLOWED, REFUSED, KILLED = seccomp.ALLOW, seccomp.ERRNO | errno.EPERM, seccomp.KILL_PROCESS
OWN_PID = 4711
ARCHES = ("x86_64", "aarch64")


def verdict(arch: str, number: int, *arguments: int, audit: int | None = None, own_pid: int | None = None) -> int:
    """What the filter says of a call: classic BPF over `struct seccomp_data`."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    called = struct.pack("<IIQ6Q", number, seccomp.ARCHES[arch] if audit is None else audit, 0, *padded)
    steps, at, held = seccomp.program(arch, own_pid), 0, 0
    while True:
        code, jt, jf, k = steps[at]
        at += 1
        match code:
            case seccomp.LOAD:
                held = struct.unpack_from("<I", called, k)[0]
            case seccomp.JUMP_EQUAL:
                at += jt if held == k else jf
            case seccomp.JUMP_GREATER_EQUAL:
                at += jt if held >= k else jf
            case seccomp.JUMP_ANY_BIT:
                at += jt if held & k else jf
            case seccomp.RETURN:
                return k


@pytest.mark.parametrize("arch", ARCHES)
def test_every_call_on_the_list_is_refused(arch: str) -> None:
    numbers = [of[ARCHES.index(arch)] for of in seccomp.REFUSED.values()]

    assert {verdict(arch, number) for number in numbers if number is not None} == {REFUSED}


@pytest.mark.parametrize(
    ("arch", "read_write_openat_futex_execve"), [("x86_64", (0, 1, 257, 202, 59)), ("aarch64", (63, 64, 56, 98, 221))]
)
def test_what_every_tool_does_is_allowed(arch: str, read_write_openat_futex_execve: tuple[int, ...]) -> None:
    assert {verdict(arch, number) for number in read_write_openat_futex_execve} == {ALLOWED}


@pytest.mark.parametrize("arch", ARCHES)
def test_arguments_decide_where_both_are_common(arch: str) -> None:
    of = ARCHES.index(arch)
    thread, fork, new_user = 0x3D0F00, 17, 0x10000000
    calls = [
        (seccomp.CLONE[of], thread),
        (seccomp.CLONE[of], fork),
        (seccomp.CLONE[of], new_user | fork),
        (seccomp.CLONE3[of], 0),
        (seccomp.SOCKETPAIR[of], 1, 1 | 0x80000),
        (seccomp.SOCKETPAIR[of], 2, 1),
        (seccomp.SOCKETPAIR[of], 1, 5),
        (seccomp.SOCKETPAIR[of], 1, 2 | 0x80000),
        (seccomp.SCHED_SETAFFINITY[of], 0),
        (seccomp.SCHED_SETAFFINITY[of], 1),
        (seccomp.PRCTL[of], 38),
        (seccomp.PRCTL[of], seccomp.HIDE_FROM_USER),
        (seccomp.PERSONALITY[of], 0xFFFFFFFF),
        (seccomp.PERSONALITY[of], 0x0400000),
        (seccomp.PRLIMIT64[of], 0),
        (seccomp.PRLIMIT64[of], 1),
        (seccomp.IOCTL[of], 1, 0x5401),
        *((seccomp.IOCTL[of], 1, order) for order in seccomp.ORDERS),
    ]

    told = [verdict(arch, *call) for call in calls]

    unknown = seccomp.ERRNO | errno.ENOSYS
    pairs = [ALLOWED, REFUSED] * 6
    assert told == [ALLOWED, ALLOWED, REFUSED, unknown, *pairs, ALLOWED, *[REFUSED] * 5]


@pytest.mark.parametrize("arch", ARCHES)
def test_without_landlocks_scopes_signals_reach_the_tool_alone(arch: str) -> None:
    of = ARCHES.index(arch)
    numbers = [seccomp.KILL[of], seccomp.TGKILL[of], seccomp.RT_TGSIGQUEUEINFO[of]]
    others = [of_all[of] for of_all in seccomp.SIGNALS.values()]

    assert [verdict(arch, number, OWN_PID, own_pid=OWN_PID) for number in numbers] == [ALLOWED] * 3
    assert [verdict(arch, number, 1, own_pid=OWN_PID) for number in (*numbers, *others)] == [REFUSED] * 6
    assert [verdict(arch, number, 1) for number in (*numbers, *others)] == [ALLOWED] * 6


def test_a_call_in_another_architectures_numbers_kills() -> None:
    i386 = 0x40000003

    assert verdict("x86_64", 0, audit=i386) == KILLED


def test_the_x32_numbers_are_refused() -> None:
    assert verdict("x86_64", seccomp.X32 | 0) == REFUSED


def test_no_jump_is_longer_than_a_byte_and_the_kernel_takes_so_many_steps() -> None:
    for arch in ARCHES:
        steps = seccomp.program(arch, OWN_PID)
        assert max(max(jt, jf) for _, jt, jf, _ in steps) < 256
        assert len(seccomp.encoded(steps)) == 8 * len(steps) <= 8 * 4096


SANDBOX: confine.Sandbox = {
    "tier": 3,
    "directory": "/data/t1-7/work",
    "tool": ("/opt/ffmpeg-9/ffmpeg", "/usr/local/bin/ffmpeg"),
    "readable": ("/opt/models",),
    "devices": (),
    "bubblewrap": "/usr/bin/bwrap",
}


def test_bubblewrap_gets_its_words() -> None:
    words = confine.bubblewrap(SANDBOX, ["/usr/local/bin/ffmpeg", "-version"], 7)

    system = [word for path in (*confine.SYSTEM_TREES, *confine.SYSTEM_FILES) for word in ("--ro-bind-try", path, path)]
    assert words == [
        *("/usr/bin/bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"),
        *("--die-with-parent", "--cap-drop", "ALL"),
        *system,
        *("--proc", "/proc", "--dev", "/dev"),
        *("--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"),
        *("--ro-bind-try", "/sys/devices/system/node", "/sys/devices/system/node"),
        *("--ro-bind-try", "/opt/models", "/opt/models"),
        *("--ro-bind", "/opt/ffmpeg-9/ffmpeg", "/opt/ffmpeg-9/ffmpeg"),
        *("--ro-bind", "/usr/local/bin/ffmpeg", "/usr/local/bin/ffmpeg"),
        *("--remount-ro", "/proc", "--remount-ro", "/dev"),
        *("--bind", "/data/t1-7/work", "/data/t1-7/work", "--remount-ro", "/", "--chdir", "/data/t1-7/work"),
        *("--seccomp", "7", "--", "/usr/local/bin/ffmpeg", "-version"),
    ]


def test_the_nodes_of_a_gpu_come_with_what_its_driver_reads() -> None:
    words = confine.bubblewrap({**SANDBOX, "devices": ("/dev/nvidia0",)}, ["/usr/local/bin/ffmpeg"], 7)

    at = words.index("--dev-bind-try")
    assert words[at : at + 3] == ["--dev-bind-try", "/dev/nvidia0", "/dev/nvidia0"]
    assert "/sys/bus/pci" in words
    assert words.index("--remount-ro") > at  # its name is made in a /dev that may still be written


@pytest.mark.parametrize(
    ("tier", "code", "own"), [(3, 139, -11), (3, 137, -9), (3, 1, 1), (3, 183, 183), (3, 255, 255), (2, 139, 139), (2, -9, -9)]
)
def test_the_tools_own_exit_code_comes_out_of_bubblewrap(tier: int, code: int, own: int) -> None:
    assert confine.exit_code(tier, code) == own
