"""What a tool uses besides processor time: the disk below its directory, processes and threads. And what it left behind."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

SIGKILL = 9
MOST_FILES = 250_000
"""In one work directory: more is taken for an attempt to use up the disk's inodes, or our time to count them."""

UNSEEN = 1 << 62
"""What is hidden from us counts as more than anybody may have. No tool of ours makes a directory that we cannot read."""

GONE = " (deleted)"


def disk_bytes(directory: str, cap: int) -> int:
    """What lies below `directory`, as the disk counts it; no further than to `cap`. What vanishes meanwhile is not counted."""
    total, count, folders = 0, 0, [directory]
    while folders and total <= cap:
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    count += 1
                    total += UNSEEN if count > MOST_FILES else entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return UNSEEN  # too deep for a path, or closed
    return total


def removed_bytes(pids: Iterable[int], directory: str) -> int:
    """What these processes keep of files below `directory` that have no name any more: open, or mapped into memory."""
    sizes: dict[str, int] = {}
    for pid in pids:
        for path, found in _open_files(pid):
            if path.startswith(f"{directory}/") and path.endswith(GONE):
                sizes[f"{found.st_ino}"] = found.st_blocks * 512
        for inode, end in _mapped(pid, directory):
            sizes.setdefault(inode, 0)
            sizes[inode] = max(sizes[inode], end)
    return sum(sizes.values())


def _open_files(pid: int) -> Iterator[tuple[str, os.stat_result]]:
    """Those that have no name any more, and memory that is opened like a file."""
    folder = f"/proc/{pid}/fd"
    try:
        for number in os.listdir(folder):
            path = os.readlink(f"{folder}/{number}")
            if path.endswith(GONE):
                yield path, os.stat(f"{folder}/{number}")
    except OSError:
        return  # ended or closed meanwhile


def _mapped(pid: int, directory: str) -> Iterator[tuple[str, int]]:
    """The number of each file without a name, and how far it reaches into memory."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.endswith(GONE + "\n") and f" {directory}/" in line:
                    span, _, offset, _, inode = line.split(maxsplit=5)[:5]
                    start, _, end = span.partition("-")
                    yield inode, int(offset, 16) + int(end, 16) - int(start, 16)
    except OSError:
        return


def below(pid: int, most: int) -> dict[int, int]:
    """The processes below this one, each with the number of its threads; looked for until there are more than `most`."""
    found, pids, count = {}, [pid], -1
    while pids and count <= most:
        one = pids.pop()
        try:
            threads = os.listdir(f"/proc/{one}/task")
            found[one] = len(threads)
            count += len(threads)
            for thread in threads:
                with open(f"/proc/{one}/task/{thread}/children", encoding="ascii") as children:
                    pids += map(int, children.read().split())
        except OSError:
            continue  # ended meanwhile, or a kernel without this list
    found.pop(pid, None)
    return found


def memory_bytes(pids: Collection[int], cap: int) -> int:
    """What these processes hold that no file backs. Only where that is over `cap` is it asked what is shared: that takes long."""
    opened = _opened_memory(pids)
    resident = 1024 * sum(_kilobytes(pid, "status", ("RssAnon:", "RssShmem:", "VmSwap:")) for pid in pids)
    if resident + opened <= cap:
        return resident + opened
    own = sum(_kilobytes(pid, "smaps_rollup", ("Pss_Anon:", "SwapPss:")) for pid in pids)
    shared = sum(_kilobytes(pid, "smaps_rollup", ("Pss_Shmem:",)) for pid in pids)
    return 1024 * own + max(1024 * shared, opened)  # what is opened may be mapped, too


def _opened_memory(pids: Iterable[int]) -> int:
    """Of memfd_create: it counts whether it is mapped or not."""
    found = ((path, status) for pid in pids for path, status in _open_files(pid) if path.startswith("/memfd:"))
    return sum({status.st_ino: status.st_blocks * 512 for _, status in found}.values())


def _kilobytes(pid: int, table: str, names: tuple[str, ...]) -> int:
    """The sum of these rows; 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/{table}", encoding="utf-8", errors="replace") as lines:
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


def machine_run() -> str:
    """The name of this run of the machine, or of the container: numbers of processes mean something only within it."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return f"{file.read().strip()}-{started_at(1)}"


def started_at(pid: int) -> int:
    """When this process began, in ticks since the machine did: with its number, its name. 0 if it is gone."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def kill_group(leader: int) -> None:
    try:
        os.killpg(leader, SIGKILL)
    except ProcessLookupError:
        return  # nobody is left in it


def kill_everybody() -> None:
    """Whom this process may signal: only for one that can reach nobody but its own. No fork gets between."""
    try:
        os.kill(-1, SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left


def kill_left_behind(leader: int, since: int, directory: str) -> None:
    """Kill what a tool left, its minder being gone: of its session, or with its home or its place in its directory.

    What began before the tool is not of it; nor is a session whose number was given out again since.
    """
    if started_at(leader) not in (0, since):
        leader = 0
    home = f"HOME={directory}".encode()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        fields = _stat(pid)
        if fields and int(fields[19]) >= since and (int(fields[3]) == leader != 0 or _is_at_home(pid, home, directory)):
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
