"""What a tool uses besides processor time: the disk below its directory, processes and threads. And what it left behind."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SIGKILL = 9


def disk_bytes(directory: str) -> int:
    """What lies below `directory`, as the disk counts it. What vanishes meanwhile is not counted."""
    total, folders = 0, [directory]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total


def below(pid: int) -> dict[int, int]:
    """The processes below this one, each with the number of its threads."""
    found, pids = {}, [pid]
    while pids:
        one = pids.pop()
        try:
            threads = os.listdir(f"/proc/{one}/task")
            found[one] = len(threads)
            for thread in threads:
                with open(f"/proc/{one}/task/{thread}/children", encoding="ascii") as children:
                    pids += map(int, children.read().split())
        except OSError:
            continue  # ended meanwhile, or a kernel without this list
    found.pop(pid, None)
    return found


def memory_bytes(pids: Iterable[int], cap: int) -> int:
    """What these processes hold that no file backs. Only where that is over `cap` is it asked what is shared: that takes long."""
    resident = 1024 * sum(_kilobytes(f"/proc/{pid}/status", ("RssAnon:", "RssShmem:", "VmSwap:")) for pid in pids)
    if resident <= cap:
        return resident
    return 1024 * sum(_kilobytes(f"/proc/{pid}/smaps_rollup", ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")) for pid in pids)


def _kilobytes(path: str, names: tuple[str, ...]) -> int:
    """The sum of these rows; 0 when the process is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            return sum(int(line.split()[1]) for line in lines if line.startswith(names))
    except OSError:
        return 0


def oom_kills() -> int:
    """How many processes the kernel of this machine has killed for want of memory; 0 where it does not tell."""
    try:
        with open("/proc/vmstat", encoding="ascii") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    except OSError:
        return 0


def started_at(pid: int) -> int:
    """When this process began, in ticks since the machine did: with its number, its name. 0 if it is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def kill_group(leader: int) -> None:
    try:
        os.killpg(leader, SIGKILL)
    except ProcessLookupError:
        return  # nobody is left in it


def kill_left_behind(leader: int, since: int, directory: str) -> None:
    """Kill what a tool left, its minder being gone: of its session, or with its home or its place in its directory.

    What began before the tool is not of it.
    """
    home = f"HOME={directory}".encode()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        fields = _stat(pid)
        if fields and int(fields[19]) >= since and (int(fields[3]) == leader or _is_at_home(pid, home, directory)):
            _kill(pid)


def _is_at_home(pid: int, home: bytes, directory: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as words:
            if home in words.read().split(b"\0"):
                return True
        place = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False  # ended, or another user's
    return place == directory or place.startswith(directory + "/")


def kill_children() -> bool:
    """Kill whatever has become a child of this process; True if there was any. Their children come after them."""
    found = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == os.getpid()]
    for pid in found:
        _kill(pid)
    return bool(found)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, SIGKILL)
    except ProcessLookupError:
        return  # gone by itself


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    """`/proc/<pid>/stat` from its third field on: the second may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(") ")[2].split()
    except OSError:
        return []
