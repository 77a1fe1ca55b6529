"""Where a file that dispatch names would stand on this machine. Pure: whether it does is looked at elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

HERE = frozenset({"127.0.0.1", "::1", "localhost"})


def prefixes(told: Sequence[str], servers: Sequence[str], *, with_local: bool) -> tuple[tuple[str, str], ...]:
    """Pairs of what paths begin with there and here, the longest first; `told` are `/there=/here`.

    With `with_local`, where all dispatch servers run on this machine all their paths are ours, too.
    """
    pairs = [(there.rstrip("/"), here.rstrip("/")) for there, _, here in (one.partition("=") for one in told)]
    if with_local and all(urlsplit(server).hostname in HERE for server in servers):
        pairs.append(("", ""))
    return tuple(sorted(pairs, key=lambda pair: len(pair[0]), reverse=True))


def local_of(path: str, pairs: Sequence[tuple[str, str]]) -> tuple[str, tuple[str, ...]] | None:
    """The directory that must hold it, and the names below that; None where it is on no shared disk."""
    for there, here in pairs:
        if path.startswith(f"{there}/"):
            names = tuple(path[len(there) + 1 :].split("/"))
            return (here or "/", names) if all(name not in ("", ".", "..") for name in names) else None
    return None
